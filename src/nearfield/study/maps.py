"""A space of many dimensions laid out in two, and how far the picture can be trusted."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

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
    """The two directions of largest variance, each turned so that its largest weight is positive."""
    centred = vectors - vectors.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(directions[np.arange(2), np.abs(directions[:2]).argmax(1)])
    return np.asarray(centred @ (directions[:2] * signs[:, None]).T, np.float64)


def _tsne(vectors: Array) -> Array:
    """Van der Maaten & Hinton (2008), begun from the principal components."""
    from sklearn.manifold import TSNE

    near = min(30.0, (len(vectors) - 1) / 3)
    return np.asarray(TSNE(perplexity=near, init="pca", random_state=0).fit_transform(vectors), np.float64)


def _umap(vectors: Array) -> Array:
    """McInnes et al. (2018), from exact neighbours, as its own search is compiled first, for seconds."""
    import warnings

    from sklearn.neighbors import NearestNeighbors

    from nearfield.core.compiled import keep_compiled

    near = min(15, len(vectors) - 1)
    distances, rows = NearestNeighbors(n_neighbors=near).fit(vectors).kneighbors(vectors)
    known = (rows.astype(np.int32), distances.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's and umap's own
        from umap import UMAP, layouts, umap_

        keep_compiled(layouts, umap_)
        umap = UMAP(
            n_neighbors=near,
            min_dist=0.1,
            random_state=0,
            n_jobs=1,
            precomputed_knn=known,
            force_approximation_algorithm=True,
        )
        mapped = umap.fit_transform(vectors)
    return np.asarray(mapped, np.float64)
