"""Exact search of many rows: products of eight-bit codes select candidates, float64 ranks them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import LibController, ThreadpoolController  # type: ignore[import-untyped, unused-ignore]
from torch import Tensor

from nearfield.core.compiled import Function, compiled
from nearfield.core.parallel import spread
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.space.codes import (
    LARGEST,
    SIDE,
    TILE,
    Bytes,
    Codes,
)

# Selection of candidates by integer products, and their exact ranking.
#
# Compiled by numba, which caches the machine code on disk; each function releases the interpreter's lock.
# Callers pass arrays of one layout, so that each function is compiled once. A tile has `TILE` rows: row
# `member * SIDE + group` of a tile belongs to its group `group`, so that the peaks of all groups of a tile
# are found by comparing whole vectors.

BANNED = -(2**31)
"""The product of an excluded row."""


ROOM = 2048
"""Candidates per query of a batch, and at first for a single query, whose buffer grows if it is too small."""


Products = npt.NDArray[np.int32]


def _regrouped(function: Function) -> Function:
    """Compiles with sums in the fastest order, which is the same in every call."""
    return compiled(function, fastmath={"reassoc", "contract"})


def is_compiled() -> bool:
    """Whether the machine code is cached on disk, so that the first search does not compile."""
    each: Any = answer_one
    folder = each.stats.cache_path
    return folder is not None and any(Path(folder).glob("*.answer_one-*.nbc"))


def encode_each(queries: Vectors) -> tuple[Bytes, Vectors]:
    """The codes (B, D) of queries (B, D), and (B, 3) their scales, lengths of residuals and own lengths."""
    codes, bounds = np.empty(queries.shape, np.int8), np.empty((len(queries), 3), np.float32)
    _encode_queries(queries, codes, bounds)
    return codes, bounds


@compiled
def screen_each(
    products: Products,
    bounds: Vectors,
    queries: Vectors,
    heaps: Vectors,
    found: tuple[Ints, Vectors],
    counts: tuple[int, Ints],
) -> None:
    """Appends for each query the rows of some tiles that may be among its nearest.

    `products` (B, tiles, SIDE, SIDE) are products of the codes of rows and queries; `bounds` (3, all tiles,
    SIDE) the scale, residual and length of the codes of each group; `queries` (B, 3) the scale, residual and
    length of each query. `heaps` (B, top) hold the best lower bounds so far, one per group: the smallest,
    which comes first, is at most the k-th best product. `found` receives row numbers and upper bounds
    (B, room). `counts` are the number of the first tile and the numbers of candidates (B,), which are
    updated; -1 means that `found` is too short.
    """
    first, known = counts
    for item in range(len(products)):
        if known[item] >= 0:
            place = (found[0][item], found[1][item])
            many = (first, known[item])
            known[item] = _screen(products[item], bounds, queries[item], heaps[item], place, many)


@compiled
def settle_each(
    vectors: Vectors,
    queries: Vectors,
    heaps: Vectors,
    found: tuple[Ints, Vectors],
    known: Ints,
    answers: tuple[Ints, Floats],
) -> None:
    """Fills `answers` (B, top) with the best candidates.

    Candidates whose upper bound is below the first of `heaps` are skipped, as are queries (B, D) with fewer
    than `top` candidates. Products are summed in float64, identically for equal rows; the best come first,
    ties in the order of rows.
    """
    for item in range(len(queries)):
        if known[item] >= answers[0].shape[1]:
            place = (found[0][item, : known[item]], found[1][item, : known[item]])
            _settle(vectors, queries[item], heaps[item, 0], place, (answers[0][item], answers[1][item]))


@compiled
def answer_one(
    products: Products,
    bounds: Vectors,
    query: tuple[Vectors, Vectors],
    vectors: Vectors,
    answer: tuple[Ints, Floats],
) -> None:
    """Fills `answer` (top,) with the best of all rows for one query; its buffer grows as needed.

    `products` (tiles, SIDE, SIDE) are products of the codes of rows and query; `bounds` as in `screen_each`;
    `query` is the vector (D,) with its scale, residual and length (3,).
    """
    heap = np.empty(len(answer[0]), np.float32)
    room, known = ROOM, -1
    while known < 0:
        heap[:] = -np.inf
        rows, highs = np.empty(room, np.int64), np.empty(room, np.float32)
        known = _screen(products, bounds, query[1], heap, (rows, highs), (0, 0))
        room = min(8 * room, len(vectors))
    _settle(vectors, query[0], heap[0], (rows[:known], highs[:known]), answer)


@compiled
def _encode_queries(queries: Vectors, codes: Bytes, bounds: Vectors) -> None:
    """Fills `codes` (B, D) and `bounds` (B, 3)."""
    for item in range(len(queries)):
        largest = 0.0
        for place in range(queries.shape[1]):
            largest = max(largest, abs(np.float64(queries[item, place])))
        scale = max(largest, 1e-30) / LARGEST
        lost = length = 0.0
        for place in range(queries.shape[1]):
            number = np.float64(queries[item, place])
            code = np.rint(number / scale)
            codes[item, place] = np.int8(code)
            lost += (number - code * np.float64(np.float32(scale))) ** 2
            length += number**2
        bounds[item, 0], bounds[item, 1], bounds[item, 2] = scale, np.sqrt(lost), np.sqrt(length)


@compiled
def _settle(
    vectors: Vectors,
    query: Vectors,
    least: np.float32,
    found: tuple[Ints, Vectors],
    answer: tuple[Ints, Floats],
) -> None:
    """`settle_each` for one query; candidates with an upper bound below `least` are skipped."""
    rows, scores = answer
    size = len(rows)
    rows[:] = len(vectors)
    scores[:] = -np.inf
    for place in range(len(found[0])):
        if found[1][place] >= least:
            row = found[0][place]
            score = _product(vectors[row], query)
            if score > scores[0] or (score == scores[0] and row < rows[0]):
                _sift(rows, scores, size, row, score)
    for end in range(size - 1, 0, -1):
        row, score = rows[0], scores[0]
        _sift(rows, scores, end, rows[end], scores[end])
        rows[end], scores[end] = row, score


@compiled
def _screen(
    products: Products,
    bounds: Vectors,
    query: Vectors,
    heap: Vectors,
    found: tuple[Ints, Vectors],
    counts: tuple[int, int],
) -> int:
    """`screen_each` for one query; returns the number of candidates, or -1."""
    rows, highs = found
    first, known = counts
    uppers = np.empty(SIDE, np.float32)
    for place in range(len(products)):
        tile = first + place
        peaks = products[place, 0].copy()
        for member in range(1, SIDE):
            for group in range(SIDE):
                peaks[group] = max(peaks[group], products[place, member, group])
        for group in range(SIDE):
            score = np.float32(peaks[group]) * (bounds[0, tile, group] * query[0])
            error = bounds[1, tile, group] * query[2] + bounds[2, tile, group] * query[1]
            uppers[group] = score + error
            if peaks[group] > BANNED and score - error > heap[0]:
                _push(heap, score - error)
        for group in range(SIDE):
            if peaks[group] == BANNED or uppers[group] < heap[0]:
                continue
            scale = bounds[0, tile, group] * query[0]
            error = bounds[1, tile, group] * query[2] + bounds[2, tile, group] * query[1]
            for member in range(SIDE):
                product = products[place, member, group]
                high = np.float32(product) * scale + error
                if high >= heap[0] and product > BANNED:
                    if known == len(rows):
                        return -1
                    rows[known] = tile * TILE + member * SIDE + group
                    highs[known] = high
                    known += 1
    return known


@_regrouped
def _product(left: Vectors, right: Vectors) -> float:
    """Dot product in float64."""
    total = 0.0
    for place in range(len(left)):
        total += np.float64(left[place]) * np.float64(right[place])
    return total


@compiled
def _push(heap: Vectors, value: np.float32) -> None:
    """Replaces the smallest element, which comes first, by `value`."""
    place, count = 0, len(heap)
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        if child + 1 < count and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = value


@compiled
def _sift(rows: Ints, scores: Floats, size: int, row: int, score: float) -> None:
    """Replaces the worst of the first `size` rows, which comes first in their heap."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _is_worse(rows, scores, child + 1, child):
            child += 1
        if scores[child] > score or (scores[child] == score and rows[child] < row):
            break
        rows[place], scores[place] = rows[child], scores[child]
        place = child
    rows[place], scores[place] = row, score


