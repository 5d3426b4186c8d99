"""Projection of embeddings to two or three dimensions: principal components and UMAP."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.extras import require
from nearfield.core.rng import entropy, stream
from nearfield.core.types import Floats, Vectors

BLOCK = 65_536
"""Number of rows processed at once."""

Steps = Callable[[int, int], None]
"""Called with the number of steps done and the number of all steps."""
Known = tuple[npt.NDArray[np.int32], Vectors]
"""Rows and Euclidean distances (N, K) of the nearest neighbors, nearest first."""


def principal(vectors: Vectors | Floats, count: int) -> Floats:
    """Projects embeddings to their principal components, in blocks of rows.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    count
        Number of components.

    Returns
    -------
    ndarray
        (N, count) coordinates. The sign of each component makes its largest weight positive; components
        beyond D are 0.
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(vectors), BLOCK)]
    center = sum(vectors[block].sum(0, dtype=np.float64) for block in blocks) / len(vectors)
    scatter = np.zeros((vectors.shape[1], vectors.shape[1]))
    for block in blocks:
        rows = vectors[block] - center
        scatter += rows.T @ rows
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :count].T
    largest = np.abs(directions).argmax(1)
    directions = directions * np.where(directions[np.arange(len(directions)), largest] < 0, -1, 1)[:, None]
    axes = np.zeros((len(vectors), count))
    for block in blocks:
        axes[block, : len(directions)] = (vectors[block] - center) @ directions.T
    return axes


def umap(
    vectors: Vectors | Floats, known: Known, begun: Vectors | Floats, seed: int, steps: Steps | None = None
) -> Vectors:
    """Projects embeddings by UMAP (McInnes et al. 2018) with exact neighbors.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    known
        Nearest neighbors of each row; they replace the approximate search of UMAP.
    begun
        (N, 2 or 3) initial coordinates. Principal components preserve more of the global structure (Kobak
        and Linderman 2021).
    seed
        Seed of the optimization.
    steps
        Progress callback.

    Returns
    -------
    ndarray
        (N, 2 or 3) coordinates, rotated so that the first axis has the largest variance.
    """
    random_state = entropy(seed, "map/umap") % 2**32
    noise = stream(seed, "map/begin").normal(scale=1e-4, size=begun.shape)
    widest = float(np.abs(begun).max()) or 1.0
    bar = {"disable": False, "file": _Bar(steps), "bar_format": "{n_fmt}/{total_fmt}"} if steps else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from numba and umap
        found = _library()(
            n_components=begun.shape[1],
            n_neighbors=known[0].shape[1],
            min_dist=0.1,
            init=(begun * (10 / widest) + noise).astype(np.float32),
            random_state=random_state,
            n_jobs=1,
            precomputed_knn=known,
            force_approximation_algorithm=True,
            tqdm_kwds=bar,
        ).fit_transform(vectors)
    return principal(np.asarray(found, np.float32), begun.shape[1]).astype(np.float32)


def _library() -> Any:
    """Imports UMAP, with its compiled functions cached on disk: compiling them takes seconds."""
    from nearfield.core.compiled import cache_compiled

    require("map", "A map by UMAP")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about missing optional libraries
        from umap import UMAP, layouts, umap_

    cache_compiled(layouts, umap_)
    return UMAP


class _Bar:
    """Parses the progress bar of UMAP, which has no callback."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def write(self, text: str) -> None:
        found = re.search(r"(\d+)/(\d+)", text)
        if found:
            self.steps(int(found[1]), int(found[2]))

    def flush(self) -> None:
        """Does nothing, as there is no buffer."""
