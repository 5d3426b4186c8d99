"""Looking more than once: how much of the error rate each look may spend.

A study that adds seeds until its question is answered gives chance several occasions. Each look gets a share
of the rate in proportion to the seeds added since the last one, and the shares add up to 1: by Bonferroni the
rate holds however the looks depend on each other. (Lan & DeMets 1983 would give back a little of it by using
that dependence; with pooled variances and few seeds their boundaries are not exact.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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