@compiled
def _is_worse(rows: Ints, scores: Floats, left: int, right: int) -> bool:
    return bool(scores[left] < scores[right] or (scores[left] == scores[right] and rows[left] > rows[right]))


# Products of eight-bit codes by integer units of the processor, if torch computes them correctly.
#
# torch's int8 product is fast but little tested. It is used only for layouts that were found correct, and
# after a test with extreme values. (On processors without VNNI sums overflow; with a transposed operand of
# length one the result is not written.) Otherwise a product of floats gives the same integers, which is
# exact as long as sums fit the mantissa.


def one(codes: Bytes, query: Bytes) -> Products:
    """Products (P,) of codes (P, D) with the code of one query (D,)."""
    left, right = torch.from_numpy(codes), torch.from_numpy(query)[:, None]
    product = torch._int_mm(left, right) if trusted() else _by_floats(left, right)
    found: Products = product.numpy()[:, 0]
    return found


def many(codes: Bytes, queries: Bytes, out: Tensor) -> Products:
    """Products of codes (P, D) with those of B >= 2 queries (B, D), written to `out` (B, P) int32."""
    left, right = torch.from_numpy(queries), torch.from_numpy(codes).t()
    if trusted() and min(len(queries), *codes.shape) >= 2:
        torch._int_mm(left, right, out=out)
    else:
        out.copy_(_by_floats(left, right))
    found: Products = out.numpy()
    return found


