"""A space of many dimensions laid out in two, and how far the picture can be trusted."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from nearfield.evaluation.neighbours import Search
from nearfield.evaluation.neighbours import nearest as nearest_rows
from nearfield.evaluation.projection import principal, umap
from nearfield.study.records import MapFacts
from nearfield.study.statistics.crossed import Array

Method = Literal["pca", "umap", "tsne"]


def draw_map(method: Method, vectors: Array, labels: Sequence[str]) -> MapFacts:
    """`vectors` (N, D) with one of `labels` each, N above 10; the same bits each time."""
    from sklearn.manifold import trustworthiness

    points = {"pca": _pca, "umap": _umap, "tsne": _tsne}[method](vectors)
    kept = float(trustworthiness(vectors, points, n_neighbors=min(5, len(vectors) // 2 - 1)))
    rounded = tuple((round(float(x), 5), round(float(y), 5)) for x, y in points)
    return MapFacts(method, rounded, tuple(labels), round(kept, 4))


def _pca(vectors: Array) -> Array:
    return principal(vectors, 2)


def _tsne(vectors: Array) -> Array:
    """Van der Maaten & Hinton (2008), begun from the principal components."""
    from sklearn.manifold import TSNE

    near = min(30.0, (len(vectors) - 1) / 3)
    return np.asarray(TSNE(perplexity=near, init="pca", random_state=0).fit_transform(vectors), np.float64)


def _umap(vectors: Array) -> Array:
    single = vectors.astype(np.float32)
    rows, _ = nearest_rows(Search(single, single, "euclidean"), min(15, len(single) - 1))
    # Worked out anew, so that a point is exactly 0 from itself: umap takes the least that is more for a gap.
    away = np.linalg.norm(single[rows] - single[:, None], axis=2)
    known = (rows.astype(np.int32), away)
    return umap(single, known, principal(vectors, 2), seed=0).astype(np.float64)
