"""From scores by arm, seed and test group to everything that may be said of the arms."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from nearfield.core.errors import RequestError
from nearfield.core.words import count
from nearfield.study.records import Comparison, Conclusion, Estimate, VarianceParts
from nearfield.study.statistics.crossed import Array, Squares, pairs
from nearfield.study.statistics.family import (
    FALSE_CLAIMS,
    FOR_ARMS,
    FOR_BASELINES,
    Bound,
    all_pairs,
)
from nearfield.study.statistics.planning import power, seeds_to_decide
from nearfield.study.statistics.verdicts import recommend, verdicts

LEAST_SEEDS = 3
"""With fewer seeds a study describes and claims nothing."""


@dataclass(frozen=True)
class Asked:
    """What the plan asked."""

    measure: str
    meaningful: float
    costs: Mapping[str, float]
    """By arm, anything that grows with what an arm costs to use: the smaller is recommended among equals."""
    within: tuple[float, float] = (-math.inf, math.inf)
    """What the measure can be: no interval of an arm goes beyond it."""
    share: float = 1.0
    """Of the error rate that this look may spend; 1 where one looks once."""


def conclude(
    asked: Asked,
    scores: Mapping[str, Array],
    failures: Mapping[str, str] | None = None,
    baselines: Mapping[str, Array] | None = None,
) -> Conclusion:
    """`scores` by arm, (S, G) each: one row a seed (NaN where that training failed or has no such measure),
    one column a test group, the same in all. `failures`: arms of which a row is so, and why. `baselines` as
    `scores`, with one row where they know no seeds.

    An arm with a failed training is not compared: what its other trainings show is what survived. Raises
    RequestError where the tables do not fit together.
    """
    failures = dict(failures or {})
    _check(scores)
    whole = {name: table for name, table in scores.items() if name not in failures}
    estimates = {name: estimate(table, asked.within) for name, table in scores.items() if has_estimate(table)}
    beside = {f"baseline/{name}": table for name, table in (baselines or {}).items()}
    estimates |= {name: estimate(table, asked.within) for name, table in beside.items()}
    seeds = len(next(iter(whole.values()))) if whole else 0
    comparisons: tuple[Comparison, ...] = ()
    if seeds >= LEAST_SEEDS:
        comparisons = (*_arms(asked, whole), *_baselines(asked, whole, beside))
    found = verdicts(list(scores), failures, estimates, comparisons, asked.meaningful, seeds >= LEAST_SEEDS)
    recommended, because = recommend(found, estimates, asked.costs)
    groups = next(iter(scores.values())).shape[1] if scores else 0
    return Conclusion(
        asked.measure,
        asked.meaningful,
        estimates,
        comparisons,
        found,
        recommended,
        because,
        _procedure(seeds, groups, len(whole), len(beside), asked.share),
    )


def _check(scores: Mapping[str, Array]) -> None:
    shapes = {name: table.shape for name, table in scores.items()}
    if len(set(shapes.values())) > 1:
        raise RequestError(
            f"Arms were scored on unlike seeds or test groups: {shapes}. Run them again alike."
        )


def has_estimate(table: Array) -> bool:
    """Whether a seed of it was scored throughout."""
    return bool(np.isfinite(table).all(1).any())


def estimate(table: Array, within: tuple[float, float] = (-math.inf, math.inf)) -> Estimate:
    """Mean and interval of one arm; the mean alone where there is nothing to take an interval from."""
    per_seed = tuple(float(value) if np.isfinite(value) else None for value in table.mean(1))
    kept = table[np.isfinite(table).all(1)]
    mean = float(kept.mean())
    if len(kept) > 1:
        squares = Squares.of(kept)
        half = float(np.sqrt(squares.variance) * Bound(2, *squares.freedoms).limit(squares.share, 0.05))
    elif kept.shape[1] > 1:
        half = float(stats.sem(kept[0]) * stats.t.ppf(0.975, kept.shape[1] - 1))
    else:
        half = 0.0
    return Estimate(mean, max(within[0], mean - half), min(within[1], mean + half), per_seed)


def _arms(asked: Asked, scores: Mapping[str, Array]) -> list[Comparison]:
    """Every pair of arms."""
    names = list(scores)
    if len(names) < 2:
        return []
    tables = np.stack([scores[name] for name in names])
    level, arms = FOR_ARMS * asked.share, len(names)
    _, errors, seeds, bound = all_pairs(tables)
    found = []
    for place, (one, other) in enumerate(zip(*pairs(arms), strict=True)):
        own, error = Squares.of(tables[one] - tables[other]), float(errors[place])
        limit = float(bound.limit(seeds[place], level)) * error
        corrected = _chance(own, error, float(seeds[place]), bound) * FALSE_CLAIMS / level
        found.append(_comparison(asked, (names[one], names[other]), own, limit, corrected, arms, level))
    return found


def _baselines(asked: Asked, scores: Mapping[str, Array], beside: Mapping[str, Array]) -> list[Comparison]:
    """Every arm against every baseline, by Bonferroni."""
    count = max(1, len(scores) * len(beside))
    level = FOR_BASELINES * asked.share
    found = []
    for name, baseline in beside.items():
        own = [Squares.of(table - baseline) for table in scores.values()]
        stacked = Squares.of(np.stack([table - baseline for table in scores.values()]))
        together = stacked.pooled(1)
        for arm, squares in zip(scores, own, strict=True):
            error = float(np.sqrt(max(float(squares.variance), float(together.variance[0]))))
            bound, share = Bound(2, *squares.freedoms), float(together.share[0])
            limit = float(bound.limit(np.asarray(share), level / count)) * error
            corrected = _chance(squares, error, share, bound) * count * FALSE_CLAIMS / level
            found.append(_comparison(asked, (arm, name), squares, limit, corrected, 2, level / count))
    return found


def _chance(own: Squares, error: float, share: float, bound: Bound) -> float:
    """Chance of such a difference among equals; without any variance only no difference is possible."""
    if error == 0:
        return 1.0 if own.mean == 0 else 0.0
    return bound.chance(abs(float(own.mean)) / error, share)


def _comparison(
    asked: Asked, names: tuple[str, str], own: Squares, limit: float, p: float, arms: int, level: float
) -> Comparison:
    difference = float(own.mean)
    low, high = difference - limit, difference + limit
    claim: Literal["better", "worse", "equal", "undecided"] = "undecided"
    if low > 0 or high < 0:
        claim = "better" if low > 0 else "worse"
    elif -asked.meaningful < low and high < asked.meaningful:
        claim = "equal"
    by_seed, by_group, rest = (float(part) for part in own.parts())
    parts = (by_seed, by_group, rest)
    more = None
    if claim == "undecided":
        more = seeds_to_decide(difference, asked.meaningful, parts, own.seeds, own.groups, arms, level)
    alone = _chance(own, float(np.sqrt(own.variance)), float(own.share), Bound(2, *own.freedoms))
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
        parts=VarianceParts(by_seed**0.5, by_group**0.5, rest**0.5),
        claim=claim,
        more_seeds=more,
        power=power(asked.meaningful, parts, own.seeds, own.groups, arms, level),
    )


def _procedure(seeds: int, groups: int, arms: int, baselines: int, share: float) -> str:
    few = "Fewer than two arms have all their trainings: nothing is compared."
    if not arms:
        return few
    if seeds < LEAST_SEEDS:
        return (
            f"With {count(seeds, 'seed')} this document describes and claims nothing: "
            f"a claim needs {LEAST_SEEDS} at least."
        )
    if arms == 1 and not baselines:
        return few
    units = (
        f"{groups} groups of the test set"
        if groups > 1
        else "no groups of the test set, which is taken as it is"
    )
    spent = "" if share == 1 else f" This look may spend {share:.0%} of that rate; earlier ones had the rest."
    beside = f"with {count(baselines, 'baseline')}" if baselines else ""
    compared = f"{arms} arms are compared in all pairs{beside and ', and '}{beside}"
    if arms == 1:
        compared = f"One arm is compared {beside}"
    return (
        f"{compared}, paired by {seeds} seeds and crossed with {units}: "
        "seeds, groups and what is left are random (two-way random effects); the variance is that of all "
        "pairs, or a pair's own where that is larger. Intervals are simultaneous "
        "(Tukey's studentised range, with Cochran's bound for the two sorts of chance): "
        "in 95 of 100 studies all hold together, and whatever they exclude is "
        f"claimed. p is corrected accordingly.{spent}"
    )
