"""How alike two sounds are when one may go faster than the other: dynamic time warping of their frames.

Conventions: a sequence is (D, T), D numbers a frame (MFCC, say), T frames, as features give them. A path goes
from the first frames to the last in steps (1, 1), (1, 0), (0, 1), each of which adds the distance of the
frames that it reaches (Sakoe and Chiba 1978, symmetric, unweighted).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats, Ints

FrameDistance = Literal["l1", "l2", "cosine"]

_METRICS: dict[FrameDistance, Literal["cityblock", "euclidean", "cosine"]] = {
    "l1": "cityblock",
    "l2": "euclidean",
    "cosine": "cosine",
}


@dataclass(frozen=True)
class Warp:
    """The cheapest way through two sequences."""

    cost: float
    """Sum of the frame distances along the path."""
    path: Ints
    """(P, 2) frames of the first and of the second that meet, from the beginning on."""

    @property
    def per_step(self) -> float:
        """Mean frame distance along the path: comparable between sounds of unlike length."""
        return self.cost / len(self.path)


def warp(first: Floats, second: Floats, distance: FrameDistance = "l1") -> Warp:
    """The cheapest path between sequences (D, T) and (D, U).

    Memory O(T (T + U)), one pass of array arithmetic for each anti-diagonal. Raises RequestError where a
    sequence is empty or not finite, shapes do not fit, or the distance is not known.
    """
    costs = frame_distances(first, second, distance)
    totals = accumulate(costs)
    return Warp(float(totals[-1, -1]), _backwards(totals))


def similarity(first: Floats, second: Floats, distance: FrameDistance = "l1") -> float:
    """1 / (1 + mean frame distance along the cheapest path): 1 for the same sound, towards 0 for others."""
    return 1 / (1 + warp(first, second, distance).per_step)


def frame_distances(first: Floats, second: Floats, distance: FrameDistance = "l1") -> Floats:
    """(T, U) distances between all frames of sequences (D, T) and (D, U).

    A frame of zeros has no direction: by cosine it is 1 from every other frame, and 0 from its like. Raises
    RequestError as `warp`.
    """
    if distance not in _METRICS:
        raise RequestError(f"dtw: unknown frame distance {distance!r}. Known: {', '.join(_METRICS)}.")
    shapes = first.shape, second.shape
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or not all(map(all, shapes)):
        raise RequestError(
            f"dtw: two sequences (numbers, frames) with as many numbers are wanted; given: {shapes}."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise RequestError("dtw: some numbers of the sequences are NaN or infinite. Leave those frames out.")
    found = np.asarray(cdist(first.T, second.T, _METRICS[distance]))
    if distance == "cosine":
        silent, other = (np.flatnonzero((frames == 0).all(axis=0)) for frames in (first, second))
        found[silent], found[:, other] = 1.0, 1.0
        found[np.ix_(silent, other)] = 0.0
    return found


def accumulate(costs: Floats) -> Floats:
    """(T, U) the cost of the cheapest path from the first cell to each, for `costs` (T, U) of the cells."""
    rows, columns = costs.shape
    # Skewed: row s holds the anti-diagonal i + j = s - 2 by i, so that all cells of a row depend on earlier
    # rows only; a border of inf stands for what lies outside.
    skew = np.full((rows + columns + 1, rows + 1), np.inf)
    skew[0, 0] = 0.0
    for s in range(2, rows + columns + 1):
        low, high = max(0, s - 1 - columns), min(rows, s - 1)
        i = np.arange(low, high)
        before = np.minimum(np.minimum(skew[s - 1, i], skew[s - 1, i + 1]), skew[s - 2, i])
        skew[s, i + 1] = costs[i, s - 2 - i] + before
    row, column = np.indices(costs.shape)
    return np.asarray(skew[row + column + 2, row + 1])


def _backwards(totals: Floats) -> Ints:
    """The path that led to the last cell; of equal ways the diagonal one."""
    i, j = totals.shape[0] - 1, totals.shape[1] - 1
    path = [(i, j)]
    while i or j:
        ways = [(a, b) for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        i, j = min(ways, key=lambda way: totals[way])
        path.append((i, j))
    return np.array(path[::-1], dtype=np.int64)
