"""Exact search of many rows: a screen by products of their codes, then float64 on what passes it."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from nearfield.core.nouns import Bools, Floats, Ints, Vectors
from nearfield.models.features.spreading import spread
from nearfield.space import products
from nearfield.space.codes import SIDE, TILE, Codes, encode_query
from nearfield.space.screening import BANNED, Products, screen_each, settle_each

QUERIES = 512
"""Queries that a thread answers together at most: more would leave the cache."""
ALONE = 16
"""Queries that are too few for a thread of their own."""
SHARED = 1 << 25
"""Bytes of codes beyond which threads share the products of a few queries: fewer, one reads as fast."""
ROOM = 2048
"""Rows kept for each query of a batch; one that needs more is answered alone."""


@dataclass(frozen=True, eq=False)
class Coded:
    """N vectors of D numbers and their codes."""

    vectors: Vectors
    codes: Codes

    def search(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> None:
        """Fills `answers`, rows and dot products (B, top), with the nearest of `queries` (B, D).

        `allowed` (N,) lets through `top` rows at least. Equals come in the order of their rows.
        """
        rows, scores = answers

        def answer(part: slice) -> None:
            self._block(queries[part], (rows[part], scores[part]), allowed)

        shares = _shares(len(queries))
        is_small = len(shares) == 1 and self.codes.codes.nbytes <= SHARED
        with products.unshared() if is_small else nullcontext():
            spread(answer, shares)

    def _block(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> None:
        """`search` on one thread."""
        rows, scores = answers
        known = self._together(queries, answers, allowed) if len(queries) > 1 else np.full(1, -1)
        for item in np.flatnonzero(known < rows.shape[1]):
            one = slice(item, item + 1)
            self._alone(queries[one], (rows[one], scores[one]), allowed)

    def _alone(self, query: Vectors, answer: tuple[Ints, Floats], allowed: Bools | None) -> None:
        """`search` for one query (1, D), with all the room it needs."""
        code, bounds = encode_query(query)
        found = products.one(self.codes.codes, code[0])
        _ban(found, len(self.vectors), 0, allowed)
        tiles = found.reshape(1, -1, SIDE, SIDE)
        room, known = ROOM, np.full(1, -1)
        while known[0] < 0:
            heaps = np.full(answer[0].shape, -np.inf, np.float32)
            kept, known = _empty(1, room), np.zeros(1, np.int64)
            screen_each(tiles, self.codes.bounds, bounds, heaps, kept, (0, known))
            room = min(8 * room, len(self.vectors))
        settle_each(self.vectors, query, heaps, kept, known, answer)

    def _together(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> Ints:
        """Answers the queries for which `ROOM` was enough; how many rows each had, -1 for the others."""
        count = len(queries)
        codes, bounds = encode_query(queries)
        out = torch.empty(count, TILE, dtype=torch.int32)
        heaps = np.full(answers[0].shape, -np.inf, np.float32)
        kept, known = _empty(count, ROOM), np.zeros(count, np.int64)
        for tile in range(self.codes.bounds.shape[1]):
            first = tile * TILE
            found = products.many(self.codes.codes[first : first + TILE], codes, out)
            _ban(found, len(self.vectors), first, allowed)
            tiles = found.reshape(count, 1, SIDE, SIDE)
            screen_each(tiles, self.codes.bounds, bounds, heaps, kept, (tile, known))
        settle_each(self.vectors, queries, heaps, kept, known, answers)
        return known


def _shares(count: int) -> list[slice]:
    """Queries in blocks of about the same size, as many for each thread."""
    threads = min(torch.get_num_threads(), max(1, count // ALONE))
    blocks = threads * -(-count // (threads * QUERIES))
    size = -(-count // max(1, blocks))
    return [slice(first, first + size) for first in range(0, count, max(1, size))]


def _empty(queries: int, room: int) -> tuple[Ints, Vectors]:
    return np.empty((queries, room), np.int64), np.empty((queries, room), np.float32)


def _ban(found: Products, rows: int, first: int, allowed: Bools | None) -> None:
    """Takes out of products (..., P), the first of row `first`, what fills up and what is not allowed."""
    count = found.shape[-1]
    found[..., max(0, rows - first) :] = BANNED
    if allowed is not None:
        there = allowed[first : first + count]
        np.copyto(found[..., : len(there)], BANNED, where=~there)
