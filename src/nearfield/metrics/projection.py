"""Vectors in two or three dimensions, to be looked at: principal components, and UMAP from neighbours."""

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
"""Rows that are worked on at a time."""

Steps = Callable[[int, int], None]
"""Gets how many steps are done, and how many there are."""
Known = tuple[npt.NDArray[np.int32], Vectors]
"""Rows and Euclidean distances (N, K) of the nearest, the nearest first."""


def principal(vectors: Vectors | Floats, count: int) -> Floats:
    """(N, count) coordinates along the directions of largest variance, in blocks of rows.

    Each direction is turned so that its largest weight is positive; where the vectors have fewer than
    `count` dimensions, the axes that are missing are 0.
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(vectors), BLOCK)]
    centre = sum(vectors[block].sum(0, dtype=np.float64) for block in blocks) / len(vectors)
    scatter = np.zeros((vectors.shape[1], vectors.shape[1]))
    for block in blocks:
        rows = vectors[block] - centre
        scatter += rows.T @ rows
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :count].T
    largest = np.abs(directions).argmax(1)
    directions = directions * np.where(directions[np.arange(len(directions)), largest] < 0, -1, 1)[:, None]
    axes = np.zeros((len(vectors), count))
    for block in blocks:
        axes[block, : len(directions)] = (vectors[block] - centre) @ directions.T
    return axes


def umap(
    vectors: Vectors | Floats, known: Known, begun: Vectors | Floats, seed: int, steps: Steps | None = None
) -> Vectors:
    """UMAP (McInnes et al. 2018) of (N, D) vectors whose neighbours are `known`, from `begun` (N, 2 or 3) on.

    Its own search, which is not exact, is never asked. Begun from principal components it keeps more of the
    whole (Kobak and Linderman 2021). The longest side comes first; else the picture's direction means
    nothing.
    """
    chance = entropy(seed, "map/umap") % 2**32
    noise = stream(seed, "map/begin").normal(scale=1e-4, size=begun.shape)
    widest = float(np.abs(begun).max()) or 1.0
    told = {"disable": False, "file": _Bar(steps), "bar_format": "{n_fmt}/{total_fmt}"} if steps else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's and umap's own
        found = _library()(
            n_components=begun.shape[1],
            n_neighbors=known[0].shape[1],
            min_dist=0.1,
            init=(begun * (10 / widest) + noise).astype(np.float32),
            random_state=chance,
            n_jobs=1,
            precomputed_knn=known,
            force_approximation_algorithm=True,
            tqdm_kwds=told,
        ).fit_transform(vectors)
    return principal(np.asarray(found, np.float32), begun.shape[1]).astype(np.float32)


def _library() -> Any:
    """umap's UMAP. Its functions take seconds to compile in every process that does not find them on disk."""
    from nearfield.core.compiled import cache_compiled

    require("map", "A map by UMAP")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that need further libraries
        from umap import UMAP, layouts, umap_

    cache_compiled(layouts, umap_)
    return UMAP


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
