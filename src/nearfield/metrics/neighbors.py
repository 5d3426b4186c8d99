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

# The smallest cells of every row of a matrix, in an order that leaves nothing to chance.

Matrix = npt.NDArray[Any]


def smallest(cells: Matrix, count: int) -> tuple[Ints, Matrix]:
    """Columns (n, count) and values of each row's smallest cells, in order, equal cells by column.

    `cells` (n, N) without NaN; an inf cell is never given: -1 and inf stand where there are too few others.
    """
    if count < cells.shape[1]:
        columns, values = _candidates(cells, count)
    else:
        columns, values = np.broadcast_to(np.arange(cells.shape[1]), cells.shape), cells
    # The unstable sort is a dozen times as fast; what it leaves open between equal cells is put right after.
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
    """Every cell up to each row's count-th smallest, ties too, moved to the left of a narrower matrix."""
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


# Exact nearest neighbours in bounded memory: every search that a measure makes goes through here.
#
# Conventions: Q queries look among N gallery vectors of D dimensions. Smaller distance is nearer; equal
# distances are in order of gallery row, and equal vectors have equal distances, so a ranking never depends
# on chance. Whoever may not be found (the query itself, clips of its own source) is barred by row number,
# never by dropping the first rank: a duplicate of the query stays in.
#
# Distances are worked out in blocks by a matrix product, in float64 up to `PRECISE` cells and in float32
# beyond, where they are near 1e-6 of the squared norms; at most about a gigabyte is held, whatever Q and N.

PRECISE = 2**28
"""Cells (Q x N) up to which distances are worked out in float64."""

CELLS = 2**23
"""Cells that a worker holds at once."""

_Matrix = npt.NDArray[Any]


@dataclass(frozen=True)
class Search:
    """Who looks among whom, by which distance, and who may not be found.

    Raises RequestError where shapes do not fit together, WorkError where a vector is not finite.
    """

    queries: Vectors
    """(Q, D)"""
    gallery: Vectors
    """(N, D)"""
    distance: Distance = "cosine"
    own: Ints | None = None
    """(Q,) the gallery row that is the query itself, -1 where there is none; None: none is there."""
    query_sources: Ints | None = None
    """(Q,) group or recording; gallery rows of the same number are barred. -1 is not known and bars none."""
    gallery_sources: Ints | None = None
    """(N,)"""

    def __post_init__(self) -> None:
        check_vectors("queries", self.queries)
        check_vectors("gallery", self.gallery)
        if self.queries.shape[1] != self.gallery.shape[1]:
            given = f"queries have {self.queries.shape[1]}, the gallery {self.gallery.shape[1]}"
            raise RequestError(f"search: queries and gallery must have as many dimensions; {given}.")
        if (self.query_sources is None) != (self.gallery_sources is None):
            raise RequestError("search: give sources of both the queries and the gallery, or of neither.")
        check_lengths(len(self.queries), own=self.own, query_sources=self.query_sources)
        check_lengths(len(self.gallery), gallery_sources=self.gallery_sources)

    @classmethod
    def within(cls, vectors: Vectors, distance: Distance = "cosine", sources: Ints | None = None) -> "Search":
        """Every vector looks among all others, without those of its own source where `sources` are given."""
        return cls(vectors, vectors, distance, np.arange(len(vectors)), sources, sources)


@dataclass(frozen=True)
class Ranked:
    """The nearest gallery rows of some queries, nearest first."""

    rows: Ints
    """(n,) which queries."""
    index: Ints
    """(n, k) gallery rows; -1 where a query has fewer than k to find."""
    distance: Floats
    """(n, k) inf where the index is -1."""