@cache
def trusted() -> bool:
    """Whether torch's int8 product exists and is correct on this machine, also at extreme values."""
    try:
        return all(_is_right(size) for size in (2, 3, 64, 128, 1000))
    except (AttributeError, RuntimeError):
        return False


@contextmanager
def unshared() -> Iterator[None]:
    """Runs products on the calling thread alone, so that it does not wait for other threads."""
    libraries = _openmp()
    before = [library.get_num_threads() for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.set_num_threads(threads)


@cache
def _openmp() -> list[LibController]:
    controllers: list[LibController] = ThreadpoolController().select(user_api="openmp").lib_controllers
    return controllers  # cached: finding them takes 10 ms, a query of one takes a microsecond


def _is_right(size: int) -> bool:
    """Compares products of (130, size) codes, two rows of extreme values, with one and with three queries."""
    generator = torch.Generator().manual_seed(size)
    codes = torch.randint(-127, 128, (130, size), generator=generator, dtype=torch.int8)
    queries = torch.randint(-127, 128, (3, size), generator=generator, dtype=torch.int8)
    codes[0], codes[1], queries[0] = 127, -127, 127
    wanted = _by_floats(codes, queries.t())
    out = torch.zeros(3, 130, dtype=torch.int32)
    torch._int_mm(queries, codes.t(), out=out)
    alone = torch._int_mm(codes, queries[0].clone()[:, None])
    return torch.equal(out.t(), wanted) and torch.equal(alone, wanted[:, :1])


def _by_floats(left: Tensor, right: Tensor) -> Tensor:
    """The same product in floats that hold its sums without rounding."""
    kind = torch.float32 if left.shape[1] * 127 * 127 < 2**24 else torch.float64
    return (left.to(kind) @ right.to(kind)).to(torch.int32)


# Exact search: selection of candidates on one or several threads.

QUERIES = 256
"""Largest number of queries that a thread answers together; more would not fit the cache."""


ALONE = 16
"""Smallest number of queries per thread."""


SHARED = 1 << 25
"""Bytes of codes from which threads share the products of a few queries; below, one thread is as fast."""


@dataclass(frozen=True, eq=False)
class Coded:
    """N vectors of D numbers and their codes."""

    vectors: Vectors
    codes: Codes

    def search(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> None:
        """Fills `answers`, rows and dot products (B, top), with the nearest of `queries` (B, D).

        `allowed` (N,) selects at least `top` rows. Ties are in the order of rows.
        """
        shares = _shares(len(queries))
        if len(shares) == 1:
            is_small = self.codes.codes.nbytes <= SHARED
            with unshared() if is_small else nullcontext():
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
        """`search` for one query (1, D), with a buffer that grows as needed."""
        code, facts = encode_each(query)
        found = one(self.codes.codes, code[0])
        _ban(found, len(self.vectors), 0, allowed)
        tiles = found.reshape(-1, SIDE, SIDE)
        answer_one(tiles, self.codes.bounds, (query[0], facts[0]), self.vectors, (answer[0][0], answer[1][0]))

    def _together(self, queries: Vectors, answers: tuple[Ints, Floats], allowed: Bools | None) -> Ints:
        """Answers the queries whose candidates fit `ROOM`; returns their numbers, -1 for the others."""
        count = len(queries)
        codes, bounds = encode_each(queries)
        out = torch.empty(count, TILE, dtype=torch.int32)
        heaps = np.full(answers[0].shape, -np.inf, np.float32)
        kept = np.empty((count, ROOM), np.int64), np.empty((count, ROOM), np.float32)
        known = np.zeros(count, np.int64)
        for tile in range(self.codes.bounds.shape[1]):
            first = tile * TILE
            found = many(self.codes.codes[first : first + TILE], codes, out)
            _ban(found, len(self.vectors), first, allowed)
            tiles = found.reshape(count, 1, SIDE, SIDE)
            screen_each(tiles, self.codes.bounds, bounds, heaps, kept, (tile, known))
        settle_each(self.vectors, queries, heaps, kept, known, answers)
        return known


def _shares(count: int) -> list[slice]:
    """Blocks of queries of about equal size, the same number for each thread."""
    threads = min(torch.get_num_threads(), max(1, count // ALONE))
    blocks = threads * -(-count // (threads * QUERIES))
    size = -(-count // max(1, blocks))
    return [slice(first, first + size) for first in range(0, count, max(1, size))]


def _ban(found: Products, rows: int, first: int, allowed: Bools | None) -> None:
    """Excludes padding and rows that are not allowed from products (..., P), which begin at row `first`."""
    count = found.shape[-1]
    found[..., max(0, rows - first) :] = BANNED
    if allowed is not None:
        there = allowed[first : first + count]
        np.copyto(found[..., : len(there)], BANNED, where=~there)
