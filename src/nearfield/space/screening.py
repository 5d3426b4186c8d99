"""Which rows may be among the nearest, judged by products of integers, and which of them are.

Compiled by numba, whose machine code stays on disk after the first use; each function lets go of the
interpreter's lock. Callers come by the same two functions with arrays of the same layout, so that each is
compiled once. A tile is `TILE` rows: row `member * SIDE + group` of a tile belongs to its group `group`, so
that the peaks of all groups of a tile are found by comparing whole vectors.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.compiled import Function, compiled
from nearfield.core.nouns import Floats, Ints, Vectors
from nearfield.space.codes import LARGEST, SIDE, TILE, Bytes

BANNED = -(2**31)
"""The product of a row that takes no part."""
ROOM = 2048
"""Rows kept for each query of a batch, and at first for a query alone: one that needs more is given more."""

Products = npt.NDArray[np.int32]


def _regrouped(function: Function) -> Function:
    """Compiled so that sums are taken in whatever order is fastest, though always in the same one."""
    return compiled(function, fastmath={"reassoc", "contract"})


def is_compiled() -> bool:
    """Whether machine code lies on disk, so that the first search need not wait for it to be made."""
    each: Any = answer_one
    folder = each.stats.cache_path
    return folder is not None and any(Path(folder).glob("*.answer_one-*.nbc"))


def encode_each(queries: Vectors) -> tuple[Bytes, Vectors]:
    """The codes (B, D) of queries (B, D); the scale of each, its residual's length and its own (B, 3)."""
    codes, bounds = np.empty(queries.shape, np.int8), np.empty((len(queries), 3), np.float32)
    _encode(queries, codes, bounds)
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

    `products` (B, tiles, SIDE, SIDE) are those of rows' codes with the queries'; `bounds` (3, all tiles,
    SIDE) the scale, the residual and the length of each group's codes; `queries` (B, 3) the scale of each
    code, its residual and its length. `heaps` (B, top) hold the best lower bounds of groups so far, one a
    group: the smallest, which comes first, is no more than the k-th best product. `found` takes row numbers
    and upper bounds (B, room); `counts` are the number of the first tile and how many were found before
    (B,), which becomes how many there are now, or -1 where `found` is too short.
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
    """Fills `answers` (B, top) with the best of the rows found.

    Those whose upper bound is below the first of `heaps` are out already. Queries (B, D) that found fewer
    than `top` are passed over. Products are sums in float64, the same for
    equal rows; the best come first, equals in the order of their rows.
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
    """Fills `answer` (top,) with the best of all rows for one query, with all the room it needs.

    `products` (tiles, SIDE, SIDE) are those of rows' codes with the query's; `bounds` as for `screen_each`;
    `query` itself (D,) and the scale of its code, its residual and its length (3,).
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
def _encode(queries: Vectors, codes: Bytes, bounds: Vectors) -> None:
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
    """`settle_each` for one query: the rows found and their upper bounds, those below `least` being out."""
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
    """`screen_each` for one query; gives how many were found, or -1."""
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
    """Sum of products in float64."""
    total = 0.0
    for place in range(len(left)):
        total += np.float64(left[place]) * np.float64(right[place])
    return total


@compiled
def _push(heap: Vectors, value: np.float32) -> None:
    """Puts `value` in the place of the smallest, which comes first."""
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
    """Puts a row in the place of the worst of the first `size`, which comes first in their heap."""
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
