"""A walk through a space: points on the way from one vector to another, and the clips nearest to them.

Everything is on the sphere: the points are even steps along the great circle, near is a small angle. Two
numbers say whether the clips are a walk at all:

- `monotone`: share of steps that do not lead away from the target, by the mean angle of a stop's clips to it.
- `smoothness`: the angle from the first stop to the last, over the sum of the angles from stop to stop,
  by the stops' mean directions; 1 for a straight way, near 0 for wandering about.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Bools, Floats, Ints, Vectors
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.neighbours import unit
from nearfield.evaluation.sphere import angles, great_circle, spherical_mean


@dataclass(frozen=True)
class Walk:
    """The stops of a walk, first to last."""

    points: Floats
    """(S, D) unit vectors on the great circle."""
    rows: Ints
    """(S, n) the clips heard at each stop, nearest first; no clip twice."""
    angles: Floats
    """(S, n) from the point to each of its clips, in radians."""
    to_target: Floats
    """(S,) mean angle from the clips of each stop to the target."""
    monotone: float
    smoothness: float


def walk(
    vectors: Vectors,
    start: npt.NDArray[np.floating],
    end: npt.NDArray[np.floating],
    stops: int = 10,
    clips: int = 1,
    allowed: Bools | None = None,
) -> Walk:
    """Walks from `start` (D,) to `end` (D,) among `vectors` (N, D), `clips` at each of `stops`.

    `allowed` (N,) tells which clips may be heard. Ends may be clips, or centroids by `spherical_mean`. Raises
    RequestError where there are fewer clips than the walk needs, or where `great_circle` does.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), allowed=allowed)
    free = np.ones(len(vectors), dtype=bool) if allowed is None else allowed.copy()
    if free.sum() < stops * clips:
        raise RequestError(
            f"walk: {stops} stops of {clips} clips need {stops * clips} clips; given: {int(free.sum())}. "
            "Take fewer stops."
        )
    points, space = great_circle(start, end, stops), unit(vectors.astype(np.float64))
    rows = np.empty((stops, clips), dtype=np.int64)
    # Both ends first: they are clips themselves, or stand for their label, and the way may not take theirs.
    for stop in [0, stops - 1, *range(1, stops - 1)]:
        apart = np.where(free, -(space @ points[stop]), np.inf)
        rows[stop] = np.argsort(apart, kind="stable")[:clips]
        free[rows[stop]] = False
    found = np.stack([angles(space[rows[stop]], points[stop]) for stop in range(stops)])
    to_target = np.array([angles(space[each], end).mean() for each in rows])
    directions = np.stack([spherical_mean(space[each]) for each in rows])
    return Walk(points, rows, found, to_target, monotone_share(to_target), smoothness(directions))


def monotone_share(distances: Floats) -> float:
    """Share of steps in which `distances` (S,) do not grow; 1 for a single stop."""
    return float((np.diff(distances) <= 1e-12).mean()) if len(distances) > 1 else 1.0


def smoothness(directions: Floats) -> float:
    """The direct angle over the angle walked, for unit vectors (S, D); 1 where nothing is walked."""
    walked = sum(float(angles(there[None], here)[0]) for here, there in pairwise(directions))
    return float(angles(directions[-1:], directions[0])[0]) / walked if walked > 0 else 1.0
