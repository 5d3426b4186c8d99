"""Points of a plane or a room among their neighbours, and how far a layout can be trusted."""

import numpy as np

from nearfield.core.nouns import Ints, Vectors
from nearfield.core.seeds import stream
from nearfield.evaluation.projection import Known, Steps
from nearfield.space.nearest import Nearest

ANCHORS = 5
"""Laid-out points that place one that was not."""

_JUDGED = 2_000  # points on which trustworthiness is measured: it costs the square
_ASKED = 4_096  # points whose neighbours are sought at a time


def draw(count: int, most: int, seed: int, name: str) -> Ints:
    """At most `most` of `count` rows, ascending."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(stream(seed, name).choice(count, most, replace=False)).astype(np.int64)


def neighbours(queries: Vectors, among: Vectors, near: int, steps: Steps = lambda done, of: None) -> Known:
    """The exact nearest of `among` (N, D) to each of `queries` (B, D).

    Euclidean, by dot products: x is nearest to the y for which x·y - |y|²/2 is largest.
    """
    heights = -0.5 * np.square(among, dtype=np.float64).sum(1, keepdims=True)
    search = Nearest.of(np.hstack([among, heights.astype(np.float32)]))
    found = np.empty((len(queries), near), np.int32), np.empty((len(queries), near), np.float32)
    for first in range(0, len(queries), _ASKED):
        part = slice(first, first + _ASKED)
        asked = np.asarray(queries[part], np.float32)
        rows, _ = search.search_many(np.hstack([asked, np.ones((len(asked), 1), np.float32)]), near)
        away = np.linalg.norm(among[rows] - asked[:, None], axis=2)
        order = np.argsort(away, axis=1, kind="stable")
        found[0][part] = np.take_along_axis(rows, order, 1)
        found[1][part] = np.take_along_axis(away, order, 1)
        steps(min(first + _ASKED, len(queries)), len(queries))
    return found


def place(vectors: Vectors, drawn: Ints, placed: Vectors) -> Vectors:
    """(N, size): the drawn rows where they were placed, the others among their nearest of the drawn.

    Each of the others is put at the mean of its `ANCHORS` nearest, weighted by the inverse of the distances.
    """
    points = np.empty((len(vectors), placed.shape[1]), np.float32)
    points[drawn] = placed
    others = np.setdiff1d(np.arange(len(vectors)), drawn)
    if len(others):
        near, distances = neighbours(vectors[others], vectors[drawn], min(ANCHORS, len(drawn)))
        weights = 1 / np.maximum(distances, 1e-6)
        weights /= weights.sum(1, keepdims=True)
        points[others] = (placed[near] * weights[:, :, None]).sum(1)
    return points


def trustworthiness(vectors: Vectors, points: Vectors, seed: int) -> float:
    """Share of the map's neighbours that are neighbours in the space, by rank; NaN below six points.

    Among the five nearest, on at most 2,000 drawn points (Venna and Kaski 2001).
    """
    from sklearn.manifold import trustworthiness as measure

    rows = draw(len(vectors), _JUDGED, seed, "map/judged")
    near = min(5, (len(rows) - 1) // 2)
    if near < 1:
        return float("nan")
    return round(float(measure(vectors[rows], points[rows], n_neighbors=near)), 4)
