"""Points of a plane or a room for vectors: PCA, UMAP, places among neighbours, and how far to trust them."""

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nearfield.core.nouns import Ints, Vectors
from nearfield.core.seeds import entropy, stream
from nearfield.space.nearest import Nearest

BLOCK = 65_536
"""Rows that are worked on at a time."""
ANCHORS = 5
"""Laid-out points that place one that was not."""

_JUDGED = 2_000  # points on which trustworthiness is measured: it costs the square
_ASKED = 4_096  # points whose neighbours are sought at a time

Steps = Callable[[int, int], None]
"""Gets how many steps are done, and how many there are."""
Known = tuple[npt.NDArray[np.int32], Vectors]
"""Rows and Euclidean distances (N, K) of the nearest, the nearest first."""


def draw(count: int, most: int, seed: int, name: str) -> Ints:
    """At most `most` of `count` rows, ascending."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(stream(seed, name).choice(count, most, replace=False)).astype(np.int64)


def filled(axes: Vectors, size: int) -> Vectors:
    """The first `size` axes; 0 for those that a space of fewer dimensions lacks."""
    points = np.zeros((len(axes), size), np.float32)
    points[:, : axes.shape[1]] = axes[:, :size]
    return points


def principal(vectors: Vectors) -> Vectors:
    """(N, 3 or fewer) coordinates along the directions of largest variance, in blocks of rows.

    Each direction is turned so that its largest weight is positive.
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(vectors), BLOCK)]
    centre = sum(vectors[block].sum(0, dtype=np.float64) for block in blocks) / len(vectors)
    scatter = np.zeros((vectors.shape[1], vectors.shape[1]))
    for block in blocks:
        rows = vectors[block] - centre
        scatter += rows.T @ rows
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :3].T
    largest = np.abs(directions).argmax(1)
    directions = directions * np.where(directions[np.arange(len(directions)), largest] < 0, -1, 1)[:, None]
    return np.concatenate([((vectors[block] - centre) @ directions.T).astype(np.float32) for block in blocks])


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


def umap(vectors: Vectors, known: Known, begun: Vectors, seed: int, steps: Steps) -> Vectors:
    """UMAP of (N, D) vectors whose neighbours are `known`, from `begun` (N, 2 or 3) on."""
    import warnings

    chance = entropy(seed, "map/umap") % 2**32
    noise = stream(seed, "map/begin").normal(scale=1e-4, size=begun.shape)
    widest = float(np.abs(begun).max()) or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's and umap's own
        from umap import UMAP

        found = UMAP(
            n_components=begun.shape[1],
            n_neighbors=known[0].shape[1],
            min_dist=0.1,
            init=(begun * (10 / widest) + noise).astype(np.float32),
            random_state=chance,
            n_jobs=1,
            precomputed_knn=known,
            force_approximation_algorithm=True,
            tqdm_kwds={"disable": False, "file": _Bar(steps), "bar_format": "{n_fmt}/{total_fmt}"},
        ).fit_transform(vectors)
    return _turned(np.asarray(found, np.float32))


class _Bar:
    """Reads the bar that the library draws, as it tells its progress in no other way."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def write(self, text: str) -> None:
        found = re.search(r"(\d+)/(\d+)", text)
        if found:
            self.steps(int(found[1]), int(found[2]))

    def flush(self) -> None:
        """Nothing is held back."""


def _turned(points: Vectors) -> Vectors:
    """The same layout with its longest side first: screens are wide, and its direction means nothing."""
    return filled(principal(points), points.shape[1])


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
