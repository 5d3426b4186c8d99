"""The two witnesses against loops and scikit-learn, and that no clip vouches for itself."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from nearfield.analysis.suspects.labels import SuspectSettings, folds, gather, out_of_fold
from nearfield.core.types import Distance
from nearfield.metrics.neighbors import unit

from .planted import classes

SETTINGS = SuspectSettings(neighbors=7, width=0.3)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("apart", [False, True])
def test_neighbor_shares_equal_a_loop(distance: Distance, apart: bool) -> None:
    vectors, labels = classes(60, 1.0)
    targets, sources = np.eye(4)[labels], np.arange(60) // 3
    settings = SETTINGS.model_copy(update={"distance": distance, "apart": apart})
    found = gather(vectors, targets, "softmax", sources, settings).neighbors
    space = unit(vectors.astype(float)) if distance == "cosine" else vectors.astype(float)
    squared = cdist(space, space, "sqeuclidean")
    for clip in range(60):
        barred = sources == sources[clip] if apart else np.arange(60) == clip
        order = np.argsort(np.where(barred, np.inf, squared[clip]))[:7]
        d = squared[clip, order]
        weights = np.exp(-(d - d.min()) / (0.3 * np.median(d)))
        shares = [weights[labels[order] == c].sum() / weights.sum() for c in range(4)]
        np.testing.assert_allclose(found[clip], shares, atol=1e-5)


def test_out_of_fold_probabilities_equal_scikit_learns_fold_by_fold() -> None:
    vectors, labels = classes(100, 1.5)
    targets, settings = np.eye(4)[labels], SuspectSettings(strength=0.5)
    found, fold_of = out_of_fold(vectors, targets, "softmax", None, settings), folds(targets, None, settings)
    for fold in range(5):
        away = fold_of == fold
        scaler = StandardScaler().fit(vectors[~away])
        model = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(
            scaler.transform(vectors[~away]), labels[~away]
        )
        np.testing.assert_allclose(
            found[away], model.predict_proba(scaler.transform(vectors[away])), atol=2e-3
        )


def test_folds_spread_classes_evenly_or_keep_sources_whole() -> None:
    targets = np.eye(3)[np.repeat([0, 1, 2], [50, 30, 20])]
    spread = folds(targets, None, SuspectSettings())
    for column in targets.T:
        counts = np.bincount(spread[column > 0], minlength=5)
        assert counts.max() - counts.min() <= 1
    sources = np.arange(100) // 4
    whole = folds(targets, sources, SuspectSettings())
    assert all(len(np.unique(whole[sources == source])) == 1 for source in range(25))
    assert np.bincount(whole).tolist() == [20] * 5


def test_a_clips_own_label_does_not_move_what_is_said_of_it() -> None:
    vectors, labels = classes(40, 1.0)
    one, two = np.eye(4)[labels], np.eye(4)[labels]
    two[0] = np.roll(two[0], 1)
    settings, sources = SuspectSettings(folds=40, apart=True), np.arange(40)
    first, second = (gather(vectors, targets, "softmax", sources, settings) for targets in (one, two))
    np.testing.assert_allclose(first.neighbors[0], second.neighbors[0])
    np.testing.assert_allclose(first.probe[0], second.probe[0], atol=1e-9)


def test_copies_of_one_clip_and_a_clip_that_may_ask_nobody_have_shares_too() -> None:
    targets = np.eye(2)[np.arange(10) % 2]
    same = gather(np.ones((10, 3), np.float32), targets, "softmax", np.arange(10), SETTINGS)
    assert np.isfinite(same.mean).all()
    settings = SETTINGS.model_copy(update={"apart": True})
    alone = gather(np.eye(10, dtype=np.float32), targets, "softmax", np.zeros(10, dtype=np.int64), settings)
    np.testing.assert_allclose(alone.mean, 0.5)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_half_precision_says_what_the_same_numbers_say_in_full(distance: Distance) -> None:
    vectors, labels = classes(60, 1.0)
    halves = (300 * vectors).astype(np.float16)  # their squares go beyond what a half can hold
    settings = SETTINGS.model_copy(update={"distance": distance})
    asked = np.eye(4)[labels], "softmax", np.arange(60), settings
    found, wanted = gather(halves, *asked), gather(halves.astype(np.float32), *asked)  # type: ignore[arg-type]
    assert np.isfinite(found.mean).all()
    np.testing.assert_array_equal(found.neighbors, wanted.neighbors)
    np.testing.assert_array_equal(found.probe, wanted.probe)
