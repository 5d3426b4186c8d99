"""A space laid out in two and three dimensions, to be looked at; kept beside the index.

Four layouts: PCA, and UMAP (McInnes et al. 2018) from exact neighbours, begun from PCA (Kobak and Linderman
2021), both in 2-D and 3-D. Beyond `DRAWN` points UMAP lays out a drawn sample; every other point is put at
the mean of its `ANCHORS` nearest sampled points, weighted by the inverse of their distances. Distances on a
map are not those of the space: each layout carries its trustworthiness (Venna and Kaski 2001).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing
from nearfield.core.nouns import Ints, Vectors
from nearfield.core.seeds import entropy, stream
from nearfield.evaluation.elbow import k_means_path

DRAWN = 50_000
"""Points that UMAP lays out; the others follow their neighbours."""
NEAR = 15
"""Neighbours that UMAP reads, the point itself among them."""
ANCHORS = 5
"""Laid-out points that place one that was not."""
MOST_CLUSTERS = 12
"""Clusters at most: as many as colours can tell apart."""

_JUDGED = 2_000  # points on which trustworthiness is measured: it costs the square
_CLUSTERED = 3_000  # points that k-means learns from
_BLOCK = 65_536

Watch = Callable[[str], None]
"""Gets the name of what is being made."""


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """Layouts of N points, the cluster of each, and how far each layout can be trusted."""

    layouts: dict[str, Vectors]
    """(N, 2) and (N, 3) float32 by name: umap_2d, umap_3d, pca_2d, pca_3d."""
    trust: dict[str, float]
    """Trustworthiness of each layout, 0..1, among the 5 nearest, on at most 2,000 drawn points."""
    clusters: Ints
    """(N,) cluster of each vector by k-means, the number of clusters chosen by silhouette."""

    @classmethod
    def of(
        cls, vectors: Vectors, seed: int = 0, watch: Watch = lambda _: None, with_umap: bool = True
    ) -> "SpaceMap":
        """Lays out (N, D) vectors; the same bits for the same vectors and seed on one machine.

        Fewer than four points are laid out by PCA alone, as all are without `with_umap`. Raises
        RequestError where there is none.
        """
        if not len(vectors):
            raise RequestError("There is no vector to make a map of. Index some sounds first.")
        watch("pca")
        axes = _principal(vectors)
        layouts = {"pca_2d": _filled(axes, 2), "pca_3d": _filled(axes, 3)}
        if with_umap and len(vectors) > 3:
            drawn = _draw(len(vectors), DRAWN, seed, "map/sample")
            sample = np.ascontiguousarray(vectors[drawn], np.float32)
            watch("neighbours")
            known = _neighbours(sample, sample, min(NEAR, len(sample)))
            for name, size in (("umap_2d", 2), ("umap_3d", 3)):
                watch(name)
                placed = _umap(sample, known, _filled(axes[drawn], size), seed)
                layouts[name] = _place(vectors, drawn, sample, placed)
        watch("trust")
        trust = {name: _trust(vectors, points, seed) for name, points in layouts.items()}
        order = sorted(layouts, key=lambda name: ("umap" not in name, name))
        return cls(
            {name: layouts[name] for name in order},
            {name: trust[name] for name in order},
            _clusters(vectors, seed),
        )

    def save(self, path: Path, ids: list[str], identity: str, stamp: str) -> None:
        """Parquet: id, a list of numbers for each layout, cluster; identity, stamp, trust in its header."""
        columns: dict[str, Any] = {"id": pa.array(ids, pa.string())}
        for name, points in self.layouts.items():
            flat = pa.array(points.ravel(), pa.float32())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, points.shape[1])
        columns["cluster"] = pa.array(self.clusters, pa.int32())
        noted = {"identity": identity, "stamp": stamp}
        noted |= {f"trust/{name}": repr(value) for name, value in self.trust.items()}
        with replacing(path) as temporary:
            pq.write_table(pa.table(columns).replace_schema_metadata(noted), temporary)

    @classmethod
    def load(cls, path: Path, identity: str, stamp: str) -> "SpaceMap | None":
        """What `save` wrote; None where there is no whole file, or it is of other vectors."""
        try:
            noted = {key.decode(): text.decode() for key, text in pq.read_schema(path).metadata.items()}
            if (noted.get("identity"), noted.get("stamp")) != (identity, stamp):
                return None
            table = pq.read_table(path).combine_chunks()
        except (OSError, ValueError, AttributeError, pa.ArrowException):
            return None
        trust = {
            key.removeprefix("trust/"): float(text) for key, text in noted.items() if key.startswith("trust/")
        }
        layouts = {name: _points(table[name]) for name in trust}
        return cls(layouts, trust, table["cluster"].to_numpy().astype(np.int64))


def map_beside(
    path: Path, ids: list[str], vectors: Vectors, identity: str, watch: Watch = lambda _: None
) -> SpaceMap:
    """The map in `path` if it is of these vectors; else a new one, which is written there."""
    stamp = stamp_of(vectors)
    found = SpaceMap.load(path, identity, stamp)
    if found is None:
        found = SpaceMap.of(vectors, watch=watch)
        found.save(path, ids, identity, stamp)
    return found


def stamp_of(vectors: Vectors) -> str:
    """A hash of the vectors in their order."""
    found = hashlib.blake2b(str(vectors.shape).encode(), digest_size=16)
    for first in range(0, len(vectors), _BLOCK):
        found.update(np.ascontiguousarray(vectors[first : first + _BLOCK], np.float32).tobytes())
    return found.hexdigest()


def _points(column: pa.ChunkedArray) -> Vectors:
    lists = column.combine_chunks()
    numbers: Vectors = lists.flatten().to_numpy().astype(np.float32)
    return numbers.reshape(len(lists), -1)


def _principal(vectors: Vectors) -> Vectors:
    """(N, 3 or fewer) coordinates along the directions of largest variance, in blocks of rows.

    Each direction is turned so that its largest weight is positive.
    """
    blocks = [slice(first, first + _BLOCK) for first in range(0, len(vectors), _BLOCK)]
    centre = sum(vectors[block].sum(0, dtype=np.float64) for block in blocks) / len(vectors)
    scatter = np.zeros((vectors.shape[1], vectors.shape[1]))
    for block in blocks:
        rows = vectors[block] - centre
        scatter += rows.T @ rows
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :3].T
    largest = np.abs(directions).argmax(1)
    directions = directions * np.where(directions[np.arange(len(directions)), largest] < 0, -1, 1)[:, None]
    return np.concatenate([((vectors[block] - centre) @ directions.T).astype(np.float32) for block in blocks])


def _filled(axes: Vectors, size: int) -> Vectors:
    """The first `size` axes; 0 for those that a space of fewer dimensions lacks."""
    points = np.zeros((len(axes), size), np.float32)
    points[:, : axes.shape[1]] = axes[:, :size]
    return points


def _draw(count: int, most: int, seed: int, name: str) -> Ints:
    """At most `most` of `count` rows, ascending."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(stream(seed, name).choice(count, most, replace=False)).astype(np.int64)


