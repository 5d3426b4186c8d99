"""Intervals, comparisons and verdicts, computed from scores by arm, seed and test group."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from nearfield.core.errors import RequestError
from nearfield.core.text import count
from nearfield.core.types import Ints
from nearfield.metrics.intervals import logit_interval
from nearfield.study.records import Comparison, Conclusion, Estimate, VarianceParts, Verdict
from nearfield.study.statistics.family import (
    FALSE_CLAIMS,
    FOR_ARMS,
    FOR_BASELINES,
    Bound,
    against_baseline,
    all_pairs,
    candidates,
)
from nearfield.study.statistics.looks import ONE_LOOK, Look
from nearfield.study.statistics.planning import cost, numbers, power, seeds_to_decide
from nearfield.study.statistics.trend import rate_of_pairs, trend
from nearfield.study.statistics.two_way import Array, MeanSquares, fold_count, pairs

# The verdict on each arm and the recommended arm. Both follow from the intervals alone.

_Bounds = Mapping[tuple[str, str], tuple[float, float, Comparison]]


def verdicts(
    arms: Sequence[str],
    failures: Mapping[str, str],
    estimates: Mapping[str, Estimate],
    comparisons: Sequence[Comparison],
    meaningful: float,
    silent: str = "",
) -> tuple[Verdict, ...]:
    """One verdict per arm, in the order of `arms`. `silent` is the reason not to claim anything, or ""."""
    compared = [arm for arm in arms if arm not in failures]
    if silent or not compared:
        return tuple(Verdict(arm, "not_comparable", "", failures.get(arm, silent)) for arm in arms)
    first = max(compared, key=lambda arm: estimates[arm].mean)
    between = _between(comparisons)
    found = []
    for arm in arms:
        if arm in failures:
            found.append(Verdict(arm, "not_comparable", "", failures[arm]))
        else:
            found.append(
                _verdict(arm, first, [other for other in compared if other != arm], between, meaningful)
            )
    return tuple(found)


def _verdict(arm: str, first: str, others: Sequence[str], between: _Bounds, meaningful: float) -> Verdict:
    if not others:
        return Verdict(arm, "not_comparable", "", "there is no other arm to compare it with")
    if all(between[arm, other][0] > 0 for other in others):
        return Verdict(arm, "best", _closest(arm, others, between), "")
    if all(_least(arm, other, between) > -meaningful for other in others):
        return Verdict(arm, "as_good", first if arm != first else _closest(arm, others, between), "")
    above = [other for other in others if between[arm, other][1] < 0]
    if above:
        return Verdict(arm, "worse", first if first in above else above[0], "")
    is_open = arm != first and between[arm, first][2].claim == "undecided"
    against = first if is_open else _closest(arm, others, between)
    return Verdict(arm, "undecided", against, cost(between[arm, against][2]))


def _least(arm: str, other: str, between: _Bounds) -> float:
    """Lower one-sided bound of the difference of two arms."""
    low, _, each = between[arm, other]
    bound = each.least if each.one == arm else None if each.most is None else -each.most
    return low if bound is None else bound


def _closest(arm: str, others: Sequence[str], between: _Bounds) -> str:
    """The arm whose difference from `arm` has the smallest lower bound."""
    return min(others, key=lambda other: between[arm, other][0])


def _between(comparisons: Sequence[Comparison]) -> _Bounds:
    """(one, other) -> lower and upper bound of one minus other, for both orders of each pair."""
    found: dict[tuple[str, str], tuple[float, float, Comparison]] = {}
    for each in comparisons:
        found[each.one, each.other] = (each.low, each.high, each)
        found[each.other, each.one] = (-each.high, -each.low, each)
    return found


@dataclass(frozen=True)
class Recommendation:
    """The arm to take."""

    arm: str | None
    """None if nothing is compared."""
    because: str
    candidates: tuple[str, ...] = ()
    """Arms that may be the best."""
    at_most_lost: float | None = None
    """How far the arm may lie below the best one."""


def recommend(
    found: Sequence[Verdict],
    estimates: Mapping[str, Estimate],
    costs: Mapping[str, float],
    may_lose: Mapping[str, float],
    candidates: tuple[str, ...],
) -> Recommendation:
    """Recommends the cheapest of the best arm and those as good as it, else the candidate of highest mean.

    `may_lose` says how far each compared arm may lie below the best; `candidates` may be the best.
    """
    compared = [each.arm for each in found if each.word != "not_comparable"]
    if not compared:
        return Recommendation(None, "no arm is compared with another")
    good = {verdict.arm: verdict.word for verdict in found if verdict.word in ("best", "as_good")}
    cheapest = min((costs.get(arm, 0.0) for arm in good), default=0.0)
    cheap = [arm for arm in good if costs.get(arm, 0.0) == cheapest]
    chosen = max(cheap or candidates, key=lambda arm: estimates[arm].mean)
    if not good:
        those = "all arms" if len(candidates) == len(compared) else "those"
        because = f"it has the highest mean of {those}"
        if those == "those":
            because = f"it has the highest mean of the {count(len(candidates), 'arm')} that may be the best"
    elif len(good) == 1:
        is_best = good[chosen] == "best"
        because = "it is the best" if is_best else "it alone is shown to be as good as the best"
    elif len(cheap) == len(good):
        because = "it has the highest mean of those that are as good as the best; they cost the same"
    else:
        because = "it is the cheapest of those that are as good as the best"
    return Recommendation(chosen, because, candidates, may_lose.get(chosen))


# The conclusion of a study from its scores by arm, seed and test group.

LEAST_SEEDS = 3
"""With fewer trainings of an arm (seeds times folds), a study describes its results but claims nothing."""


@dataclass(frozen=True)
class PlannedTest:
    """The settings of the plan that the statistics use."""

    measure: str
    meaningful: float
    costs: Mapping[str, float]
    """The cost of using each arm, in any unit. Among equally good arms, the cheapest is recommended."""
    within: tuple[float, float] = (-math.inf, math.inf)
    """The range of the metric, which limits the intervals of arms."""
    look: Look = ONE_LOOK
    """The share of the error rate that may be spent."""
    folds: Ints | None = None
    """The fold (G,) of each test group, if every fold is judged by trainings of its own."""

    values: Mapping[str, float] | None = None
    """The value of each arm, if a single ordered factor varies."""
    family: int = 0
    """Number of arms of the study, if some are no longer compared; 0: those that are compared."""

    @property
    def fold_count(self) -> int:
        """Number of folds; 1 without folds."""
        return fold_count(self.folds)


def conclude(
    asked: PlannedTest,
    scores: Mapping[str, Array],
    failures: Mapping[str, str] | None = None,
    baselines: Mapping[str, Array] | None = None,
) -> Conclusion:
    """Compares all arms, and all arms with all baselines.

    `scores` holds an (S, G) table per arm: one row per seed (NaN if that training failed or lacks the metric)
    and one column per test group, the same in all tables. `failures` gives the arms with such a row, and why.
    `baselines` is like `scores`, with a single row for baselines that do not depend on the seed.

    An arm with a failed training is not compared, because its other trainings are a biased sample. Raises
    RequestError if the shapes of the tables differ.
    """
    failures = dict(failures or {})
    _check(scores)
    whole = {name: table for name, table in scores.items() if name not in failures}
    estimates = {
        name: estimate(table, asked.within, asked.folds)
        for name, table in scores.items()
        if has_estimate(table)
    }
    plain = {f"baseline/{name}": table for name, table in (baselines or {}).items()}
    estimates |= {name: estimate(table, asked.within, asked.folds) for name, table in plain.items()}
    seeds = len(next(iter(whole.values()))) if whole else 0
    comparisons: tuple[Comparison, ...] = ()
    may_lose: dict[str, float] = {}
    may_win: tuple[str, ...] = ()
    shape = None
    silent = _silence(seeds, asked)
    if not silent:
        by_arms = FOR_ARMS if plain else FALSE_CLAIMS
        by_baselines = FOR_BASELINES if len(scores) > 1 else FALSE_CLAIMS
        is_whole = len(whole) >= asked.family  # the arms that are left are no random sample of all
        rate = by_arms * asked.look.share
        shape = trend(whole, asked.values, rate, asked.folds) if asked.values and is_whole else None
        by_pairs = rate_of_pairs(shape, by_arms)
        comparisons = (*_arms(asked, whole, by_pairs), *_baselines(asked, whole, plain, by_baselines))
        may_win, may_lose = _with_best(asked, whole)
    found = verdicts(list(scores), failures, estimates, comparisons, asked.meaningful, silent)
    chosen = recommend(found, estimates, asked.costs, may_lose, may_win)
    because = chosen.because
    if chosen.arm and len(whole) < len(scores):
        because += f", among the {count(len(whole), 'arm')} that finished"
    groups = next(iter(scores.values())).shape[1] if scores else 0
    return Conclusion(
        asked.measure,
        asked.meaningful,
        estimates,
        comparisons,
        found,
        chosen.arm,
        because,
        _procedure(seeds, groups, len(whole), len(plain), asked),
        chosen.candidates,
        chosen.at_most_lost,
        shape,
    )


def _silence(seeds: int, asked: PlannedTest) -> str:
    """Why the study must not claim anything yet; "" if it may."""
    if seeds * asked.fold_count < LEAST_SEEDS:
        return f"a verdict needs {LEAST_SEEDS} seeds at least"
    return "" if asked.look.share else "a verdict needs all planned seeds"


def _check(scores: Mapping[str, Array]) -> None:
    shapes = {name: table.shape for name, table in scores.items()}
    if len(set(shapes.values())) > 1:
        raise RequestError(
            f"Arms were scored on different seeds or test groups: {shapes}. Run the study again, with the "
            "same seeds and data for all arms."
        )


def has_estimate(table: Array) -> bool:
    """Whether any seed has a score for every test group."""
    return bool(np.isfinite(table).all(1).any())


def estimate(
    table: Array, within: tuple[float, float] = (-math.inf, math.inf), folds: Ints | None = None
) -> Estimate:
    """Mean and 95 % interval of one arm; the mean alone if there is only one seed and one group.

    If the metric is bounded on both sides, the interval is computed on the scale of log(p / (1 - p)), as in
    `metrics.intervals`: near a bound, a symmetric interval is too short on the far side.
    """
    per_seed = tuple(float(value) if np.isfinite(value) else None for value in table.mean(1))
    whole = table[np.isfinite(table).all(1)]
    mean, (seeds, groups) = float(whole.mean()), whole.shape
    if seeds > 1 or fold_count(folds) > 1:
        squares = MeanSquares.of(whole, folds)
        error = float(np.sqrt(squares.variance))
        limit = float(Bound(2, *squares.dof).limit(squares.share, 0.05))
    elif groups > 1:
        error, limit = float(stats.sem(whole[0])), float(stats.t.ppf(0.975, groups - 1))
    else:
        return Estimate(mean, mean, mean, per_seed)
    low, high = within
    if math.isinf(low) or math.isinf(high):
        return Estimate(mean, max(low, mean - limit * error), min(high, mean + limit * error), per_seed)
    size = high - low
    share = min(1.0, max(0.0, (mean - low) / size))  # rounding may give a value outside [0, 1]
    ends = logit_interval(share, error / size, limit, groups if groups > 1 else seeds)
    return Estimate(mean, low + size * ends[0], low + size * ends[1], per_seed)


def _arms(asked: PlannedTest, scores: Mapping[str, Array], rate: float) -> list[Comparison]:
    """Compares every pair of arms; all these comparisons together may spend `rate`."""
    names = list(scores)
    if len(names) < 2:
        return []
    tables = np.stack([scores[name] for name in names])
    level, arms = rate * asked.look.share, len(names)
    squares, errors, seeds, bound = all_pairs(tables, asked.folds)
    bound = replace(bound, arms=max(arms, asked.family))
    together = squares.pooled(arms - 1).single() if arms > 2 else None
    found = []
    for place, (one, other) in enumerate(zip(*pairs(arms), strict=True)):
        own, error = squares.at(place), float(errors[place])
        limit = float(bound.limit(seeds[place], level)) * error
        one_sided = float(bound.limit(seeds[place], min(1.0, 2 * FALSE_CLAIMS * asked.look.share))) * error
        corrected = _p_value(own, error, float(seeds[place]), bound) * FALSE_CLAIMS / level
        found.append(
            _comparison(
                asked, (names[one], names[other]), own, together, (limit, one_sided), corrected, arms, level
            )
        )
    return found


def _with_best(asked: PlannedTest, scores: Mapping[str, Array]) -> tuple[tuple[str, ...], dict[str, float]]:
    """The arms that may be the best, and how far each arm may lie below the best."""
    names = list(scores)
    if len(names) < 2:
        return tuple(names), dict.fromkeys(names, 0.0)
    squares, errors, shares, bound = all_pairs(np.stack([scores[name] for name in names]), asked.folds)
    bound = replace(bound, arms=max(len(names), asked.family))
    one, other = pairs(len(names))
    gaps, limits = np.zeros((2, len(names), len(names)))
    gaps[one, other], gaps[other, one] = squares.mean, -squares.mean
    widest = asked.within[1] - asked.within[0]
    limit = np.minimum(bound.best_limit(shares, FALSE_CLAIMS * asked.look.share) * errors, widest)
    unknown = 2 * np.maximum(np.abs(squares.mean), asked.meaningful) if math.isinf(widest) else widest
    limit = np.where(errors == 0, unknown, limit)
    limits[one, other] = limits[other, one] = limit
    may, lost = candidates(gaps, limits)
    return (
        tuple(name for name, is_one in zip(names, may, strict=True) if is_one),
        dict(zip(names, np.minimum(lost, widest).tolist(), strict=True)),
    )


def _baselines(
    asked: PlannedTest, scores: Mapping[str, Array], baselines: Mapping[str, Array], rate: float
) -> list[Comparison]:
    """Compares every arm with every baseline; all these comparisons together may spend `rate`.

    Bonferroni corrects over baselines.
    """
    arms, level = len(scores), rate * asked.look.share / max(1, len(baselines))
    found = []
    for name, baseline in baselines.items():
        tables = np.stack(list(scores.values()))
        own, errors, shares, bound = against_baseline(tables, baseline, asked.folds)
        bound = replace(bound, arms=max(arms, asked.family) + 1)
        together, limits = own.pooled(arms).single(), bound.limit(shares, level) * errors
        for place, arm in enumerate(scores):
            squares, limit = own.at(place), (float(limits[place]), float(limits[place]))
            corrected = _p_value(squares, float(errors[place]), float(shares[place]), bound)
            corrected *= FALSE_CLAIMS / level
            found.append(
                _comparison(asked, (arm, name), squares, together, limit, corrected, arms + 1, level)
            )
    return found


def _p_value(own: MeanSquares, error: float, share: float, bound: Bound) -> float:
    """The p value of a difference; 1 if nothing varies, because then its standard error is unknown."""
    if error == 0:
        return 1.0
    return bound.p_value(abs(float(own.mean)) / error, share)


def _comparison(
    asked: PlannedTest,
    names: tuple[str, str],
    own: MeanSquares,
    together: MeanSquares | None,
    limits: tuple[float, float],
    p: float,
    arms: int,
    level: float,
) -> Comparison:
    """A comparison. `limits` are that of a difference and, for equality, the one-sided one."""
    difference, (limit, one_sided) = float(own.mean), limits
    widest = asked.within[1] - asked.within[0]
    is_constant = limit == 0  # equal in every seed and group, so the standard error is unknown
    if is_constant:
        limit = one_sided = 2 * max(abs(difference), asked.meaningful) if math.isinf(widest) else widest
    least, most = max(-widest, difference - one_sided), min(widest, difference + one_sided)
    low, high = max(-widest, difference - limit), min(widest, difference + limit)
    claim: Literal["better", "worse", "equal", "undecided"] = "undecided"
    if low > 0 or high < 0:
        claim = "better" if low > 0 else "worse"
    elif -asked.meaningful < least and most < asked.meaningful:
        claim = "equal"
    parts = numbers(own)
    more, by_seeds = None, None
    if claim == "undecided":
        further = level / asked.look.share * asked.look.after
        more, by_seeds = seeds_to_decide(own, together, asked.meaningful, arms, further)
    if is_constant:
        more, by_seeds = None, 0.0
    others = numbers(together) if together else None
    alone = _p_value(own, float(np.sqrt(own.variance)), float(own.share), Bound(2, *own.dof))
    return Comparison(
        one=names[0],
        other=names[1],
        difference=difference,
        low=low,
        high=high,
        p=min(1.0, p),
        p_alone=alone,
        seeds=own.seeds,
        groups=own.groups,
        parts=VarianceParts(*(part**0.5 for part in parts)),
        claim=claim,
        more_seeds=more,
        power=power(asked.meaningful, parts, own.seeds, own.groups, arms, level, others, own.folds),
        by_seeds=by_seeds,
        folds=own.folds,
        least=least,
        most=most,
    )


def _procedure(seeds: int, groups: int, arms: int, baselines: int, asked: PlannedTest) -> str:
    look, folds = asked.look, asked.fold_count
    few = "Fewer than two arms have all their trainings: nothing is compared."
    if not arms:
        return few
    if seeds * folds < LEAST_SEEDS:
        return (
            f"With {count(seeds, 'seed')} this document describes and claims nothing: "
            f"a claim needs {LEAST_SEEDS} at least."
        )
    if arms == 1 and not baselines:
        return few
    if not look.share:
        return "Not all planned seeds are finished: this document describes and claims nothing yet."
    units = (
        f"{groups} groups of the test set"
        if groups > 1
        else "no groups of the test set, which is taken as it is"
    )
    hold = math.floor(100 - 100 * FALSE_CLAIMS)
    beside = f"with {count(baselines, 'baseline')}" if baselines else ""
    compared = f"{arms} arms are compared in all pairs{beside and ', and '}{beside}"
    if arms == 1:
        compared = f"One arm is compared {beside}"
    crossed = f"paired by {seeds} seeds and crossed with {units}"
    about = (
        "The claims are about this split of this data set: other training clips are one more chance, which "
        "no seed shows."
    )
    if folds > 1:
        crossed = (
            f"paired by {seeds * folds} trainings ({count(seeds, 'seed')} of each of {folds} folds) and by "
            f"{groups} groups, each judged by the {count(seeds, 'training')} that never saw its fold"
        )
        about = (
            "The claims are about collections like this one and splits like these: the part of the groups "
            f"counts {MeanSquares.factor(seeds, folds):g} times, because the folds share training clips."
        )
    return (
        f"{compared}, {crossed}: "
        "seeds, groups and the remainder are random (two-way random effects). The variance between seeds is "
        "pooled over all pairs; that between groups is a pair's own, drawn to the average. Intervals are "
        "simultaneous (Tukey's studentized range, with Cochran's bound for the two kinds of chance): "
        f"in {hold} of 100 studies all hold together, and whatever they exclude is "
        "claimed. p is corrected accordingly. Which arms may be the best, what the recommended one loses at "
        "most (Hsu's comparisons with the best) and which arms are equal (one-sided bounds) hold in 95 "
        f"of 100 studies each.{_spending(look)} {about}"
    )


def _spending(look: Look) -> str:
    """How much of the error rate the looks have spent, in words; "" if one look spends all of it."""
    if look.share == 1:
        return ""
    kept = "the rest is kept for going on" if look.spent < 1 - 1e-9 else "nothing is left for going on"
    return f" The level of this look is {look.share:.0%} of that rate; {kept}."
