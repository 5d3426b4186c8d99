"""Trends over an ordered factor: how the measure falls or rises with a margin, a size, a strength.

The arms' means are fitted by a line and a parabola in x, the factor on its natural scale (its logarithm if
all values are positive and span a factor of four or more). Both are contrasts of the arms, orthogonal to each
other,

    c[s, g] = sum over arms of w_arm d_arm[s, g],

so that their variance is that of a table of seeds and groups like any difference. The variance between seeds
is pooled over all pairs of arms, as for the differences; that between groups is the contrast's own.

Line and parabola share two thirds of the arms' error rate, and the pairs have the rest. What a contrast has
spent is passed on to the pairs if it is claimed, so that the pairs have the whole rate if both are (the
fallback procedure of Wiens 2003, which holds the family-wise rate).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from nearfield.core.types import Ints
from nearfield.study.records import Contrast, Trend
from nearfield.study.statistics.family import Bound
from nearfield.study.statistics.two_way import Array, MeanSquares, differences

LEAST_VALUES = 4
"""A factor with fewer values has no trend: three arms have three pairs."""
POINTS = 25
"""Points of the curve."""
SPAN = 4.0
"""Ratio of the largest to the smallest value from which the scale is logarithmic."""
FOR_LINE, FOR_PARABOLA = 1 / 3, 1 / 3
"""Parts of the arms' error rate; the pairs have the rest."""

Scale = Literal["linear", "log"]


def trend(
    scores: Mapping[str, Array], values: Mapping[str, float], level: float, folds: Ints | None = None
) -> Trend | None:
    """The trend of the measure over the values of an ordered factor; None with fewer than `LEAST_VALUES`.

    Parameters
    ----------
    scores
        Scores (S, G) of each arm.
    values
        The factor's value of each arm; the values differ.
    level
        The error rate of all comparisons between arms.
    folds
        The fold (G,) of each group; None: no folds.
    """
    arms = [arm for arm in scores if arm in values]
    if len(arms) < max(LEAST_VALUES, len(scores)):
        return None
    numbers = [values[arm] for arm in arms]
    scale = scale_of(numbers)
    x = np.log(numbers) if scale == "log" else np.array(numbers, np.float64)
    tables = np.stack([scores[arm] for arm in arms])
    line, parabola = weights(x)
    pooled = MeanSquares.of(differences(tables), folds)
    together = pooled.pooled(len(arms) - 1).single()
    found = [
        _contrast(tables, each, together, part * level, folds)
        for each, part in ((line, FOR_LINE), (parabola, FOR_PARABOLA))
    ]
    middle, center = float(x.mean()), float(tables.mean())
    curve = []
    for at, weight in zip(points := np.linspace(x.min(), x.max(), POINTS), fitted(x, points), strict=True):
        each = _contrast(tables, weight - 1 / len(arms), together, 0.05, folds)
        value = float(np.exp(at)) if scale == "log" else float(at)
        curve.append((value, center + each.value, center + each.low, center + each.high))
    coefficients = np.polyfit(x - middle, tables.mean((1, 2)), 2)
    peak = -coefficients[1] / (2 * coefficients[0]) + middle if coefficients[0] else math.nan
    inside = bool(x.min() < peak < x.max())
    return Trend(
        scale,
        tuple(numbers),
        found[0],
        found[1],
        turn=(float(np.exp(peak)) if scale == "log" else float(peak)) if inside else None,
        middle=float(np.exp(middle)) if scale == "log" else middle,
        mean=center,
        curve=tuple(curve),
    )


def scale_of(values: Sequence[float]) -> Scale:
    """The natural scale of a factor."""
    return "log" if min(values) > 0 and max(values) >= SPAN * min(values) else "linear"


def weights(x: Array) -> tuple[Array, Array]:
    """Weights (A,) of the slope per unit of x, and of the curvature: half of the second derivative.

    They are those of least squares: the line of a straight line alone, the parabola's beside it.
    """
    away = x - x.mean()
    line = away / (away @ away)
    design = np.stack([np.ones_like(away), away, away**2], axis=1)
    return line, np.asarray(np.linalg.pinv(design)[2])


def fitted(x: Array, points: Array) -> Array:
    """Weights (P, A) of the least-squares parabola at each of the points (P,)."""
    middle = x.mean()

    def powers(values: Array) -> Array:
        return np.stack([np.ones_like(values), values - middle, (values - middle) ** 2], axis=1)

    return np.asarray(powers(points) @ np.linalg.pinv(powers(x)))


def rate_of_pairs(found: Trend | None, level: float) -> float:
    """The error rate that is left for the pairs."""
    if found is None:
        return level
    parts = ((found.line, FOR_LINE), (found.parabola, FOR_PARABOLA))
    return level * (1 - sum(part for each, part in parts if not each.claimed))


def _contrast(
    tables: Array, weight: Array, together: MeanSquares, level: float, folds: Ints | None
) -> Contrast:
    """A contrast of (A, S, G) tables. `together` holds the pooled mean squares of the differences."""
    own = MeanSquares.of(np.tensordot(weight, tables, axes=1), folds)
    # A difference of two arms has weights 1 and -1, whose squares sum to 2.
    size = float(weight @ weight) / 2
    pooled = replace(
        together, seed=size * together.seed, group=size * together.group, rest=size * together.rest
    )
    used = replace(own.borrowing(pooled), borrowed_dof=0)
    error = float(np.sqrt(used.variance))
    bound = Bound(2, *used.dof)
    limit = float(bound.limit(used.share, level)) * error
    value = float(own.mean)
    p = bound.p_value(abs(value) / error, float(used.share)) if error else 1.0
    claimed = error > 0 and abs(value) > limit
    wide = float(bound.limit(used.share, 0.05)) * error
    return Contrast(value, value - wide, value + wide, p, claimed)
