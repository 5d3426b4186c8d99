"""Looking more than once: how much of the error rate each look may spend.

A study that adds seeds until its question is answered gives chance several occasions. Each look gets a share
of the rate in proportion to the seeds added since the last one, and the shares add up to 1: by Bonferroni the
rate holds however the looks depend on each other. (Lan & DeMets 1983 would give back a little of it by using
that dependence; with pooled variances and few seeds their boundaries are not exact.)
"""

from collections.abc import Sequence


def shares(looks: Sequence[int]) -> tuple[float, ...]:
    """One share a look at so many seeds, ascending: (3, 5, 8, 12) -> (3/12, 2/12, 3/12, 4/12)."""
    before = (0, *looks[:-1])
    return tuple((now - then) / looks[-1] for now, then in zip(looks, before, strict=True))
