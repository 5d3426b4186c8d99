"""Exact nearest neighbours by dot product: a screen of cheap products, then float64 on what passes it.

Of unit vectors the dot product is the cosine. The answer is that of a full comparison in float64, ties in
the order of rows; the screen only decides which rows cannot be in it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints, Vectors
from nearfield.space.codes import Codes
from nearfield.space.few import Few

if TYPE_CHECKING:
    from nearfield.space.coded import Coded

FEW = 4096
"""Rows up to which vectors are compared as they are; beyond, their codes, by code that is compiled once."""
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
        rows, scores = self.search_many(np.asarray(query)[None], top, allowed)
        return rows[0], scores[0]

    def search_many(self, queries: Vectors, top: int, allowed: Bools | None = None) -> Found:
        """The same for (B, D) queries: row numbers and dot products (B, top), or narrower as `search`."""
        count = min(top, len(self.vectors) if allowed is None else int(allowed.sum()))
        queries = np.require(queries, np.float32, ["C", "W"])  # one layout: compiled once
        rows, scores = np.empty((len(queries), count), np.int64), np.empty((len(queries), count))
        if count:
            self._search.search(queries, (rows, scores), allowed)
        return rows, scores

    @cached_property
    def _search(self) -> "Few | Coded":
        if len(self.vectors) <= FEW:
            return Few(self.vectors)
        from nearfield.space.coded import Coded  # the compiler takes half a second to load

        return Coded(self.vectors, self.codes)


def is_ready(count: int) -> bool:
    """Whether `count` vectors can be searched at once; else code is compiled first, for some seconds."""
    if count <= FEW:
        return True
    from nearfield.space.screening import is_compiled

    return is_compiled()
