"""Maps: layouts of a space in two and three dimensions, with their trustworthiness."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing
from nearfield.core.rng import stream
from nearfield.core.types import Ints, Vectors
from nearfield.metrics.clusters import k_means_path
from nearfield.metrics.projection import BLOCK, Known, Steps, principal, umap
from nearfield.space.nearest import Nearest
from nearfield.training.events import Callback, Stage

# Nearest neighbors, interpolated points and trustworthiness of a layout.

ANCHORS = 5
"""Number of sampled neighbors that determine the place of a point outside the sample."""

_TRUST_SAMPLE = 2_000  # points on which trustworthiness is measured: its cost is quadratic
_BATCH = 4_096  # queries searched together


def draw(count: int, most: int, seed: int, name: str) -> Ints:
    """A random sample of at most `most` of `count` row numbers, ascending."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(stream(seed, name).choice(count, most, replace=False)).astype(np.int64)


def neighbors(queries: Vectors, among: Vectors, near: int, steps: Steps = lambda done, of: None) -> Known:
    """The exact Euclidean nearest neighbors of `queries` (B, D) among `among` (N, D), and their distances.

    Found by dot products: the nearest y to x maximizes x·y - |y|²/2.
    """
    heights = -0.5 * np.square(among, dtype=np.float64).sum(1, keepdims=True)
    search = Nearest.of(np.hstack([among, heights.astype(np.float32)]))
    found = np.empty((len(queries), near), np.int32), np.empty((len(queries), near), np.float32)
    for first in range(0, len(queries), _BATCH):
        part = slice(first, first + _BATCH)
        asked = np.asarray(queries[part], np.float32)
        rows, _ = search.search_many(np.hstack([asked, np.ones((len(asked), 1), np.float32)]), near)
        away = np.linalg.norm(among[rows] - asked[:, None], axis=2)
        order = np.argsort(away, axis=1, kind="stable")
        found[0][part] = np.take_along_axis(rows, order, 1)
        found[1][part] = np.take_along_axis(away, order, 1)
        steps(min(first + _BATCH, len(queries)), len(queries))
    return found


def place(vectors: Vectors, drawn: Ints, placed: Vectors) -> Vectors:
    """Points (N, size) of all vectors, from the points `placed` of the sampled rows `drawn`.

    Every other row gets the mean of its `ANCHORS` nearest sampled points, weighted by inverse distance.
    """
    points = np.empty((len(vectors), placed.shape[1]), np.float32)
    points[drawn] = placed
    others = np.setdiff1d(np.arange(len(vectors)), drawn)
    if len(others):
        near, distances = neighbors(vectors[others], vectors[drawn], min(ANCHORS, len(drawn)))
        weights = 1 / np.maximum(distances, 1e-6)
        weights /= weights.sum(1, keepdims=True)
        points[others] = (placed[near] * weights[:, :, None]).sum(1)
    return points


