"""What a study of some size can show, and how many seeds would settle what is open."""

import numpy as np
from scipy import stats

from nearfield.core.words import count
from nearfield.study.records import Comparison
from nearfield.study.statistics.crossed import Array, Squares
from nearfield.study.statistics.family import FOR_ARMS, Bound

MOST_SEEDS = 100
"""Beyond this many, more seeds are no advice."""
WANTED_POWER = 0.8
DRAWS = 4000
"""Draws behind a power: its own error is below one point. Their seed is fixed, so a power is a number."""


Parts = tuple[float, float, float]
"""var_seed, var_group, var_rest of a difference between two arms."""


def limits(parts: Parts, seeds: int, groups: int, arms: int, level: float) -> tuple[Array, float]:
    """How large a difference `all_pairs` may ask for, drawn often, and the true standard error.

    The mean squares of a pair and those of the others are independent multiples of chi-squares; other arms
    are taken to vary as these two do.
    """
    chance = np.random.default_rng(0)
    by_seed, by_group, rest = parts
    means = (groups * by_seed + rest, seeds * by_group + rest, rest)
    freedoms = (seeds - 1, groups - 1, (seeds - 1) * (groups - 1))

    def drawn(layouts: int) -> list[Array]:
        found = []
        for mean, freedom in zip(means, freedoms, strict=True):
            count = freedom * layouts
            found.append(mean * chance.chisquare(count, DRAWS) / count if count else np.zeros(DRAWS))
        return found

    own, others = drawn(1), drawn(arms - 2)
    both = [(one + (arms - 2) * many) / (arms - 1) for one, many in zip(own, others, strict=True)]
    zero = np.zeros(DRAWS)
    alone = Squares(zero, own[0], own[1], own[2], seeds, groups)
    together = Squares(zero, both[0], both[1], both[2], seeds, groups, arms - 1)
    true = by_seed / seeds + by_group / groups + rest / (seeds * groups)
    errors = np.sqrt(np.maximum(alone.variance, together.variance))
    return errors * Bound(arms, *together.freedoms).limit(together.share, level), float(np.sqrt(true))


def power(
    difference: float, parts: Parts, seeds: int, groups: int, arms: int, level: float = FOR_ARMS
) -> float:
    """Chance that a true `difference` between two of `arms` arms is claimed."""
    limit, true = limits(parts, seeds, groups, arms, level)
    if true == 0:
        return float(difference != 0)
    above = stats.norm.sf((limit - abs(difference)) / true)
    return float(np.mean(above + stats.norm.cdf((-limit - abs(difference)) / true)))


def power_of_equality(
    difference: float, meaningful: float, parts: Parts, seeds: int, groups: int, arms: int, level: float
) -> float:
    """Chance that a true `difference` is shown to be smaller than `meaningful`."""
    limit, true = limits(parts, seeds, groups, arms, level)
    if true == 0:
        return float(abs(difference) < meaningful)
    room = meaningful - limit
    inside = stats.norm.cdf((room - difference) / true) - stats.norm.cdf((-room - difference) / true)
    return float(np.mean(np.where(room > 0, inside, 0.0)))


def further_seeds(comparison: Comparison) -> int | None:
    """How many seeds beyond those there are would decide it; None where none would, or it is decided."""
    return None if comparison.more_seeds is None else max(1, comparison.more_seeds - comparison.seeds)


def cost(comparison: Comparison) -> str:
    """What would decide an open comparison; without test groups only seeds are known to vary."""
    needed = further_seeds(comparison)
    if needed:
        return f"about {count(needed, 'more seed')} would be needed"
    groups = ", or more test recordings," if comparison.groups > 1 else ""
    return f"more than {MOST_SEEDS} seeds{groups} would be needed"


def seeds_to_decide(
    difference: float,
    meaningful: float,
    parts: Parts,
    seeds: int,
    groups: int,
    arms: int,
    level: float = FOR_ARMS,
) -> int | None:
    """The smallest number of seeds, above `seeds`, with which a difference as found would be claimed, or, if
    it is smaller than `meaningful`, be shown to be so, with `WANTED_POWER`. None where none up to
    `MOST_SEEDS` would."""

    def decides(more: int) -> bool:
        return (
            power(difference, parts, more, groups, arms, level) >= WANTED_POWER
            or power_of_equality(difference, meaningful, parts, more, groups, arms, level) >= WANTED_POWER
        )

    if not decides(MOST_SEEDS):
        return None
    below, enough = seeds, MOST_SEEDS  # both powers rise with the seeds
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if decides(middle) else (middle, enough)
    return enough
