"""Resampling: what is drawn, what it equals, and how often an interval holds the truth."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import binomtest, t

from nearfield.metrics import intervals
from nearfield.metrics.classification import classification_scores
from nearfield.metrics.intervals import Resamples, area_interval, share_interval, weighted_mean


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


def test_undefined_draws_are_left_out() -> None:
    values = np.array([np.nan, 0.2, 0.4])
    assert share_interval(0.3, values, 12) == share_interval(0.3, values[1:], 12)


def test_the_interval_of_an_area_reaches_further_on_the_side_of_its_bias() -> None:
    """Bias and deviation by hand: 4 values 0.01 apart about 0.61, the figure being 0.6."""
    without = 0.61 + 0.01 * np.array([-1.5, -0.5, 0.5, 1.5])
    slope, reach = 0.24, t.ppf(0.975, 3) * np.sqrt(3 / 4 * 5) * 0.01
    low, high = area_interval(0.6, without, 4) or (0, 0)
    assert (logit(low), logit(high)) == pytest.approx(
        (logit(0.6) - (reach + 3 * 0.01) / slope, logit(0.6) + reach / slope)
    )
    low, high = area_interval(0.6, without - 0.02, 4) or (0, 0)
    assert (logit(low), logit(high)) == pytest.approx(
        (logit(0.6) - reach / slope, logit(0.6) + (reach + 3 * 0.01) / slope)
    )
    assert area_interval(0.6, without, 1) is None
    assert area_interval(0.6, np.append(without, np.nan), 4) is None


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
            drawn = resamples.apply(weighted_mean(right))
            low, high = share_interval(float(right.mean()), drawn, resamples.groups) or (0, 0)
            if by_clips:
                held_by_clips += low <= 4 / 6 <= high
            else:
                held += low <= 4 / 6 <= high
    assert 0.90 <= held / trials <= 0.985
    assert held_by_clips < held


@hypothesis.given(st.floats(0, 1), st.floats(0, 0.5), st.integers(2, 200))
def test_the_interval_of_a_share_holds_its_figure_and_stays_in_range(
    figure: float, spread: float, groups: int
) -> None:
    values = figure + spread * np.array([-1.0, 1, np.nan, 0.5, -0.5])
    low, high = share_interval(figure, values, groups) or (-1, -1)
    assert 0 <= low <= figure <= high <= 1


def test_the_interval_of_a_share_is_that_of_t_where_the_scale_is_straight() -> None:
    values = 0.5 + 0.001 * np.random.default_rng(3).standard_normal(1000)
    low, high = share_interval(0.5, values, 12) or (0, 0)
    reach = t.ppf(0.975, 11) * values.std(ddof=1)
    assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach), rel=1e-4)
    assert share_interval(0.5, values, 1) is None
    assert share_interval(0.5, np.array([np.nan, 0.5]), 12) is None


@pytest.mark.parametrize(
    ("sizes", "skill"),
    [((2, 5, 8, 7, 6, 4, 8, 8, 5, 4), 0.93), ((2, 2, 3, 3, 2, 4), 0.75), ((2, 3, 8), 0.85)],
)
def test_intervals_of_macro_f1_hold_the_truth_with_few_groups_a_class(
    sizes: tuple[int, ...], skill: float
) -> None:
    """benchmarks/intervals.py in small: groups of one class each, some of which are harder than others."""
    chance, classes, clips = np.random.default_rng(11), len(sizes), 3
    # Every class is taken for the next: a class is named by its own clips and by those of the one before.
    of = np.repeat(np.arange(classes), sizes)
    counts = np.array(sizes, float)
    truth = np.mean(2 * skill * counts / (counts + skill * counts + (1 - skill) * np.roll(counts, 1)))
    reference, groups = np.repeat(of, clips), np.repeat(np.arange(len(of)), clips)
    held, ends_at_one = [], []
    for trial in range(250):
        own = np.repeat(chance.beta(4 * skill, 4 * (1 - skill), len(of)), clips)
        predicted = np.where(chance.random(len(own)) < own, reference, (reference + 1) % classes)
        resamples = Resamples.of(groups, 200, seed=trial)
        blocks = [classification_scores(reference, predicted, weights) for weights in resamples.weights()]
        drawn = np.concatenate([block["macro_f1"] for block in blocks])
        figure = float(classification_scores(reference, predicted)["macro_f1"][0])
        low, high = share_interval(figure, drawn, resamples.groups) or (0, 0)
        held.append(low <= truth <= high)
        ends_at_one.append(figure < 0.95 and high > 0.999)
    assert np.mean(held) >= 0.92
    assert not any(ends_at_one)


@pytest.mark.parametrize("figure", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_has_no_interval_of_one(figure: float) -> None:
    with pytest.raises(ValueError, match=r"not in 0\.\.1"):
        share_interval(figure, np.array([0.1, 0.2, 0.3]), 5)


def test_a_score_between_other_bounds_has_the_interval_of_a_share_on_its_scale() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.05, 200)
    low, high = share_interval(0.6, values, 12) or (0, 0)
    scaled = share_interval(0.2, 2 * values - 1, 12, within=(-1.0, 1.0))
    assert scaled == pytest.approx((2 * low - 1, 2 * high - 1))


def test_a_score_without_a_lower_bound_has_a_symmetric_interval_up_to_its_upper_one() -> None:
    values, within = np.random.default_rng(0).normal(0.9, 0.05, 200), (-np.inf, 1.0)
    reach = t.ppf(0.975, 11) * values.std(ddof=1)
    assert share_interval(-3.0, values, 12, within=within) == pytest.approx((-3 - reach, -3 + reach))
    assert share_interval(0.9, values, 12, within=within) == pytest.approx((0.9 - reach, 1.0))
    assert share_interval(1.0, np.ones(5), 12, within=within) is None


@pytest.mark.parametrize("groups", [2, 8, 57])
def test_a_share_that_all_groups_agree_on_has_the_bound_of_clopper_and_pearson(groups: int) -> None:
    exact = binomtest(groups, groups).proportion_ci(method="exact")
    assert share_interval(1.0, np.ones(10), groups) == pytest.approx((exact.low, 1))
    assert share_interval(0.0, np.zeros(10), groups) == pytest.approx((0, 1 - exact.low))
    # Groups that were not met may be all right or all wrong.
    low, high = share_interval(0.5, np.full(10, 0.5), groups) or (0, 0)
    assert (low, high) == pytest.approx((exact.low / 2, 1 - exact.low / 2))


@pytest.mark.parametrize("groups", [8, 20, 57])
def test_near_the_ceiling_the_interval_holds_the_truth(groups: int) -> None:
    """Most sets are all right; an interval from the draws alone ends there."""
    chance, truth, held, alone = np.random.default_rng(groups), 0.991, [], []
    for trial in range(200):
        skill = chance.beta(0.991 * 6, 0.009 * 6, groups)
        right = (chance.random((groups, 4)) < skill[:, None]).astype(float).ravel()
        resamples = Resamples.of(np.repeat(np.arange(groups), 4), 100, seed=trial)
        low, high = share_interval(right.mean(), resamples.apply(weighted_mean(right)), groups) or (0, 0)
        held.append(low <= truth <= high)
        alone.append(not right.all())
    assert np.mean(held) >= 0.93
    assert np.mean(alone) < 0.9