def trustworthiness(vectors: Vectors, points: Vectors, seed: int) -> float:
    """Trustworthiness of a layout (Venna and Kaski 2001), 0..1; NaN below six points.

    It penalizes neighbors on the map that are not neighbors in the space, by their rank there; computed for
    the five nearest neighbors on a sample of at most 2,000 points.
    """
    from sklearn.manifold import trustworthiness as measure

    rows = draw(len(vectors), _TRUST_SAMPLE, seed, "map/judged")
    near = min(5, (len(rows) - 1) // 2)
    if near < 1:
        return float("nan")
    return round(float(measure(vectors[rows], points[rows], n_neighbors=near)), 4)


# The map of a space, stored next to its index.
#
# Four layouts: PCA, and UMAP (McInnes et al. 2018) from exact neighbors, initialized by PCA (Kobak and
# Linderman 2021), both in 2-D and 3-D. Beyond `DRAWN` points UMAP lays out a random sample; every other point
# is put at the mean of its `ANCHORS` nearest sampled points, weighted by inverse distance. Distances on a map
# differ from those in the space: each layout is stored with its trustworthiness (Venna and Kaski 2001).

DRAWN = 20_000
"""Largest number of points that UMAP lays out; the others are interpolated."""
NEAR = 15
"""Neighbors per point for UMAP, the point itself included."""
MOST_CLUSTERS = 12
"""Largest number of clusters: the number of colors that can be distinguished."""

_CLUSTERED = 3_000  # points that k-means is fitted on


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """Layouts of N points, with their clusters and the trustworthiness of each layout."""

    layouts: dict[str, Vectors]
    """(N, 2) and (N, 3) float32 by name: umap_2d, umap_3d, pca_2d, pca_3d."""
    trust: dict[str, float]
    """Trustworthiness of each layout, 0..1, of the 5 nearest neighbors on at most 2,000 sampled points."""
    clusters: Ints
    """(N,) cluster of each vector by k-means; the silhouette chooses the number of clusters."""

    @classmethod
    def of(
        cls, vectors: Vectors, seed: int = 0, callback: Callback = lambda _: None, with_umap: bool = True
    ) -> "SpaceMap":
        """Lays out (N, D) vectors; deterministic for the same vectors and seed on one machine.

        Uses PCA only if there are fewer than four points or `with_umap` is false. Raises RequestError if
        there are no vectors.
        """
        if not len(vectors):
            raise RequestError("A map needs at least one vector. Given: none. Index some sounds first.")
        _report(callback, "map: PCA", 0, 1)
        axes = principal(vectors, 3).astype(np.float32)
        layouts = {"pca_2d": axes[:, :2], "pca_3d": axes}
        if with_umap and len(vectors) > 3:
            drawn = draw(len(vectors), DRAWN, seed, "map/sample")
            sample = np.ascontiguousarray(vectors[drawn], np.float32)
            near = min(NEAR, len(sample))
            known = neighbors(sample, sample, near, partial(_report, callback, "map: neighbors"))
            for name, words, size in (("umap_2d", "UMAP, 2D", 2), ("umap_3d", "UMAP, 3D", 3)):
                placed = umap(
                    sample, known, axes[drawn, :size], seed, partial(_report, callback, f"map: {words}")
                )
                layouts[name] = place(vectors, drawn, placed)
        trust = {name: trustworthiness(vectors, points, seed) for name, points in layouts.items()}
        order = sorted(layouts, key=lambda name: ("umap" not in name, name))
        return cls(
            {name: layouts[name] for name in order},
            {name: trust[name] for name in order},
            _clusters(vectors, seed),
        )

    def save(self, path: Path, ids: list[str], identity: str, stamp: str) -> None:
        """Writes Parquet: id, one list column per layout, cluster; identity, stamp and trust as metadata."""
        columns: dict[str, Any] = {"id": pa.array(ids, pa.string())}
        for name, points in self.layouts.items():
            flat = pa.array(points.ravel(), pa.float32())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, points.shape[1])
        columns["cluster"] = pa.array(self.clusters, pa.int32())
        noted = {"identity": identity, "stamp": stamp}
        noted |= {f"trust/{name}": repr(value) for name, value in self.trust.items()}
        with replacing(path) as temporary:
            table = pa.table(columns).replace_schema_metadata(noted)
            pq.write_table(table, temporary, write_page_checksum=True)

    @classmethod
    def load(cls, path: Path, identity: str, stamp: str) -> "SpaceMap | None":
        """Reads a file of `save`; None if it is missing, incomplete, or of other vectors."""
        try:
            noted = {key.decode(): text.decode() for key, text in pq.read_schema(path).metadata.items()}
            if (noted.get("identity"), noted.get("stamp")) != (identity, stamp):
                return None
            table = pq.read_table(path, page_checksum_verification=True).combine_chunks()
            scores = {key: text for key, text in noted.items() if key.startswith("trust/")}
            trust = {key.removeprefix("trust/"): float(text) for key, text in scores.items()}
            layouts = {name: _points(table[name]) for name in trust}
            return cls(layouts, trust, table["cluster"].to_numpy().astype(np.int64))
        except (OSError, ValueError, KeyError, AttributeError, pa.ArrowException):
            return None


def map_beside(
    path: Path, ids: list[str], vectors: Vectors, identity: str, callback: Callback = lambda _: None
) -> SpaceMap:
    """The map in `path` if it belongs to these vectors; else a new map, which is written there."""
    stamp = stamp_of(vectors)
    found = SpaceMap.load(path, identity, stamp)
    if found is None:
        found = SpaceMap.of(vectors, callback=callback)
        found.save(path, ids, identity, stamp)
    return found


def stamp_of(vectors: Vectors) -> str:
    """A hash of the vectors and their order."""
    found = hashlib.blake2b(str(vectors.shape).encode(), digest_size=16)
    for first in range(0, len(vectors), BLOCK):
        found.update(np.ascontiguousarray(vectors[first : first + BLOCK], np.float32).tobytes())
    return found.hexdigest()


def _report(callback: Callback, name: str, done: int, total: int) -> None:
    callback(Stage(name, done, total))


def _points(column: pa.ChunkedArray) -> Vectors:
    lists = column.combine_chunks()
    numbers: Vectors = lists.flatten().to_numpy().astype(np.float32)
    return numbers.reshape(len(lists), -1)


def _clusters(vectors: Vectors, seed: int) -> Ints:
    """k-means on a sample, then the nearest center for every vector."""
    rows = draw(len(vectors), _CLUSTERED, seed, "map/clustered")
    sample = np.asarray(vectors[rows], np.float32)
    with threadpool_limits(1):  # too little work for threads
        path = k_means_path(
            sample.astype(np.float64), min(MOST_CLUSTERS, len(np.unique(sample, axis=0))), seed
        )
    count = path.by_silhouette
    if count is None:
        return np.zeros(len(vectors), np.int64)
    members = path.at(count)
    centers = np.stack([sample[members == number].mean(0) for number in range(count)])
    return neighbors(vectors, centers, 1)[0][:, 0].astype(np.int64)
