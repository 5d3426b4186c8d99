"""Differences of two shares: interval and p by Student's t, and p values held over many of them."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from nearfield.core.nouns import Floats
from nearfield.evaluation.intervals import NOTHING

LEAST_GROUPS = 3
"""Fewer groups give no interval: of two, one degree of freedom, t asks for 13 standard errors of a deviation
that is itself known by a single number."""


def spread(drawn: Floats) -> float | None:
    """The standard error of a figure, from its values (draws,) under resampling; NaN are left out. None where
    fewer than two are left."""
    kept = drawn[np.isfinite(drawn)]
    return None if len(kept) < 2 else float(kept.std(ddof=1))


def by_t(
    difference: float, deviation: float | None, groups: int
) -> tuple[tuple[float, float] | None, float | None]:
    """The 95 % interval and the two-sided p of a difference of two shares whose standard error, over `groups`
    that can tell, is `deviation`. The interval ends where such a difference does, at -1 and 1.

    Both are None with fewer than LEAST_GROUPS or no deviation. Where nothing deviates there is no interval,
    for that says nothing of how other groups would; p is 1 of no difference, None of another.
    """
    if deviation is None or groups < LEAST_GROUPS:
        return None, None
    if deviation < NOTHING:
        return None, 1.0 if abs(difference) < NOTHING else None
    reach = float(t.ppf(0.975, groups - 1)) * deviation
    p = float(2 * t.sf(abs(difference) / deviation, groups - 1))
    return (max(-1.0, difference - reach), min(1.0, difference + reach)), p


def holm(values: Floats) -> Floats:
    """(n,) p values held over all of them (Holm 1979), in the order given."""
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    held = np.empty(len(values))
    held[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return held


def held(values: Sequence[float | None]) -> list[float | None]:
    """The same over those that have a p; None stays None."""
    known = [value for value in values if value is not None]
    corrected = iter(holm(np.array(known)).tolist()) if known else iter(())
    return [None if value is None else next(corrected) for value in values]
