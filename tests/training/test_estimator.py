"""The estimator in scikit-learn's own hands: its checks, pipelines, cross-validation, clones."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from nearfield.core.errors import RequestError
from nearfield.training.estimator import Embedder, FitError
from nearfield.training.recipe import Recipe
from nearfield.training.trainer import Training
from tests.training.conftest import small

QUICK = {
    "data.sample_rate": 1000,
    "data.clip_seconds": 0.1,
    "feature.bands": 4,
    "feature.low": 0.0,
    "feature.window_ms": 16.0,
    "feature.hop_ms": 8.0,
    "normalize.kind": "none",
    "backbone.width": 4,
    "backbone.blocks": 1,
    "embedding.size": 3,
    "sampler.classes": 2,
    "sampler.per_class": 2,
}
"""A recipe for arrays of a few numbers, as scikit-learn's checks have them."""


def expected_to_fail(estimator: Any) -> dict[str, str]:
    """The one check that gives int64 for samples."""
    return {"check_estimators_dtypes": "int64 does not tell what full scale is: refused, not guessed"}


@pytest.mark.filterwarnings(
    "ignore::nearfield.training.vector_checks.VectorWarning"
)  # of sounds of ten samples
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [Embedder(QUICK, max_iter=1, device="cpu")], expected_failed_checks=expected_to_fail, xfail_strict=True
)
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def sounds(tones: Path) -> tuple[list[str], list[str]]:
    paths = sorted(tones.glob("*/*.wav"))
    return [str(path) for path in paths], [path.parent.name for path in paths]


def recipe(**changes: Any) -> Recipe:
    return Recipe.of(small(train={"updates": 40}, normalize={"kind": "none"}, augment=[]) | changes)


def test_files_are_learnt_and_scored_by_their_nearest_training_file(
    sounds: tuple[list[str], list[str]],
) -> None:
    paths, labels = sounds
    held_out = [number for number in range(len(paths)) if number % 5 == 0]
    kept = [number for number in range(len(paths)) if number % 5]
    embedder = Embedder(recipe(), device="cpu").fit([paths[n] for n in kept], [labels[n] for n in kept])
    assert list(embedder.classes_) == ["a", "b", "c", "d"]
    vectors = embedder.transform([paths[n] for n in held_out])
    assert vectors.shape == (8, 8)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    found = NearestNeighbors(n_neighbors=1).fit(embedder.vectors_).kneighbors(vectors)[1][:, 0]
    oracle = np.mean([labels[kept[f]] == labels[n] for f, n in zip(found, held_out, strict=True)])
    assert embedder.score([paths[n] for n in held_out], [labels[n] for n in held_out]) == oracle
    assert oracle > 0.9
    assert list(embedder.get_feature_names_out()[:2]) == ["embedder0", "embedder1"]


