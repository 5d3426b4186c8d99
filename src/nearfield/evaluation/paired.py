"""Differences that were resampled: interval and p by Student's t, and p values held over many of them."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from nearfield.core.nouns import Floats


def standard_error(drawn: Floats, freedom: int) -> float | None:
    """Of a figure, from its values (draws,) under resampling; NaN are left out. None where fewer than two
    are left, or `freedom` leaves nothing to judge by. Below 1e-12 no draw differs."""
    kept = drawn[np.isfinite(drawn)]
    return None if freedom < 1 or len(kept) < 2 else float(kept.std(ddof=1))


def by_t(difference: float, deviation: float, freedom: int) -> tuple[tuple[float, float], float]:
    """The 95 % interval and the two-sided p of a difference whose standard error is `deviation`, above 0."""
    reach = float(t.ppf(0.975, freedom)) * deviation
    p = float(2 * t.sf(abs(difference) / deviation, freedom))
    return (difference - reach, difference + reach), p


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
