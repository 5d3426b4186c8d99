"""Planning: the error rate of each look, and what a study of some size can show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from nearfield.core.text import count
from nearfield.study.records import Comparison
from nearfield.study.statistics.family import FOR_ARMS, Bound
from nearfield.study.statistics.two_way import Array, MeanSquares

# Looking more than once: how much of the error rate each look may spend.
#
# A study that adds seeds until its question is answered gives chance several occasions. Each look gets a
# share of the rate in proportion to the seeds added since the last one, and the shares add up to 1: by
# Bonferroni the rate holds however the looks depend on each other. (Lan & DeMets 1983 would give back a
# little of it by using that dependence; with pooled variances and few seeds their boundaries are not exact.)


@dataclass(frozen=True)
class Look:
    """One moment at which the arms are compared."""

    seeds: int
    """That are finished for every arm."""
    share: float = 1.0
    """Of the error rate that it may spend; 0: nothing is claimed."""
    spent: float = 1.0
    """What all looks together have spent after it; above 1 where a study was prolonged by hand."""


ONE_LOOK = Look(0)
"""All at once, where one looks once."""


def shares(looks: Sequence[int]) -> tuple[float, ...]:
    """One share a look at so many seeds, ascending: (3, 5, 8, 12) -> (3/12, 2/12, 3/12, 4/12)."""
    before = (0, *looks[:-1])
    return tuple((now - then) / looks[-1] for now, then in zip(looks, before, strict=True))


def planned(looks: Sequence[int], taken: Mapping[int, float]) -> tuple[Look, ...]:
    """The looks of a plan, ascending. `taken`: the share of each look that there was under an earlier plan of
    the same study; what it spent is spent, and the looks that came after it add to that.
    """
    numbers = sorted({*looks, *taken})
    found, spent = [], sum(taken.values())
    for seeds, share in zip(numbers, shares(numbers), strict=True):
        spent += 0.0 if seeds in taken else share
        found.append(Look(seeds, taken.get(seeds, share), spent))
    return tuple(look for look in found if look.seeds <= looks[-1])


# What a study of some size can show, and how many seeds would settle what is open.

MOST_SEEDS = 100
"""Beyond this many, more seeds are no advice."""
WANTED_POWER = 0.8
HOPELESS = 0.2
"""Chance that `MOST_SEEDS` decide a pair below which it is said that more seeds will not help."""
DRAWS = 1000
"""Draws behind a power: its own error is a point or two. Their seed is fixed, so a power is a number."""

Parts = tuple[float, float, float]
"""var_seed, var_group, var_rest of a difference between two arms."""


def numbers(squares: MeanSquares) -> Parts:
    """The parts of one layout's variance."""
    by_seed, by_group, rest = (float(part) for part in squares.parts())
    return by_seed, by_group, rest


def limits(
    parts: Parts, seeds: int, groups: int, arms: int, level: float, together: Parts | None = None
) -> tuple[Array, float]:
    """How large a difference `all_pairs` may ask for, drawn often, and the true standard error.

    The mean squares of a pair and those of the others are independent multiples of chi-squares. `together`:
    the parts averaged over all pairs, which the rule reads too; None takes the others to vary as this one.
    """
    chance = np.random.default_rng(0)
    dof = (seeds - 1, groups - 1, (seeds - 1) * (groups - 1))

    def drawn(means: Sequence[float], layouts: int) -> list[Array]:
        found = []
        for mean, freedom in zip(means, dof, strict=True):
            count = freedom * layouts
            found.append(mean * chance.chisquare(count, DRAWS) / count if count else np.zeros(DRAWS))
        return found

    own = _means(parts, seeds, groups)
    mean = own if together is None else _means(together, seeds, groups)
    others = [
        max(0.0, ((arms - 1) * all_ - one) / max(1, arms - 2)) for all_, one in zip(mean, own, strict=True)
    ]
    single, rest = drawn(own, 1), drawn(others, arms - 2)
    both = [(one + (arms - 2) * many) / (arms - 1) for one, many in zip(single, rest, strict=True)]
    zero = np.zeros(DRAWS)
    alone = MeanSquares(zero, single[0], single[1], single[2], seeds, groups)
    pooled = MeanSquares(zero, both[0], both[1], both[2], seeds, groups, arms - 1)
    true = parts[0] / seeds + parts[1] / groups + parts[2] / (seeds * groups)
    errors = np.sqrt(np.maximum(alone.variance, pooled.variance))
    return errors * Bound(arms, *pooled.dof).limit(pooled.share, level), float(np.sqrt(true))


