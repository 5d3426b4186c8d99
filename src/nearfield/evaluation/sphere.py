"""Directions: the mean of vectors on the sphere, and the shortest way from one to another along it."""

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats
from nearfield.evaluation.neighbours import unit

_LEAST = 1e-9
"""Length below which a mean has no direction."""


def spherical_mean(vectors: npt.NDArray[np.floating]) -> Floats:
    """(D,) the mean of (N, D) vectors at unit length, brought back to unit length.

    Raises RequestError where there are none, or where they cancel out: then no direction is their mean.
    """
    if not len(vectors):
        raise RequestError("spherical mean: there are no vectors.")
    mean = unit(vectors.astype(np.float64)).mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < _LEAST:
        raise RequestError("spherical mean: the vectors cancel out; no direction is their mean.")
    return np.asarray(mean / length)


def great_circle(start: npt.NDArray[np.floating], end: npt.NDArray[np.floating], points: int) -> Floats:
    """(points, D) unit vectors in even steps along the great circle from `start` (D,) to `end` (D,).

    Spherical linear interpolation (Shoemake 1985). Raises RequestError for a zero vector, for fewer than two
    points, or for opposite ends, between which every way is shortest.
    """
    if points < 2:
        raise RequestError(f"great circle: two points or more are needed; given: {points}.")
    first, last = (unit(vector.astype(np.float64)[None])[0] for vector in (start, end))
    if not first.any() or not last.any():
        raise RequestError("great circle: a vector of zeros has no direction.")
    # By the chords rather than by the product, whose arc cosine is rough for near vectors.
    angle = 2 * np.arctan2(np.linalg.norm(first - last), np.linalg.norm(first + last))
    if np.pi - angle < 1e-6:
        raise RequestError(
            "great circle: the ends are opposite, so that no way between them is the shortest."
        )
    shares = np.linspace(0, 1, points)[:, None]
    if angle < _LEAST:
        return unit(first + shares * (last - first))
    return unit((np.sin((1 - shares) * angle) * first + np.sin(shares * angle) * last) / np.sin(angle))


def angles(vectors: npt.NDArray[np.floating], target: npt.NDArray[np.floating]) -> Floats:
    """(N,) angle in radians between each of `vectors` (N, D) and `target` (D,); 0..pi."""
    left, right = unit(vectors.astype(np.float64)), unit(target.astype(np.float64)[None])
    chords, sums = np.linalg.norm(left - right, axis=1), np.linalg.norm(left + right, axis=1)
    return np.asarray(2 * np.arctan2(chords, sums))
