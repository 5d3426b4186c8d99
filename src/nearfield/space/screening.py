"""Which rows may be among the nearest, judged by products of integers, and which of them are.

Compiled by numba, whose machine code stays on disk after the first use; each function lets go of the
interpreter's lock. A tile is `TILE` rows: row `member * SIDE + group` of a tile belongs to its group `group`,
so that the peaks of all groups of a tile are found by comparing whole vectors.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from nearfield.core.nouns import Floats, Ints, Vectors

SIDE = 64
"""Groups in a tile, and rows in a group."""
TILE = SIDE * SIDE
"""Rows that are screened together."""
BANNED = -(2**31)
"""The product of a row that takes no part."""

Products = npt.NDArray[np.int32]

Function = TypeVar("Function", bound=Callable[..., object])


def _compiled(function: Function) -> Function:
    made: Any = numba.njit(nogil=True, cache=True)(function)
    return cast(Function, made)


@_compiled
def screen(
    products: Products,
    bounds: Vectors,
    query: Vectors,
    heap: Vectors,
    found: tuple[Ints, Vectors],
    counts: tuple[int, int],
) -> int:
    """Appends the rows of some tiles that may be among the nearest; gives how many there are now.

    `products` (tiles, SIDE, SIDE) are those of rows' codes with the query's; `bounds` (3, tiles, SIDE) the
    scale, the residual and the length of each group's codes; `query` the scale of its code, its residual
    and its length. `heap` holds the best lower bounds of groups so far, one a group: the smallest, which
    comes first, is no more than the k-th best product. `found` takes row numbers and upper bounds; `counts`
    are the first row's number and how many were found before. Gives -1 where `found` is too short.
    """
    rows, highs = found
    first, known = counts
    uppers = np.empty(SIDE, np.float32)
    for tile in range(len(products)):
        peaks = products[tile, 0].copy()
        for member in range(1, SIDE):
            for group in range(SIDE):
                peaks[group] = max(peaks[group], products[tile, member, group])
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
                product = products[tile, member, group]
                high = np.float32(product) * scale + error
                if high >= heap[0] and product > BANNED:
                    if known == len(rows):
                        return -1
                    rows[known] = first + tile * TILE + member * SIDE + group
                    highs[known] = high
                    known += 1
    return known


@_compiled
def screen_each(
    products: Products,
    bounds: Vectors,
    queries: Vectors,
    heaps: Vectors,
    found: tuple[Ints, Vectors],
    counts: tuple[int, Ints],
) -> None:
    """`screen` for each of some queries: products (B, tiles, SIDE, SIDE), all else with B rows too."""
    first, known = counts
    for item in range(len(products)):
        if known[item] >= 0:
            place = (found[0][item], found[1][item])
            many = (first, known[item])
            known[item] = screen(products[item], bounds, queries[item], heaps[item], place, many)


@_compiled
def settle(
    vectors: Vectors,
    query: Vectors,
    least: np.float32,
    found: tuple[Ints, Vectors],
    answer: tuple[Ints, Floats],
) -> None:
    """Fills `answer` (top) with the best of the rows found whose upper bound is at least `least`.

    There must be `top` of them. Their products with `query` are sums in float64, the same for equal rows; the
    best come first, equals in the order of their rows.
    """
    rows, scores = answer
    rows[:] = len(vectors)
    scores[:] = -np.inf
    size = len(rows)
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


@_compiled
def settle_each(
    vectors: Vectors,
    queries: Vectors,
    heaps: Vectors,
    found: tuple[Ints, Vectors],
    known: Ints,
    answers: tuple[Ints, Floats],
) -> None:
    """`settle` for each of some queries (B, D); fills `answers` (B, top) of those that found no fewer."""
    rows, scores = answers
    for item in range(len(queries)):
        count = known[item]
        if count >= rows.shape[1]:
            place = (found[0][item, :count], found[1][item, :count])
            settle(vectors, queries[item], heaps[item, 0], place, (rows[item], scores[item]))


@_compiled
def _product(left: Vectors, right: Vectors) -> float:
    """Sum of products in float64, in four strands: the same order for every row."""
    a = b = c = d = 0.0
    whole = len(left) // 4 * 4
    for place in range(0, whole, 4):
        a += np.float64(left[place]) * np.float64(right[place])
        b += np.float64(left[place + 1]) * np.float64(right[place + 1])
        c += np.float64(left[place + 2]) * np.float64(right[place + 2])
        d += np.float64(left[place + 3]) * np.float64(right[place + 3])
    for place in range(whole, len(left)):
        a += np.float64(left[place]) * np.float64(right[place])
    return (a + b) + (c + d)


@_compiled
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


@_compiled
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


@_compiled
def _is_worse(rows: Ints, scores: Floats, left: int, right: int) -> bool:
    return bool(scores[left] < scores[right] or (scores[left] == scores[right] and rows[left] > rows[right]))
