"""Exact nearest neighbors by dot product."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.space.codes import Codes

if TYPE_CHECKING:
    from nearfield.space.screening import Coded


# Exact search of few rows: products in float32 select candidates, float64 ranks them.
#
# Whatever the order in which a matrix product sums its D terms, its error is at most D u / (1 - D u) times
# |x| |q|, u = 2^-24 (Higham 2002, "Accuracy and stability of numerical algorithms", section 3.1). A small
# space needs neither codes nor a compiler.

_QUERIES = 256  # answered together
_PAIRS = 1 << 15  # products in float64 computed together
_TINY = 2.0**-149  # absolute error of a product of subnormal numbers, which have no relative precision


@dataclass(frozen=True, eq=False)
class Few:
    """N vectors of D numbers."""

    vectors: Vectors

    @cached_property
    def longest(self) -> float:
        """The largest length."""
        return float(_lengths(self.vectors).max())

    def search(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> None:
        """Fills `answers`, rows and dot products (B, top), with the nearest of `queries` (B, D).

        `allowed` (N,) selects at least `top` rows. Ties are in the order of rows.
        """
        rows, products = answers
        top = rows.shape[1]
        for first in range(0, len(queries), _QUERIES):
            part = slice(first, first + _QUERIES)
            items, near = self._near(queries[part], top, allowed)
            exact = self._exact(queries[part], items, near)
            order = np.lexsort((near, -exact, items))
            begins = np.searchsorted(items, np.arange(len(queries[part])))  # items ascend, in `order` too
            best = order[begins[:, None] + np.arange(top)]
            rows[part], products[part] = near[best], exact[best]

    def _near(self, queries: Vectors, top: int, allowed: Bools | None) -> tuple[Ints, Ints]:
        """Pairs of a query and a row that may be among its `top` nearest, in the order of queries."""
        scores = queries @ self.vectors.T
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        best = np.partition(scores, -top, axis=1)[:, -top]
        terms = queries.shape[1] + 2  # two more for the rounding errors of this comparison
        share = terms * 2.0**-24 / (1 - terms * 2.0**-24)
        error = share * self.longest * _lengths(queries) + terms * _TINY
        least = np.nextafter((best - 2 * error).astype(np.float32), np.float32(-np.inf))
        items, rows = np.nonzero(scores >= least[:, None])
        return items, rows

    def _exact(self, queries: Vectors, items: Ints, rows: Ints) -> Floats:
        """Products of pairs in float64, summed in the same order for every row."""
        found = np.empty(len(rows))
        for first in range(0, len(rows), _PAIRS):
            part = slice(first, first + _PAIRS)
            found[part] = (self.vectors[rows[part]].astype(np.float64) * queries[items[part]]).sum(axis=1)
        return found


def _lengths(vectors: Vectors) -> Floats:
    lengths: Floats = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    return lengths


# Exact search: cheap products exclude rows, float64 ranks the rest.
#
# For unit vectors the dot product is the cosine. The answer equals that of a full comparison in float64,
# with ties in the order of rows.

FEW = 4096
"""Largest number of rows that is searched without codes; a larger search uses compiled functions."""
Found = tuple[Ints, Floats]
"""Row numbers, the nearest first, and their dot products with the query."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """Searches N vectors of D numbers by their codes; the arrays may be memory-mapped."""

    vectors: Vectors
    """(N, D) float32."""
    codes: Codes

    @classmethod
    def of(cls, vectors: Vectors) -> "Nearest":
        """Encodes (N, D) vectors in memory."""
        rows = np.ascontiguousarray(vectors, np.float32)
        return cls(rows, Codes.of(rows))

    def search(self, query: Vectors, top: int, allowed: Bools | None = None) -> Found:
        """The `top` rows with the largest dot products with `query` (D,); fewer where fewer are allowed."""
        rows, scores = self.search_many(np.asarray(query)[None], top, allowed)
        return rows[0], scores[0]

    def search_many(self, queries: Vectors, top: int, allowed: Bools | None = None) -> Found:
        """`search` for (B, D) queries: row numbers and dot products (B, top), or fewer columns."""
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
        from nearfield.space.screening import Coded

        return Coded(self.vectors, self.codes)


def is_ready(count: int) -> bool:
    """Whether `count` vectors can be searched without compiling functions first, which takes seconds."""
    if count <= FEW:
        return True
    from nearfield.space.screening import is_compiled

    return is_compiled()