def _means(parts: Parts, seeds: int, groups: int) -> tuple[float, float, float]:
    """The mean squares that parts of the variance lead to one to expect."""
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
) -> float:
    """Chance that a true `difference` between two of `arms` arms is claimed."""
    limit, true = limits(parts, seeds, groups, arms, level, together)
    if true == 0:
        return float(difference != 0)
    above = ndtr((abs(difference) - limit) / true)
    return float(np.mean(above + ndtr((-limit - abs(difference)) / true)))


def further_seeds(comparison: Comparison) -> int | None:
    """How many seeds beyond those there are would decide it; None where none would, or it is decided."""
    return None if comparison.more_seeds is None else max(1, comparison.more_seeds - comparison.seeds)


def cost(comparison: Comparison) -> str:
    """What would decide an open comparison; without test groups only seeds are known to vary."""
    needed = further_seeds(comparison)
    if needed:
        return f"about {count(needed, 'more seed')} would be needed"
    if comparison.by_seeds is not None and comparison.by_seeds >= HOPELESS:
        return "more seeds may decide it; how many cannot be foretold from those there are"
    return "more seeds will not help" + ("; more test recordings would" if comparison.groups > 1 else "")


def seeds_to_decide(
    own: MeanSquares, together: MeanSquares | None, meaningful: float, arms: int, level: float
) -> tuple[int | None, float]:
    """How many seeds in all decide an open pair with a chance of `WANTED_POWER` when those there are stay and
    more are trained on the same test groups (None where not even `MOST_SEEDS` do), and the chance that
    `MOST_SEEDS` do.

    `own` and `together` are what the rule reads: the squares of the pair, and those pooled with it (None:
    the pair's own alone). Decided is a difference that is claimed, or shown to be below `meaningful`.
    """
    if own.seeds >= MOST_SEEDS:
        return None, 0.0

    def chance(seeds: int) -> float:
        return _chance_to_decide(own, together, seeds, meaningful, arms, level)

    if (most := chance(MOST_SEEDS)) < WANTED_POWER:
        return None, most
    below, enough = own.seeds, MOST_SEEDS
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if chance(middle) >= WANTED_POWER else (middle, enough)
    return enough, most


def _chance_to_decide(
    own: MeanSquares, together: MeanSquares | None, seeds: int, meaningful: float, arms: int, level: float
) -> float:
    """Predictive: what the seeds' variance may be is drawn from what so few of them say of it; the test
    groups stay, so that their part of the difference stays too."""
    random = np.random.default_rng(0)

    def ahead(squares: MeanSquares) -> tuple[Array, MeanSquares]:
        """The seeds' true mean square, drawn, and the squares that so many seeds will show."""
        had, more = squares.dof[0], (seeds - squares.seeds) * squares.layouts
        true = squares.seed * had / random.chisquare(had, DRAWS)
        shown = (had * squares.seed + true * random.chisquare(more, DRAWS)) / (had + more)
        group = squares.rest + squares.excess * seeds / squares.seeds
        zero = np.zeros(DRAWS)
        return true, MeanSquares(
            zero, shown, zero + group, zero + squares.rest, seeds, own.groups, squares.layouts
        )

    true, alone = ahead(own)
    pooled = alone if together is None else ahead(together)[1]
    errors = np.sqrt(np.maximum(alone.variance, pooled.variance))
    limit = errors * Bound(arms, *pooled.dof).limit(pooled.share, level)
    spread = np.sqrt(true / own.groups * (1 / own.seeds - 1 / seeds))
    difference = abs(float(own.mean))

    def below(place: Array) -> Array:
        """Share of the differences to come that lie below `place`."""
        gap = place - difference
        return np.where(spread > 0, ndtr(gap / np.where(spread > 0, spread, 1.0)), gap > 0)

    room = np.maximum(0.0, meaningful - limit)
    return float(np.mean(1 - below(limit) + below(-limit) + below(room) - below(-room)))
