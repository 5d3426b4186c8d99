"""Exact search of many rows: a screen by products of their codes, then float64 on what passes it."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from nearfield.core.nouns import Bools, Floats, Ints, Vectors
from nearfield.models.features.spreading import spread
from nearfield.space import products
from nearfield.space.codes import SIDE, TILE, Codes
from nearfield.space.screening import (
    BANNED,
    ROOM,
    Products,
    answer_one,
    encode_each,
    screen_each,
    settle_each,
)

QUERIES = 256
"""Queries that a thread answers together at most: more would leave the cache."""
ALONE = 16
"""Queries that are too few for a thread of their own."""
SHARED = 1 << 25
"""Bytes of codes beyond which threads share the products of a few queries: fewer, one reads as fast."""


@dataclass(frozen=True, eq=False)
class Coded:
    """N vectors of D numbers and their codes."""

    vectors: Vectors
    codes: Codes

    def search(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> None:
        """Fills `answers`, rows and dot products (B, top), with the nearest of `queries` (B, D).

        `allowed` (N,) lets through `top` rows at least. Equals come in the order of their rows.
        """
        shares = _shares(len(queries))
        if len(shares) == 1:
            is_small = self.codes.codes.nbytes <= SHARED
            with products.unshared() if is_small else nullcontext():
                self._block(queries, answers, allowed)
            return
        rows, scores = answers

        def answer(part: slice) -> None:
            self._block(queries[part], (rows[part], scores[part]), allowed)

        spread(answer, shares)

    def _block(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> None:
        """`search` on one thread."""
        if len(queries) == 1:
            self._alone(queries, answers, allowed)
            return
        rows, scores = answers
        known = self._together(queries, answers, allowed)
        for item in np.flatnonzero(known < rows.shape[1]):
            one = slice(item, item + 1)
            self._alone(queries[one], (rows[one], scores[one]), allowed)

    def _alone(self, query: Vectors, answer: tuple[Ints, Floats], allowed: Bools | None) -> None:
        """`search` for one query (1, D), with all the room it needs."""
        code, facts = encode_each(query)
        found = products.one(self.codes.codes, code[0])
        _ban(found, len(self.vectors), 0, allowed)
        tiles = found.reshape(-1, SIDE, SIDE)
        answer_one(tiles, self.codes.bounds, (query[0], facts[0]), self.vectors, (answer[0][0], answer[1][0]))

    def _together(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> Ints:
        """Answers the queries for which `ROOM` was enough; how many rows each had, -1 for the others."""
        count = len(queries)
        codes, bounds = encode_each(queries)
        out = torch.empty(count, TILE, dtype=torch.int32)
        heaps = np.full(answers[0].shape, -np.inf, np.float32)
        kept = np.empty((count, ROOM), np.int64), np.empty((count, ROOM), np.float32)
        known = np.zeros(count, np.int64)
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


def _ban(found: Products, rows: int, first: int, allowed: Bools | None) -> None:
    """Takes out of products (..., P), the first of row `first`, what fills up and what is not allowed."""
    count = found.shape[-1]
    found[..., max(0, rows - first) :] = BANNED
    if allowed is not None:
        there = allowed[first : first + count]
        np.copyto(found[..., : len(there)], BANNED, where=~there)
