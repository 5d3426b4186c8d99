"""Exact nearest neighbours by dot product: a screen of eight-bit codes, then float64 on what passes it.

Of unit vectors the dot product is the cosine. The answer is that of a full comparison in float64, ties in
the order of rows; the codes only decide which rows cannot be in it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from nearfield.core.machine import usable_cores
from nearfield.core.nouns import Bools, Floats, Ints, Vectors
from nearfield.space import products
from nearfield.space.codes import Codes, encode_query
from nearfield.space.screening import BANNED, SIDE, TILE, Products, screen, screen_each, settle, settle_each

QUERIES = 512
"""Queries that are answered together: their products with a tile of rows fit the processor's cache."""
ROOM = 2048
"""Rows kept for each query of a batch; one that needs more is answered alone."""

Found = tuple[Ints, Floats]
"""Row numbers, the nearest first, and their dot products with the query."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """N vectors of D numbers and their codes, ready to be searched; the arrays may be mapped from disk."""

    vectors: Vectors
    """(N, D) float32."""
    codes: Codes

    @classmethod
    def of(cls, vectors: Vectors) -> "Nearest":
        """Searches (N, D) vectors that are in memory."""
        rows = np.ascontiguousarray(vectors, np.float32)
        return cls(rows, Codes.of(rows))

    def search(self, query: Vectors, top: int, allowed: Bools | None = None) -> Found:
        """The `top` rows with the largest dot products with `query` (D,); fewer where fewer are allowed."""
        count = self._count(top, allowed)
        query = np.ascontiguousarray(query, np.float32)
        if not count:
            return np.empty(0, np.int64), np.empty(0)
        code, bound = encode_query(query)
        found = products.one(self.codes.codes, code)
        _ban(found, len(self.vectors), 0, allowed)
        heap = np.full(count, -np.inf, np.float32)
        tiles = found.reshape(-1, SIDE, SIDE)
        room, known = ROOM, -1
        while known < 0:
            heap[:] = -np.inf
            kept = np.empty(room, np.int64), np.empty(room, np.float32)
            known = screen(tiles, self.codes.bounds, bound, heap, kept, (0, 0))
            room = min(8 * room, len(self.vectors))
        answer = np.empty(count, np.int64), np.empty(count)
        settle(self.vectors, query, heap[0], (kept[0][:known], kept[1][:known]), answer)
        return answer

    def search_many(self, queries: Vectors, top: int, allowed: Bools | None = None) -> Found:
        """The same for (B, D) queries: row numbers and dot products (B, top), or narrower as `search`."""
        count = self._count(top, allowed)
        queries = np.ascontiguousarray(queries, np.float32)
        rows, scores = np.empty((len(queries), count), np.int64), np.empty((len(queries), count))
        if count:
            for first in range(0, len(queries), QUERIES):
                part = slice(first, first + QUERIES)
                self._block(queries[part], rows[part], scores[part], allowed)
        return rows, scores

    def _count(self, top: int, allowed: Bools | None) -> int:
        return min(top, len(self.vectors) if allowed is None else int(allowed.sum()))

    def _block(self, queries: Vectors, rows: Ints, scores: Floats, allowed: Bools | None) -> None:
        """Fills `rows` and `scores` (B, top) for one block of queries."""
        known = self._screened(queries, rows, scores, allowed) if len(queries) > 1 else np.full(1, -1)
        for item in np.flatnonzero(known < rows.shape[1]):
            rows[item], scores[item] = self.search(queries[item], rows.shape[1], allowed)

    def _screened(self, queries: Vectors, rows: Ints, scores: Floats, allowed: Bools | None) -> Ints:
        """Answers the queries for which `ROOM` was enough; how many rows each had, -1 for the others."""
        count = len(queries)
        codes, bounds = encode_query(queries)
        out = torch.empty(count, TILE, dtype=torch.int32)
        heaps = np.full((count, rows.shape[1]), -np.inf, np.float32)
        kept = np.empty((count, ROOM), np.int64), np.empty((count, ROOM), np.float32)
        known = np.zeros(count, np.int64)
        with ThreadPoolExecutor(usable_cores(), "search") as pool:
            for tile in range(self.codes.bounds.shape[1]):
                first = tile * TILE
                found = products.many(self.codes.codes[first : first + TILE], codes, out)
                _ban(found, len(self.vectors), first, allowed)
                tiles, limits = found.reshape(count, 1, SIDE, SIDE), self.codes.bounds[:, tile : tile + 1]

                def look(part: slice, tiles=tiles, limits=limits, first=first) -> None:  # type: ignore[no-untyped-def]
                    place = kept[0][part], kept[1][part]
                    screen_each(tiles[part], limits, bounds[part], heaps[part], place, (first, known[part]))

                _shared(pool, look, count)

            def finish(part: slice) -> None:
                place, answers = (kept[0][part], kept[1][part]), (rows[part], scores[part])
                settle_each(self.vectors, queries[part], heaps[part], place, known[part], answers)

            _shared(pool, finish, count)
        return known


def _ban(found: Products, rows: int, first: int, allowed: Bools | None) -> None:
    """Takes out of products (..., P), the first of row `first`, what fills up and what is not allowed."""
    count = found.shape[-1]
    found[..., max(0, rows - first) :] = BANNED
    if allowed is not None:
        there = allowed[first : first + count]
        np.copyto(found[..., : len(there)], BANNED, where=~there)


def _shared(pool: ThreadPoolExecutor, work: Callable[[slice], None], count: int) -> None:
    """`work` on all of `count` items, a share for each core."""
    share = -(-count // usable_cores())
    list(pool.map(work, [slice(first, first + share) for first in range(0, count, share)]))
