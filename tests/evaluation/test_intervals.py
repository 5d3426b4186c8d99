"""Resampling: what is drawn, what it equals, and how often an interval holds the truth."""

import numpy as np
import pytest
from scipy.stats import norm, t

from nearfield.evaluation import intervals
from nearfield.evaluation.intervals import Resamples, mirrored_interval, percentile_interval, weighted_mean


def test_whole_groups_are_drawn_as_many_as_there_are() -> None:
    groups = np.array([4, 4, 9, -1, -1, 9, 9])
    resamples = Resamples.of(groups, draws=200)
    assert resamples.groups == 4
    assert (resamples.counts.sum(axis=1) == 4).all()
    weights = np.concatenate(list(resamples.weights()))
    assert weights.shape == (200, 7)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 5]).all()
    assert (weights[:, 3] != weights[:, 4]).any()


def test_the_seed_fixes_the_draws_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    groups, scores = np.arange(30) // 2, np.random.default_rng(0).random(30)
    values = Resamples.of(groups, 100, seed=3).apply(weighted_mean(scores))
    monkeypatch.setattr(intervals, "CELLS", 70)
    np.testing.assert_allclose(
        Resamples.of(groups, 100, seed=3).apply(weighted_mean(scores)), values, atol=1e-12
    )
    assert np.abs(Resamples.of(groups, 100, seed=4).apply(weighted_mean(scores)) - values).max() > 0.01


def test_the_mean_leaves_out_clips_without_a_score_column_by_column() -> None:
    scores = np.array([[1.0, np.nan], [0.0, 0.5], [np.nan, np.nan]])
    mean = weighted_mean(scores)(np.array([[1.0, 1, 1], [3, 1, 0], [0, 0, 2]]))
    np.testing.assert_allclose(mean, [[0.5, 0.5], [0.75, 0.5], [np.nan, np.nan]])


def test_many_groups_give_plain_percentiles_and_few_give_wider_ones() -> None:
    values = np.random.default_rng(1).standard_normal(20_000)
    low, high = percentile_interval(values, 100_000) or (0, 0)
    assert (low, high) == pytest.approx((-1.96, 1.96), abs=0.06)
    low, high = percentile_interval(values, 8) or (0, 0)
    assert high == pytest.approx(np.sqrt(8 / 7) * t.ppf(0.975, 7), abs=0.15)
    assert high > norm.ppf(0.975) + 0.3


def test_undefined_draws_are_left_out_and_one_group_has_no_interval() -> None:
    values = np.array([np.nan, 0.2, 0.4])
    low, high = percentile_interval(values, 5000) or (0, 0)
    assert 0.2 <= low <= high <= 0.4
    assert percentile_interval(values[:1], 10) is None
    assert percentile_interval(values, 1) is None
    assert mirrored_interval(0.5, values, 1) is None


def test_a_mirrored_interval_takes_the_bias_off_holds_its_figure_and_stays_in_range() -> None:
    chance = np.random.default_rng(2)
    low, high = mirrored_interval(0.5, 0.55 + 0.05 * chance.standard_normal(5000), 5000) or (0, 0)
    assert (low, high) == pytest.approx((0.35, 0.55), abs=0.01)
    low, high = mirrored_interval(0.5, 0.8 + 0.01 * chance.standard_normal(5000), 5000) or (0, 0)
    assert low < 0.25
    assert high == 0.5
    low, high = mirrored_interval(0.99, 0.9 + 0.05 * chance.standard_normal(500), 500) or (0, 0)
    assert low == pytest.approx(0.98, abs=0.02)
    assert high == 1


@pytest.mark.parametrize(("groups", "size"), [(10, 12), (60, 3)])
def test_intervals_hold_the_truth_as_often_as_they_say(groups: int, size: int) -> None:
    """Shares of clips whose groups differ in skill; a bootstrap clip by clip holds the truth less often."""
    chance = np.random.default_rng(groups)
    held, held_by_clips, trials = 0, 0, 300
    for trial in range(trials):
        skill = chance.beta(4, 2, groups)
        right = (chance.random((groups, size)) < skill[:, None]).astype(float).ravel()
        numbers = np.repeat(np.arange(groups), size)
        for by_clips, given in ((False, numbers), (True, np.arange(groups * size))):
            resamples = Resamples.of(given, 300, seed=trial)
            low, high = percentile_interval(resamples.apply(weighted_mean(right)), resamples.groups) or (0, 0)
            if by_clips:
                held_by_clips += low <= 4 / 6 <= high
            else:
                held += low <= 4 / 6 <= high
    assert 0.90 <= held / trials <= 0.985
    assert held_by_clips < held
