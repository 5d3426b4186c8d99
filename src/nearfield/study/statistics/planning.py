"""Planning: power, and the number of seeds or of groups that a decision needs."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtr

from nearfield.core.text import count
from nearfield.study.records import Comparison
from nearfield.study.statistics.family import FOR_ARMS, Bound
from nearfield.study.statistics.two_way import Array, MeanSquares, group_dof

# Power, and how many seeds would decide an open comparison.

MOST_SEEDS = 100
"""The largest number of seeds that a study recommends."""
WANTED_POWER = 0.8
HOPELESS = 0.2
"""If the probability that `MOST_SEEDS` decide a pair is below this, the document states that more seeds will
not help."""
DRAWS = 1000
"""Simulations per power estimate, whose error is then 1 to 2 %. Their seed is fixed, so that a power is
reproducible."""

Parts = tuple[float, float, float]
"""var_seed, var_group, var_rest of a difference between two arms."""


def numbers(squares: MeanSquares) -> Parts:
    """The variance components of one layout, as floats."""
    by_seed, by_group, rest = (float(part) for part in squares.parts())
    return by_seed, by_group, rest


def limits(
    parts: Parts,
    seeds: int,
    groups: int,
    arms: int,
    level: float,
    together: Parts | None = None,
    folds: int = 1,
) -> tuple[Array, float]:
    """Simulated limits of `all_pairs` (DRAWS,) for a pair with these variance components, and the true
    standard error.

    The mean squares of a pair and those of the others are independent multiples of chi-squares. `together`
    holds the components averaged over all pairs, which the limit also depends on; None assumes that the other
    pairs vary like this one.
    """
    rng = np.random.default_rng(0)
    dof = (folds * (seeds - 1) or folds - 1, group_dof(groups, folds), (seeds - 1) * (groups - folds))

    def drawn(means: Sequence[float], layouts: int) -> list[Array]:
        found = []
        for mean, degrees in zip(means, dof, strict=True):
            count = degrees * layouts
            found.append(mean * rng.chisquare(count, DRAWS) / count if count > 0 else np.zeros(DRAWS))
        return found

    own = _means(parts, seeds, groups)
    mean = own if together is None else _means(together, seeds, groups)
    others = [
        max(0.0, ((arms - 1) * all_ - one) / max(1, arms - 2)) for all_, one in zip(mean, own, strict=True)
    ]
    single, rest = drawn(own, 1), drawn(others, arms - 2)
    both = [(one + (arms - 2) * many) / (arms - 1) for one, many in zip(single, rest, strict=True)]
    zero = np.zeros(DRAWS)
    alone = MeanSquares(zero, single[0], single[1], single[2], seeds, groups, folds=folds)
    used = alone.borrowing(
        MeanSquares(zero, both[0], both[1], both[2], seeds, groups, arms - 1, arms - 1, folds=folds)
    )
    true = parts[0] / seeds + alone.overlap * parts[1] / groups + parts[2] / (seeds * groups)
    limit = np.sqrt(used.variance) * Bound(arms, *used.dof).limit(used.share, level)
    return limit, float(np.sqrt(true))


def _means(parts: Parts, seeds: int, groups: int) -> tuple[float, float, float]:
    """The expected mean squares for these variance components."""
    by_seed, by_group, rest = parts
    return groups * by_seed + rest, seeds * by_group + rest, rest


def power(
    difference: float,
    parts: Parts,
    seeds: int,
    groups: int,
    arms: int,
    level: float = FOR_ARMS,
    together: Parts | None = None,
    folds: int = 1,
) -> float:
    """Probability that a true `difference` between two of `arms` arms is claimed."""
    limit, true = limits(parts, seeds, groups, arms, level, together, folds)
    if true == 0:
        return float(difference != 0)
    above = ndtr((abs(difference) - limit) / true)
    return float(np.mean(above + ndtr((-limit - abs(difference)) / true)))


def further_seeds(comparison: Comparison) -> int | None:
    """How many additional seeds would decide it; None if it is decided or no number would."""
    return None if comparison.more_seeds is None else max(1, comparison.more_seeds - comparison.seeds)


def cost(comparison: Comparison) -> str:
    """What would decide an open comparison, in words. Without test groups, only more seeds can help."""
    needed = further_seeds(comparison)
    if needed:
        return f"about {count(needed, 'more seed')} would be needed"
    if comparison.by_seeds is not None and comparison.by_seeds >= HOPELESS:
        return "more seeds may decide it; how many cannot be foretold from those there are"
    return "more seeds will not help" + ("; more test recordings would" if comparison.groups > 1 else "")


def seeds_to_decide(
    own: MeanSquares, together: MeanSquares | None, meaningful: float, arms: int, level: float
) -> tuple[int | None, float]:
    """The number of seeds that decides an open pair, and the probability that `MOST_SEEDS` decide it.

    The number is the smallest total that decides the pair with a probability of `WANTED_POWER`, if the
    existing seeds are kept and more are trained on the same test groups; None if `MOST_SEEDS` are not enough.

    `own` holds the mean squares of the pair, `together` the pooled ones (None: use those of the pair only). A
    pair is decided if a difference is claimed or shown to be below `meaningful`.
    """
    if own.seeds >= MOST_SEEDS or level <= 0:
        return None, 0.0

    def probability(seeds: int) -> float:
        return _probability_to_decide(own, together, seeds, meaningful, arms, level)

    if (most := probability(MOST_SEEDS)) < WANTED_POWER:
        return None, most
    below, enough = own.seeds, MOST_SEEDS
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if probability(middle) >= WANTED_POWER else (middle, enough)
    return enough, most


def _probability_to_decide(
    own: MeanSquares, together: MeanSquares | None, seeds: int, meaningful: float, arms: int, level: float
) -> float:
    """The predictive probability that `seeds` seeds decide a pair.

    The true variance between seeds is sampled given its estimate from the existing seeds. The test groups
    stay the same, and therefore their part of the difference does too.
    """
    rng = np.random.default_rng(0)

    def predict(squares: MeanSquares) -> tuple[Array, MeanSquares]:
        """Samples of the true mean square of seeds, and of the mean squares that `seeds` seeds will have."""
        had = squares.dof[0]
        more = squares.folds * (seeds - squares.seeds) * squares.seed_layouts
        true = squares.seed * had / rng.chisquare(had, DRAWS)
        shown = (had * squares.seed + true * rng.chisquare(more, DRAWS)) / (had + more)
        group = squares.rest + squares.excess * seeds / squares.seeds
        zero = np.zeros(DRAWS)
        return true, replace(
            squares, mean=zero, seed=shown, group=zero + group, rest=zero + squares.rest, seeds=seeds
        )

    true, alone = predict(own)
    used = alone if together is None else alone.borrowing(predict(together)[1])
    limit = np.sqrt(used.variance) * Bound(arms, *used.dof).limit(used.share, level)
    spread = np.sqrt(true / own.groups * (1 / own.seeds - 1 / seeds))
    difference = abs(float(own.mean))

    def below(place: Array) -> Array:
        """Probability that the future difference lies below `place`."""
        gap = place - difference
        return np.where(spread > 0, ndtr(gap / np.where(spread > 0, spread, 1.0)), gap > 0)

    room = np.maximum(0.0, meaningful - limit)
    return float(np.mean(1 - below(limit) + below(-limit) + below(room) - below(-room)))


MOST_TIMES = 10
"""How many times the present number of groups is considered at most."""


def groups_to_decide(
    comparison: Comparison, arms: int, meaningful: float, level: float = FOR_ARMS, has_seeds: bool = True
) -> int | None:
    """The number of test groups that would decide an open comparison; None if ten times as many would not.

    The smallest total that decides the pair with a probability of `WANTED_POWER` if the true difference is
    the measured one, with the same seeds and variance components. Without seeds, the groups are the
    repetitions of the comparison.
    """
    parts = (comparison.parts.seed**2, comparison.parts.group**2, comparison.parts.residual**2)
    gap, present = abs(comparison.difference), comparison.groups if has_seeds else comparison.seeds
    steps: list[float] = np.geomspace(1.1, MOST_TIMES, 24).tolist()
    for number in sorted({math.ceil(present * step) for step in steps}):
        seeds, groups = (comparison.seeds, number) if has_seeds else (number, comparison.groups)
        limit, true = limits(parts, seeds, groups, arms, level, folds=comparison.folds)
        if true == 0:
            return None
        room = np.maximum(0.0, meaningful - limit)
        decided = ndtr((gap - limit) / true) + ndtr((room - gap) / true) - ndtr((-room - gap) / true)
        if float(np.mean(decided)) >= WANTED_POWER:
            return number
    return None
