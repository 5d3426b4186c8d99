"""Exact nearest neighbors in bounded memory; ties resolved by index."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nearfield.core.errors import RequestError
from nearfield.core.parallel import one_thread
from nearfield.core.types import Distance, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors

# The smallest cells of each row of a matrix, in a deterministic order.

Matrix = npt.NDArray[Any]


def smallest(cells: Matrix, count: int) -> tuple[Ints, Matrix]:
    """Finds the smallest cells of each row, ascending, ties by column.

    Parameters
    ----------
    cells
        (n, N) values without NaN; inf cells are never selected.
    count
        Number of cells per row.

    Returns
    -------
    columns : ndarray
        (n, count) columns; -1 if the row has too few finite cells.
    values : ndarray
        (n, count) their values; inf where the column is -1.
    """
    if count < cells.shape[1]:
        columns, values = _candidates(cells, count)
    else:
        columns, values = np.broadcast_to(np.arange(cells.shape[1]), cells.shape), cells
    # The unstable sort is about 12 times faster; ties are put in order afterwards.
    order = np.argsort(values, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    index = np.take_along_axis(columns, order, axis=1)
    for row in np.flatnonzero(((values[:, 1:] == values[:, :-1]) & (values[:, 1:] < np.inf)).any(axis=1)):
        run = np.cumsum(np.r_[0, values[row, 1:] != values[row, :-1]])
        span = cells.shape[1] + 1
        index[row] = np.sort(run * span + index[row]) % span
    index[np.isinf(values)] = -1
    return index[:, :count], values[:, :count]


def _candidates(cells: Matrix, count: int) -> tuple[Ints, Matrix]:
    """Moves all cells up to the count-th smallest of each row, with ties, into a narrower matrix."""
    size = cells.shape[1]
    edge = np.partition(cells, count - 1, axis=1)[:, count - 1, None]
    flat = np.flatnonzero(cells <= np.minimum(edge, np.finfo(cells.dtype).max))
    row, column = np.divmod(flat, size)
    counts = np.bincount(row, minlength=len(cells))
    place = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = max(count, int(counts.max(initial=0)))
    columns = np.full((len(cells), width), size, dtype=np.int64)
    values = np.full((len(cells), width), np.inf, dtype=cells.dtype)
    columns[row, place] = column
    values[row, place] = cells[row, column]
    return columns, values


# Exact nearest neighbors in bounded memory. All metrics search with these functions.
#
# Conventions: Q queries search N gallery embeddings of D dimensions. Ties are sorted by gallery row, and
# equal embeddings have equal distances, so rankings are deterministic. The query itself and clips of its
# source are excluded by row number, never by dropping the first rank: a duplicate of the query stays in.
#
# Distances are computed in blocks by a matrix product: in float64 up to `PRECISE` cells, above that in
# float32, with errors of about 1e-6 of the squared norms. Memory stays below about one gigabyte.

PRECISE = 2**28
"""Largest number of cells (Q x N) for which distances are computed in float64."""

CELLS = 2**23
"""Number of cells that a worker computes at once."""

_Matrix = npt.NDArray[Any]


@dataclass(frozen=True)
class Search:
    """A search: queries, gallery, distance, and the gallery rows excluded for each query.

    Raises
    ------
    RequestError
        If shapes do not match.
    WorkError
        If an embedding is not finite.
    """

    queries: Vectors
    """(Q, D)"""
    gallery: Vectors
    """(N, D)"""
    distance: Distance = "cosine"
    own: Ints | None = None
    """(Q,) the gallery row of the query itself, or -1; None if no query is in the gallery."""
    query_sources: Ints | None = None
    """(Q,) group or recording; gallery rows with the same number are excluded. -1 excludes none."""
    gallery_sources: Ints | None = None
    """(N,) group or recording of the gallery rows."""

    def __post_init__(self) -> None:
        check_vectors("queries", self.queries)
        check_vectors("gallery", self.gallery)
        if self.queries.shape[1] != self.gallery.shape[1]:
            given = f"queries have {self.queries.shape[1]}, the gallery {self.gallery.shape[1]}"
            raise RequestError(
                f"search: queries and gallery must have the same number of dimensions. Given: {given}."
            )
        if (self.query_sources is None) != (self.gallery_sources is None):
            raise RequestError("search: give sources of both the queries and the gallery, or of neither.")
        check_lengths(len(self.queries), own=self.own, query_sources=self.query_sources)
        check_lengths(len(self.gallery), gallery_sources=self.gallery_sources)

    @classmethod
    def within(cls, vectors: Vectors, distance: Distance = "cosine", sources: Ints | None = None) -> "Search":
        """Searches `vectors` among themselves, without the query and, if `sources` is given, its source."""
        return cls(vectors, vectors, distance, np.arange(len(vectors)), sources, sources)


@dataclass(frozen=True)
class Ranked:
    """The nearest gallery rows of a block of queries, nearest first."""

    rows: Ints
    """(n,) rows of the queries."""
    index: Ints
    """(n, k) gallery rows; -1 if fewer than k may be returned."""
    distance: Floats
    """(n, k) distances; inf where the index is -1."""


def ranking(search: Search, wanted: Ints) -> Iterator[Ranked]:
    """Ranks the gallery for each query, in blocks.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.
    wanted
        (Q,) smallest number of neighbors for each query.

    Yields
    ------
    Ranked
        A block of queries with the largest number wanted in it. Queries with similar `wanted` share a block,
        so the order of the queries changes; each occurs once.
    """
    size = len(search.gallery)
    order = np.argsort(np.minimum(wanted, size), kind="stable")
    if not len(order) or not size:
        return
    step = max(1, CELLS // size)
    blocks = [order[start : start + step] for start in range(0, len(order), step)]
    space = _Space(search)

    def rank(rows: Ints) -> Ranked:
        count = max(1, min(int(wanted[rows].max()), size))
        index, cells = smallest(space.cells(rows), count)
        return Ranked(rows, index, space.distances(rows, cells))

    if len(blocks) == 1:
        yield rank(blocks[0])
        return
    workers = torch.get_num_threads()
    # One BLAS thread per worker: the threads of several workers would block each other.
    with one_thread(), ThreadPoolExecutor(workers) as pool:
        # In strides, so that only a few finished blocks wait to be consumed.
        for start in range(0, len(blocks), 2 * workers):
            yield from pool.map(rank, blocks[start : start + 2 * workers])


def all_distances(search: Search) -> Iterator[tuple[Ints, Floats]]:
    """Computes the distances of each query to the whole gallery, in blocks of queries.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.

    Yields
    ------
    rows : ndarray
        (n,) rows of the queries, ascending.
    distances : ndarray
        (n, N) distances; inf for gallery rows that the query may not return.
    """
    if not len(search.queries) or not len(search.gallery):
        return
    space, step = _Space(search), max(1, CELLS // len(search.gallery))
    for start in range(0, len(search.queries), step):
        rows = np.arange(start, min(start + step, len(search.queries)))
        yield rows, space.distances(rows, space.cells(rows))


def nearest(search: Search, count: int) -> tuple[Ints, Floats]:
    """Finds the nearest gallery rows of each query.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.
    count
        Number of neighbors.

    Returns
    -------
    index : ndarray
        (Q, count) gallery rows, nearest first; -1 if there are fewer.
    distance : ndarray
        (Q, count) distances; inf where the index is -1. In float64, squared Euclidean distances have errors
        of about 1e-13 of the squared norms.
    """
    index = np.full((len(search.queries), count), -1, dtype=np.int64)
    distance = np.full((len(search.queries), count), np.inf)
    for block in ranking(search, np.full(len(search.queries), count)):
        found = min(count, block.index.shape[1])
        index[block.rows, :found] = block.index[:, :found]
        distance[block.rows, :found] = block.distance[:, :found]
    return index, distance


def available(search: Search) -> Ints:
    """Returns the number of gallery rows that each query may return, (Q,)."""
    return len(search.gallery) - barred_counts(search)


def barred_counts(search: Search, query_kinds: Ints | None = None, gallery_kinds: Ints | None = None) -> Ints:
    """Returns the number of gallery rows excluded for each query, (Q,).

    If kinds (Q,) and (N,) are given, only excluded rows of the query's kind are counted.
    """
    ones_q, ones_g = np.zeros(len(search.queries), np.int64), np.zeros(len(search.gallery), np.int64)
    kinds_q = ones_q if query_kinds is None else query_kinds
    kinds_g = ones_g if gallery_kinds is None else gallery_kinds
    barred = np.zeros(len(search.queries), dtype=np.int64)
    by_source = np.zeros(len(search.queries), dtype=bool)
    if search.query_sources is not None and search.gallery_sources is not None:
        known = search.query_sources >= 0
        counts = count_equal(
            np.stack([search.query_sources, kinds_q], 1), np.stack([search.gallery_sources, kinds_g], 1)
        )
        barred = np.where(known, counts, 0)
        if search.own is not None and len(search.gallery):
            by_source = known & (search.gallery_sources[search.own] == search.query_sources)
    if search.own is not None and len(search.gallery):
        alone = (search.own >= 0) & ~by_source & (kinds_g[search.own] == kinds_q)
        barred = barred + alone
    return barred


def count_equal(wanted: Ints, among: Ints) -> Ints:
    """Counts how often each row of `wanted` (Q, c) occurs in `among` (N, c); returns (Q,)."""
    codes = np.zeros(len(wanted) + len(among), dtype=np.int64)
    for column in np.concatenate([wanted, among]).T:
        # Renumbering after each column keeps the products within 64 bits.
        _, column = np.unique(column, return_inverse=True)
        _, codes = np.unique(codes * (len(codes) + 1) + column, return_inverse=True)
    counts = np.bincount(codes[len(wanted) :], minlength=int(codes.max(initial=-1)) + 1)
    return np.asarray(counts[codes[: len(wanted)]], dtype=np.int64)


class _Space:
    """Embeddings prepared so that one matrix product gives the values to rank by."""

    def __init__(self, search: Search) -> None:
        self.search = search
        precise = len(search.queries) * len(search.gallery) <= PRECISE
        queries, gallery = (
            each.astype(np.float64 if precise else np.float32) for each in (search.queries, search.gallery)
        )
        if search.distance == "cosine":
            self.left, self.right = unit(queries), -unit(gallery)
            self.offset = np.ones(len(queries))
        else:
            # |q - g|^2 - |q|^2 = |g|^2 - 2 q.g; in float32, centering the gallery reduces cancellation.
            if not precise:
                center = gallery.mean(axis=0)
                queries, gallery = queries - center, gallery - center
            squares = (gallery**2).sum(axis=1)
            self.left = np.hstack([-2 * queries, np.ones_like(queries[:, :1])])
            self.right = np.hstack([gallery, squares[:, None]])
            self.offset = (queries**2).sum(axis=1).astype(np.float64)
        self.copies, self.originals = _duplicates(self.right)
        self.sources = members(search.gallery_sources)

    def cells(self, rows: Ints) -> _Matrix:
        """(n, N) values to rank by; inf for excluded rows."""
        cells: _Matrix = self.left[rows] @ self.right.T
        # The last bit of a product may depend on the column; duplicates must have equal values.
        cells[:, self.copies] = cells[:, self.originals]
        own, sources = self.search.own, self.search.query_sources
        if own is not None:
            known = own[rows] >= 0
            cells[np.flatnonzero(known), own[rows][known]] = np.inf
        if sources is not None:
            for place, source in enumerate(sources[rows].tolist()):
                cells[place, self.sources.get(source, _NONE)] = np.inf
        return cells

    def distances(self, rows: Ints, cells: _Matrix) -> Floats:
        """Converts ranked values to distances; values below zero are rounding errors."""
        found = np.maximum(cells.astype(np.float64) + self.offset[rows, None], 0.0)
        return np.sqrt(found) if self.search.distance == "euclidean" else found


_NONE: Ints = np.zeros(0, dtype=np.int64)


def unit(vectors: _Matrix) -> _Matrix:
    """Normalizes each row to length one; rows of zeros are unchanged."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: _Matrix = vectors / np.where(norms > 0, norms, 1)
    return scaled


def _duplicates(vectors: _Matrix) -> tuple[Ints, Ints]:
    """Rows that repeat an earlier row, and those earlier rows."""
    # Adding zero turns -0 into 0: they are equal but differ in their bytes.
    rows = np.ascontiguousarray(vectors + 0.0)
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    originals = first[inverse]
    copies = np.flatnonzero(originals != np.arange(len(rows)))
    return copies, originals[copies]


def members(sources: Ints | None) -> dict[int, Ints]:
    """Returns the rows of each known source, ascending."""
    if sources is None or not len(sources):
        return {}
    order = np.argsort(sources, kind="stable")
    names, starts = np.unique(sources[order], return_index=True)
    parts = zip(names.tolist(), np.split(order, starts[1:]), strict=True)
    return {name: rows for name, rows in parts if name >= 0}