def test_all_of_what_is_given_is_learnt_from(
    sounds: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def noted(setup: Any, *rest: Any) -> Any:
        seen.append(setup)
        return Training(setup, *rest)

    monkeypatch.setattr("nearfield.training.estimator.Training", noted)
    embedder = Embedder(recipe(), max_iter=1, device="cpu").fit(*sounds)
    assert len(seen[0].collection.rows("train")) == len(sounds[0])
    assert not embedder.run_.folder.path.exists()


def test_waves_of_many_lengths_are_the_files_they_came_from(sounds: tuple[list[str], list[str]]) -> None:
    paths, labels = sounds
    waves = [soundfile.read(path, dtype="float32")[0] for path in paths]
    by_file = Embedder(recipe(), max_iter=3, device="cpu").fit(paths, labels)
    by_wave = Embedder(recipe(), max_iter=3, device="cpu").fit(waves, np.array(labels))
    assert np.allclose(by_file.vectors_, by_wave.vectors_, atol=1e-6)
    longer = [np.concatenate([waves[0], waves[0]]), waves[1][:1000], waves[2][None]]
    assert by_wave.transform(longer).shape == (3, 8)
    as_array = Embedder(recipe(), max_iter=3, device="cpu").fit(np.stack(waves), labels)
    assert np.array_equal(as_array.vectors_, by_wave.vectors_)


def test_in_pipelines_grids_and_cross_validation(sounds: tuple[list[str], list[str]]) -> None:
    paths, labels = sounds
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    scores = cross_val_score(Embedder(recipe(), device="cpu"), paths, labels, cv=folds)
    assert scores.mean() > 0.9
    line = make_pipeline(Embedder(recipe(), max_iter=10, device="cpu"), LogisticRegression())
    assert cross_val_score(line, paths, labels, cv=folds).shape == (2,)
    grid = GridSearchCV(line, {"embedder__max_iter": [1, 20]}, cv=folds).fit(paths, labels)
    assert grid.best_params_["embedder__max_iter"] in (1, 20)


def test_clones_and_copies(sounds: tuple[list[str], list[str]]) -> None:
    embedder = Embedder({"train.updates": 2, **{k: v for k, v in QUICK.items() if "kind" not in k}})
    again = clone(embedder).set_params(random_state=3, n_neighbors=5)
    assert again.get_params() == {**embedder.get_params(), "random_state": 3, "n_neighbors": 5}
    fitted = [
        Embedder(recipe(), max_iter=3, random_state=seed, device="cpu").fit(*sounds) for seed in (1, 1, 2)
    ]
    assert np.array_equal(fitted[0].vectors_, fitted[1].vectors_)
    assert not np.allclose(fitted[0].vectors_, fitted[2].vectors_)
    copy = pickle.loads(pickle.dumps(fitted[0]))
    assert np.array_equal(copy.transform(sounds[0][:3]), fitted[0].transform(sounds[0][:3]))


def test_recipes_from_files_and_without_labels(sounds: tuple[list[str], list[str]], tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe().text())
    by_file = Embedder(str(path), max_iter=2, device="cpu").fit(*sounds)
    assert by_file.run_.recipe.train.updates == 2
    views = recipe(
        relation={"kind": "views"}, sampler={"kind": "views", "batch_size": 8}, loss={"kind": "nt_xent"}
    )
    alone = Embedder(views, max_iter=2, device="cpu").fit(sounds[0])
    assert alone.transform(sounds[0]).shape == (40, 8)
    with pytest.raises(FitError, match="fit was given none"):
        alone.score(*sounds)


def test_the_usual_recipe_takes_as_many_labels_as_there_are() -> None:
    usual = Embedder()._recipe(3)
    assert usual.sampler.kind == "balanced"
    assert usual.sampler.classes == 3
    assert Embedder({"loss.margin": 0.4})._recipe(20).sampler == Recipe().sampler
    assert Embedder({"sampler.classes": 5})._recipe(20).sampler == Recipe().sampler.model_copy(
        update={"classes": 5}
    )


def test_what_cannot_be_learnt_from_says_why(sounds: tuple[list[str], list[str]]) -> None:
    with pytest.raises(RequestError, match=r"Embedder: loss: unknown key 'margn'. Did you mean 'margin'"):
        Embedder({"loss.margn": 1.0}).fit(*sounds)
    with pytest.raises(ValueError, match="y has 1 class"):
        Embedder(recipe()).fit(sounds[0], ["a"] * 40)
    with pytest.raises(RequestError, match="requires y to be passed"):
        Embedder(recipe()).fit(sounds[0])
    with pytest.raises(RequestError, match="Embedder: sound 1: 1 of 2 samples are NaN"):
        Embedder(recipe()).fit([np.zeros(10), np.array([0.0, np.nan])], ["a", "b"])
    with pytest.raises(RequestError, match="no such file"):
        Embedder(recipe(), max_iter=1).fit([*sounds[0], "gone.wav"], [*sounds[1], "a"])


def test_seeds_recipes_and_labels_that_do_not_say_what_they_mean_are_refused(
    sounds: tuple[list[str], list[str]],
) -> None:
    paths, labels = sounds
    names: Any = np.array(labels, dtype=object)
    for odd in (None, np.nan, pd.NA):
        names[3] = odd
        with pytest.raises(FitError, match=r"y has no label for sound 3 \(.*\), 1 in all"):
            Embedder(recipe()).fit(paths, names)
    names[3] = 3
    with pytest.raises(FitError, match=r"of several types \(int, str\)"):
        Embedder(recipe()).fit(paths, names)
    with pytest.raises(FitError, match="each of the 40 labels of y stands once"):
        Embedder(recipe()).fit(paths, [str(number) for number in range(40)])
    seeds: list[Any] = ["0", 1.5, True]
    for seed in seeds:
        with pytest.raises(FitError, match="random_state is a whole number"):
            Embedder(recipe(), random_state=seed).fit(*sounds)
    given: Any = 42
    with pytest.raises(FitError, match=r"recipe is a Recipe.*Given: 42\. The number of updates is max_iter="):
        Embedder(given).fit(*sounds)


def test_fitting_leaves_torchs_own_chance_alone(sounds: tuple[list[str], list[str]]) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Embedder(recipe(), max_iter=2, device="cpu").fit(*sounds)
    assert torch.equal(torch.rand(3), wanted)


def test_whole_numbers_and_tables_are_what_they_are_elsewhere(sounds: tuple[list[str], list[str]]) -> None:
    paths, labels = sounds
    waves = [np.rint(soundfile.read(path)[0] * 2**15).astype(np.int16) for path in paths]
    by_file = Embedder(recipe(), max_iter=3, device="cpu").fit(paths, labels)
    by_wave = Embedder(recipe(), max_iter=3, device="cpu").fit(np.stack(waves), labels)
    assert np.allclose(by_file.vectors_, by_wave.vectors_, atol=0.02)
    assert np.allclose(by_file.transform(waves[:4]), by_file.vectors_[:4], atol=0.02)
    with pytest.raises(FitError, match=r"Embedder: sound 0: a wave is \(channels, samples\).*transpose"):
        by_file.transform([np.stack([waves[0], waves[0]], axis=1)])
    with pytest.raises(FitError, match=r"Given: a DataFrame\. Give its column of paths"):
        by_file.transform(pd.DataFrame({"path": paths}))


def test_a_random_state_draws_the_seed(sounds: Any) -> None:
    def vectors(state: Any) -> Any:
        return Embedder(recipe(), max_iter=1, random_state=state, device="cpu").fit(*sounds).vectors_

    drawn = int(np.random.RandomState(7).randint(2**31))
    np.testing.assert_array_equal(vectors(np.random.RandomState(7)), vectors(drawn))