def ranking(search: Search, wanted: Ints) -> Iterator[Ranked]:
    """Yields blocks of queries with at least `wanted` (Q,) neighbours each, or all there are.

    A block's k is the largest wanted in it; queries that want alike many come together, and each query
    comes once, though not in the order given.
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
    # One thread of arithmetic in each worker: BLAS threads of several workers would wait for each other.
    with one_thread(), ThreadPoolExecutor(workers) as pool:
        # In strides, so that only few blocks are ever finished and not yet read.
        for start in range(0, len(blocks), 2 * workers):
            yield from pool.map(rank, blocks[start : start + 2 * workers])


def nearest(search: Search, count: int) -> tuple[Ints, Floats]:
    """The `count` nearest gallery rows (Q, count) of every query, -1 beyond those there are, and distances.

    Squared Euclidean distances are exact to about 1e-13 of the squared norms in float64.
    """
    index = np.full((len(search.queries), count), -1, dtype=np.int64)
    distance = np.full((len(search.queries), count), np.inf)
    for block in ranking(search, np.full(len(search.queries), count)):
        found = min(count, block.index.shape[1])
        index[block.rows, :found] = block.index[:, :found]
        distance[block.rows, :found] = block.distance[:, :found]
    return index, distance


def available(search: Search) -> Ints:
    """(Q,) how many gallery rows each query may find."""
    return len(search.gallery) - barred_counts(search)


def barred_counts(search: Search, query_kinds: Ints | None = None, gallery_kinds: Ints | None = None) -> Ints:
    """(Q,) how many gallery rows are barred to each query; of its own kind only, where kinds are given."""
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
    """(Q,) how often each row of `wanted` (Q, c) stands in `among` (N, c)."""
    codes = np.zeros(len(wanted) + len(among), dtype=np.int64)
    for column in np.concatenate([wanted, among]).T:
        # Renumbered at every column, so that no product of two numbers grows past 64 bits.
        _, column = np.unique(column, return_inverse=True)
        _, codes = np.unique(codes * (len(codes) + 1) + column, return_inverse=True)
    counts = np.bincount(codes[len(wanted) :], minlength=int(codes.max(initial=-1)) + 1)
    return np.asarray(counts[codes[: len(wanted)]], dtype=np.int64)


class _Space:
    """The vectors made ready, so that one matrix product gives what to rank by."""

    def __init__(self, search: Search) -> None:
        self.search = search
        precise = len(search.queries) * len(search.gallery) <= PRECISE
        queries, gallery = (
            side.astype(np.float64 if precise else np.float32) for side in (search.queries, search.gallery)
        )
        if search.distance == "cosine":
            self.left, self.right = unit(queries), -unit(gallery)
            self.offset = np.ones(len(queries))
        else:
            # |q - g|^2 - |q|^2 = |g|^2 - 2 q.g; in float32 from the gallery's centre, so that little cancels.
            if not precise:
                centre = gallery.mean(axis=0)
                queries, gallery = queries - centre, gallery - centre
            squares = (gallery**2).sum(axis=1)
            self.left = np.hstack([-2 * queries, np.ones_like(queries[:, :1])])
            self.right = np.hstack([gallery, squares[:, None]])
            self.offset = (queries**2).sum(axis=1).astype(np.float64)
        self.copies, self.originals = _duplicates(self.right)
        self.sources = members(search.gallery_sources)

    def cells(self, rows: Ints) -> _Matrix:
        """(n, N) what to rank by, inf where barred."""
        cells: _Matrix = self.left[rows] @ self.right.T
        # A product's last bit may depend on the column's place; equal vectors must stay equal.
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
        """What was ranked by, as distances; rounding may not take them below zero."""
        found = np.maximum(cells.astype(np.float64) + self.offset[rows, None], 0.0)
        return np.sqrt(found) if self.search.distance == "euclidean" else found


_NONE: Ints = np.zeros(0, dtype=np.int64)


def unit(vectors: _Matrix) -> _Matrix:
    """Each row at length one; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: _Matrix = vectors / np.where(norms > 0, norms, 1)
    return scaled


def _duplicates(vectors: _Matrix) -> tuple[Ints, Ints]:
    """Rows that repeat an earlier row, and those earlier rows."""
    # Adding zero turns -0 into 0, which are equal but have unlike bytes.
    rows = np.ascontiguousarray(vectors + 0.0)
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    originals = first[inverse]
    copies = np.flatnonzero(originals != np.arange(len(rows)))
    return copies, originals[copies]


def members(sources: Ints | None) -> dict[int, Ints]:
    """The rows of every known source, in order."""
    if sources is None or not len(sources):
        return {}
    order = np.argsort(sources, kind="stable")
    names, starts = np.unique(sources[order], return_index=True)
    parts = zip(names.tolist(), np.split(order, starts[1:]), strict=True)
    return {name: rows for name, rows in parts if name >= 0}
