"""Repeated looks: how much of the error rate each look at a study may spend.

A study that adds seeds until its question is answered compares its arms several times. The rate is spent
late, because more is known then: of the planned rate, a part t ** `LATE` is spent when a part t of the seeds
is trained (a spending function in the sense of Lan & DeMets 1983; theirs for O'Brien & Fleming is as late).
Looks at the same study are dependent, so that the level of each look may be higher than what it spends. The
levels come from simulated ranges of the arms' means, whose increments from look to look are independent: the
test groups, which all looks share, make looks more dependent still.

A fifth of the rate is kept for going on after the last planned look, once. What is added after that is
described and not claimed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

LATE = 2.5
"""Exponent of the spending function."""
KEPT = 0.2
"""Part of the rate that is kept for going on after the last planned look."""
LEVEL = 0.05
"""The rate at which the levels of looks are simulated."""
PATHS = 200_000
"""Simulated studies of equal arms."""


@dataclass(frozen=True)
class Look:
    """A point of the study at which the arms are compared."""

    seeds: int
    """Number of seeds that are finished for every arm."""
    share: float = 1.0
    """The level of this look, as a share of the error rate; 0: it claims nothing."""
    spent: float = 1.0
    """Share of the error rate that is spent by the looks up to this one."""
    after: float = 1.0
    """The level of the next look, as a share of the error rate."""


ONE_LOOK = Look(0)
"""A single look, which may spend the whole error rate."""


def planned(looks: Sequence[int], taken: Sequence[Look] = (), arms: int = 2) -> tuple[Look, ...]:
    """The looks of a plan, ascending.

    Parameters
    ----------
    looks
        Numbers of seeds after which the arms are to be compared.
    taken
        Looks that were taken under an earlier plan of the same study. Further looks spend what is left:
        `KEPT` if that plan came to its end.
    arms
        Number of arms.
    """
    if not taken:
        spent = (1 - KEPT) * (np.array(looks) / looks[-1]) ** LATE
        levels = shares(tuple(looks), arms)
        return tuple(map(Look, looks, levels, spent.tolist(), (*levels[1:], KEPT)))
    found, before = list(taken), taken[-1].seeds
    further = [seeds for seeds in looks if seeds > before]
    left = max(0.0, 1.0 - taken[-1].spent)
    for seeds in further:
        share = left * (seeds - found[-1].seeds) / (further[-1] - before)
        found.append(Look(seeds, share, found[-1].spent + share, share if seeds < further[-1] else 0.0))
    return tuple(look for look in found if look.seeds <= looks[-1])


@cache
def shares(looks: tuple[int, ...], arms: int) -> tuple[float, ...]:
    """The level of each planned look, as a share of the error rate: more than the look spends."""
    if len(looks) == 1:
        return (1 - KEPT,)
    rng = np.random.default_rng(0)
    steps = np.diff((0, *looks))
    ranges = np.zeros((len(looks), PATHS), np.float32)
    paths = np.zeros((arms, PATHS), np.float32)
    for place, (seeds, step) in enumerate(zip(looks, steps, strict=True)):
        paths += rng.standard_normal((arms, PATHS), dtype=np.float32) * step**0.5
        ranges[place] = np.ptp(paths, axis=0) / seeds**0.5
    spending = np.diff((0.0, *((1 - KEPT) * (np.array(looks) / looks[-1]) ** LATE)))
    alive, found = np.ones(PATHS, bool), []
    for place, spent in enumerate(spending):
        count = round(LEVEL * spent * PATHS)
        limit = np.sort(ranges[place][alive])[-max(1, count)]
        found.append(float((ranges[place] >= limit).mean()) / LEVEL)
        alive &= ranges[place] < limit
    return tuple(found)