def _neighbours(queries: Vectors, among: Vectors, near: int) -> tuple[npt.NDArray[np.int32], Vectors]:
    """Rows and Euclidean distances (N, near) of the exact nearest."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=near, algorithm="brute").fit(among)
    distances, rows = found.kneighbors(queries)
    return rows.astype(np.int32), distances.astype(np.float32)


def _umap(
    vectors: Vectors, known: tuple[npt.NDArray[np.int32], Vectors], begun: Vectors, seed: int
) -> Vectors:
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
        ).fit_transform(vectors)
    return _turned(np.asarray(found, np.float32))


def _turned(points: Vectors) -> Vectors:
    """The same layout with its longest side first: screens are wide, and its direction means nothing."""
    return _filled(_principal(points), points.shape[1])


def _place(vectors: Vectors, drawn: Ints, sample: Vectors, placed: Vectors) -> Vectors:
    """(N, size): the sample where it was placed, the others among their nearest of the sample."""
    points = np.empty((len(vectors), placed.shape[1]), np.float32)
    points[drawn] = placed
    others = np.setdiff1d(np.arange(len(vectors)), drawn)
    for first in range(0, len(others), _BLOCK):
        rows = others[first : first + _BLOCK]
        near, distances = _neighbours(vectors[rows], sample, min(ANCHORS, len(sample)))
        weights = 1 / np.maximum(distances, 1e-6)
        weights /= weights.sum(1, keepdims=True)
        points[rows] = (placed[near] * weights[:, :, None]).sum(1)
    return points


def _trust(vectors: Vectors, points: Vectors, seed: int) -> float:
    """Share of the map's neighbours that are neighbours in the space, by rank; NaN below six points."""
    from sklearn.manifold import trustworthiness

    rows = _draw(len(vectors), _JUDGED, seed, "map/judged")
    near = min(5, (len(rows) - 1) // 2)
    if near < 1:
        return float("nan")
    return round(float(trustworthiness(vectors[rows], points[rows], n_neighbors=near)), 4)


def _clusters(vectors: Vectors, seed: int) -> Ints:
    """k-means on a drawn sample, then the nearest centre for every vector."""
    rows = _draw(len(vectors), _CLUSTERED, seed, "map/clustered")
    sample = np.asarray(vectors[rows], np.float32)
    with threadpool_limits(1):  # small work, over which threads wait for one another
        path = k_means_path(
            sample.astype(np.float64), min(MOST_CLUSTERS, len(np.unique(sample, axis=0))), seed
        )
    count = path.by_silhouette
    if count is None:
        return np.zeros(len(vectors), np.int64)
    members = path.at(count)
    centres = np.stack([sample[members == number].mean(0) for number in range(count)])
    found = [
        _neighbours(vectors[first : first + _BLOCK], centres, 1)[0][:, 0]
        for first in range(0, len(vectors), _BLOCK)
    ]
    return np.concatenate(found).astype(np.int64)
