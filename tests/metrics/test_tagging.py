"""Areas against scikit-learn, with ties and weights; the tag probe's choices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from nearfield.core.errors import RequestError
from nearfield.metrics.tagging import Tagged, fit_tag_probe, macro, tag_areas


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_areas_equal_scikit_learn_with_ties_and_weights(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 15))
    has = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    scores = np.array(data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)), dtype=float)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)), dtype=float)
    for given_weights in (None, weights):
        counted = np.ones(size) if given_weights is None else weights
        areas = tag_areas(has[:, None], scores[:, None], given_weights)
        if not (counted[has].sum() and counted[~has].sum()):
            assert np.isnan(areas["roc_auc"]).all()
            assert np.isnan(areas["pr_auc"]).all()
            continue
        assert areas["roc_auc"][0, 0] == pytest.approx(roc_auc_score(has, scores, sample_weight=counted))
        theirs = average_precision_score(has, scores, sample_weight=counted)
        assert areas["pr_auc"][0, 0] == pytest.approx(theirs)


def test_the_mean_leaves_out_tags_of_one_kind() -> None:
    tags = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]], dtype=bool)
    areas = tag_areas(tags, tags.astype(float))
    np.testing.assert_array_equal(areas["roc_auc"], [[1, np.nan, 1]])
    assert macro(areas["roc_auc"]).tolist() == [1]
    assert np.isnan(macro(tag_areas(tags[:, 1:2], np.zeros((3, 1)))["roc_auc"])).all()


def test_perfect_scores_one_the_reverse_zero_and_no_clips_nothing() -> None:
    tags = np.random.default_rng(0).random((30, 4)) < 0.4
    hits = tags.astype(np.float64)
    assert np.allclose(tag_areas(tags, hits)["pr_auc"], 1)
    assert np.allclose(tag_areas(tags, -hits)["roc_auc"], 0)
    assert np.allclose(tag_areas(tags, 0 * hits)["roc_auc"], 0.5)
    assert np.allclose(tag_areas(tags, 0 * hits)["pr_auc"], tags.mean(axis=0))
    assert np.isnan(tag_areas(tags[:0], np.zeros((0, 4)))["roc_auc"]).all()
    assert tag_areas(tags[:, :0], np.zeros((30, 0)))["roc_auc"].shape == (1, 0)


def _clips(count: int, seed: int) -> Tagged:
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((count, 12))
    planes = np.random.default_rng(99).standard_normal((12, 5))
    return Tagged(vectors.astype(np.float32), vectors @ planes + chance.standard_normal((count, 5)) * 2 > 2)


def test_the_probe_learns_tags_and_chooses_its_strength_on_val() -> None:
    train, val, test = _clips(80, 0), _clips(150, 1), _clips(300, 2)
    probe = fit_tag_probe(train, val)
    assert probe.chosen
    assert probe.model.converged
    scores = {}
    for strength in (1e-4, probe.strength, 100.0):
        found = fit_tag_probe(train, strength=strength).probabilities(val.vectors)
        scores[strength] = float(macro(tag_areas(val.tags, found)["pr_auc"])[0])
    assert max(scores.values()) == pytest.approx(scores[probe.strength], abs=1e-4)
    areas = tag_areas(test.tags, probe.probabilities(test.vectors))
    assert macro(areas["roc_auc"])[0] > 0.8


def test_tags_that_train_cannot_teach_are_not_read() -> None:
    train = _clips(60, 3)
    tags = train.tags.copy()
    tags[:, 1], tags[:, 3] = True, False
    probe = fit_tag_probe(Tagged(train.vectors, tags))
    assert probe.readable.tolist() == [0, 2, 4]
    assert probe.probabilities(train.vectors).shape == (60, 3)
    assert probe.strength == 1.0
    with pytest.raises(RequestError, match="train must have a tag that some clips have and others do not"):
        fit_tag_probe(Tagged(train.vectors, tags[:, [1, 3]]))


def test_balanced_weights_raise_the_chances_of_rare_tags() -> None:
    train = _clips(200, 4)
    plain, fair = (
        fit_tag_probe(train, strength=1.0, balanced=b).probabilities(train.vectors) for b in (False, True)
    )
    assert fair.mean() > plain.mean()
