"""The smallest cells of every row of a matrix, in an order that leaves nothing to chance."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.nouns import Ints

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
