"""Counting instead of enumerating: how many windows hold each value, how many values lie in each window."""

import torch
from torch import Tensor

from nearfield.learning.distances import FAR

_FEW = 40  # so many passes over a block that stays in the cache cost about one binary search in every cell


def count(
    values: Tensor, low: Tensor | None, high: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """For each of (R, B) values the windows of its row that hold it; for each window the values it holds.

    A window runs from `low` to `high` (R, K), both inside; `low` None: from below everything. With `weights`
    (R, K) the first is the windows' summed weight, not their number. Returns (R, B) and (R, K), in the
    arithmetic of `values`.
    """
    if low is not None:
        high = torch.where(low <= high, high, -FAR)  # an empty window holds nothing, not even its ends
    if high.shape[1] <= _FEW:
        return _one_by_one(values, low, high, weights)
    holders, held = _search(values, high, weights, right=False)
    if low is not None:
        less = _search(values, low.minimum(high), weights, right=True)
        return holders - less[0], held - less[1]
    return holders, held


def count_inside(values: Tensor, low: Tensor | None, high: Tensor) -> Tensor:
    """(R, K) for each window of a row, how many of its (R, B) values it holds: the second of `count`."""
    if low is not None or high.shape[1] > 8 * _FEW:
        return count(values, low, high)[1]
    found, inside = torch.empty_like(high), torch.empty_like(values)
    for column in range(high.shape[1]):
        found[:, column] = torch.le(values, high[:, column : column + 1], out=inside).sum(1)
    return found


def _one_by_one(
    values: Tensor, low: Tensor | None, high: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    holders, held = torch.zeros_like(values), torch.zeros_like(high)
    inside = torch.empty_like(values)
    for column in range(high.shape[1]):
        here = slice(column, column + 1)
        if low is None:
            torch.le(values, high[:, here], out=inside)
        else:  # pressed into the window: what does not move is inside
            torch.maximum(values, low[:, here], out=inside)
            torch.minimum(inside, high[:, here], out=inside).eq_(values)
        held[:, column] = inside.sum(1)
        holders += inside if weights is None else inside.mul_(weights[:, here])
    return holders, held


def _search(values: Tensor, bounds: Tensor, weights: Tensor | None, right: bool) -> tuple[Tensor, Tensor]:
    """One-sided windows from below everything to `bounds`, these inside unless `right`."""
    rows, many = bounds.shape
    ordered, order = bounds.sort(dim=1)
    passed = torch.searchsorted(ordered, values, right=right)  # windows that end before the value
    if weights is None:
        holders = (many - passed).to(values.dtype)
    else:
        before = torch.nn.functional.pad(weights.gather(1, order).cumsum(1), (1, 0))
        holders = before[:, -1:] - before.gather(1, passed)
    starts = torch.arange(rows, device=values.device)[:, None] * (many + 1)
    stops = torch.bincount((passed + starts).flatten(), minlength=rows * (many + 1))
    held = stops.view(rows, many + 1).cumsum(1)[:, :-1].to(values.dtype)
    return holders, torch.empty_like(bounds).scatter_(1, order, held)
