"""Trends over an ordered factor and comparisons with the best, against polynomials and by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nearfield.study.statistics.conclude import PlannedTest, conclude
from nearfield.study.statistics.family import candidates, dunnett
from nearfield.study.statistics.trend import rate_of_pairs, scale_of, trend, weights
from nearfield.study.statistics.two_way import Array

MARGINS = (0.3, 0.5, 0.7, 1.0, 2.0, 10.0)
NAMES = "abcdef"
VALUES = dict(zip(NAMES, MARGINS, strict=True))
ASKED = PlannedTest("probe/macro_f1", 0.02, {}, values=VALUES)


def simulated(rng: np.random.Generator, means: Array, seeds: int = 5, groups: int = 57) -> dict[str, Array]:
    """Scores of arms with these means, and the variances of the margin study on esc10."""
    arms = len(means)
    tables = (
        0.7
        + means[:, None, None]
        + rng.normal(0, 0.2, groups)
        + rng.normal(0, 0.035 / 2**0.5, (arms, seeds, 1))
        + rng.normal(0, 0.15 / 2**0.5, (arms, 1, groups))
        + rng.normal(0, 0.32 / 2**0.5, (arms, seeds, groups))
    )
    return dict(zip(NAMES, tables, strict=False))


@given(st.lists(st.integers(1, 40), min_size=4, max_size=8, unique=True), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_slope_and_curvature_are_those_of_fitted_polynomials(values: list[int], number: int) -> None:
    x, y = np.array(values, float), np.random.default_rng(number).normal(size=len(values))
    line, parabola = weights(x)
    assert line @ y == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-9)
    assert parabola @ y == pytest.approx(np.polyfit(x, y, 2)[0], abs=1e-9)
    assert abs(line.sum()) + abs(parabola.sum()) + abs(line @ parabola) < 1e-9


def test_the_scale_is_logarithmic_where_the_values_span_a_factor() -> None:
    assert scale_of([0.1, 0.2, 0.4]) == "log"
    assert scale_of([10, 12, 16]) == "linear"
    assert scale_of([0, 1, 100]) == "linear"


def test_a_fall_by_the_logarithm_is_found_as_such() -> None:
    rng = np.random.default_rng(0)
    found = trend(simulated(rng, -0.03 * np.log(MARGINS), 20, 400), VALUES, 0.04)
    assert found is not None
    assert found.scale == "log"
    assert found.line.claimed
    assert found.line.low < -0.03 < found.line.high
    assert not found.parabola.claimed
    assert rate_of_pairs(found, 0.04) == pytest.approx(0.04 * 2 / 3)
    hump = -0.05 * (np.log(MARGINS) - np.log(1.0)) ** 2
    turned = trend(simulated(rng, hump, 20, 400), VALUES, 0.04)
    assert turned is not None
    assert turned.parabola.claimed
    assert turned.turn == pytest.approx(1.0, rel=0.2)


def test_three_values_or_a_missing_arm_have_no_trend() -> None:
    scores = simulated(np.random.default_rng(0), np.zeros(6))
    assert trend({name: scores[name] for name in "abc"}, VALUES, 0.04) is None
    assert trend(scores, {name: VALUES[name] for name in "abcde"}, 0.04) is None


@pytest.mark.parametrize(
    ("means", "least"),
    [
        (np.zeros(6), None),
        (np.array([0, 0, 0, 0, 0, -0.12]), None),
        (np.linspace(0, -0.08, 6), 0.5),
    ],
    ids=["equal", "one below", "fall"],
)
def test_trends_and_pairs_together_claim_few_false_things(means: Array, least: float | None) -> None:
    """Pairs whose means are equal, and the slope of equal means, are claimed in 5 % of studies at most."""
    rng, studies, false, found_line = np.random.default_rng(4), 300, 0, 0
    for _ in range(studies):
        found = conclude(ASKED, simulated(rng, means))
        assert found.trend is not None
        by_name = dict(zip(NAMES, means, strict=True))
        wrong = [
            each
            for each in found.comparisons
            if by_name[each.one] == by_name[each.other] and each.claim in ("better", "worse")
        ]
        if not means.any():
            false += found.trend.line.claimed or found.trend.parabola.claimed or bool(wrong)
        else:
            false += bool(wrong)
        found_line += found.trend.line.claimed
    assert false <= stats.binom.ppf(0.99, studies, 0.05)
    if least is not None:
        assert found_line >= least * studies


@pytest.mark.parametrize("dof", [1, 2, 14])
def test_dunnetts_limit_of_two_arms_is_students_at_any_level(dof: int) -> None:
    for level in (0.05, 0.0015, 1e-5):  # those of early looks, and of many measures
        assert dunnett(1, dof, level) == pytest.approx(stats.t.isf(level, dof))
        assert stats.t.isf(level, dof) < dunnett(2, dof, level) <= stats.t.isf(level / 2, dof)


@pytest.mark.parametrize(("others", "dof"), [(1, 4), (3, 10), (5, 30)])
def test_dunnetts_limit_is_that_of_the_multivariate_t(others: int, dof: int) -> None:
    limit = dunnett(others, dof, 0.05)
    if others == 1:
        assert limit == pytest.approx(stats.t.isf(0.05, dof), rel=1e-3)
        return
    shape = 0.5 + 0.5 * np.eye(others)
    below = stats.multivariate_t(shape=shape, df=dof).cdf(np.full(others, limit))
    assert 1 - below == pytest.approx(0.05, abs=5e-4)


def test_the_best_arm_is_a_candidate_and_no_more_is_lost_in_95_of_100() -> None:
    rng, limit, arms, studies = np.random.default_rng(2), dunnett(4, 10_000, 0.05), 5, 4000
    for means in (np.zeros(arms), np.array([0, 0, -1, -2, -6.0]), np.array([0, -3.0, -3, -3, -3])):
        shown = means + rng.normal(0, 0.5**0.5, (studies, arms))
        gaps = shown[:, :, None] - shown[:, None, :]
        may, lost = candidates(gaps, np.full((studies, arms, arms), limit))
        is_wrong = ~may[:, 0] | (means.max() - means > lost + 1e-12).any(1)
        assert is_wrong.mean() <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5
    assert may[:, 1:].mean() < 0.6  # those 3 standard errors below are often left out


def test_arms_that_differ_by_the_meaningful_difference_are_rarely_called_equal() -> None:
    rng, studies, equal = np.random.default_rng(6), 400, 0
    means = {"a": 0.0, "b": 0.1, "c": 0.0, "d": 0.1}
    for _ in range(studies):
        found = conclude(
            PlannedTest("probe/macro_f1", 0.1, {}), simulated(rng, np.array(list(means.values())), 5, 200)
        )
        equal += any(
            each.claim == "equal" for each in found.comparisons if means[each.one] != means[each.other]
        )
    assert equal <= stats.binom.ppf(0.99, studies, 0.05)
    same = conclude(PlannedTest("probe/macro_f1", 0.1, {}), simulated(rng, np.zeros(4), 5, 200))
    assert [each.claim for each in same.comparisons].count("equal") >= 4


def test_the_curve_is_the_fitted_parabola_and_its_band_holds_the_truth() -> None:
    rng, inside = np.random.default_rng(3), []
    truth = 0.7 - 0.02 * np.log(MARGINS) - 0.01 * np.log(MARGINS) ** 2
    for _ in range(200):
        found = trend(simulated(rng, truth - 0.7), VALUES, 0.04)
        assert found is not None
        at, _, low, high = map(np.array, zip(*found.curve, strict=True))
        true = np.polyval(np.polyfit(np.log(MARGINS), truth, 2), np.log(at)) - truth.mean() + found.mean
        inside.append((low <= true) & (true <= high))
    assert 0.93 <= float(np.mean(inside)) <= 0.99
    scores = simulated(rng, truth - 0.7)
    one = trend(scores, VALUES, 0.04)
    assert one is not None
    means = [table.mean() for table in scores.values()]
    fit = np.polyval(np.polyfit(np.log(MARGINS), means, 2), np.log([point[0] for point in one.curve]))
    np.testing.assert_allclose([point[1] for point in one.curve], fit, atol=1e-9)
