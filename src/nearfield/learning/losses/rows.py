"""Tools for losses that take some anchors (rows) at a time, in memory that grows with the batch alone."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.distances import FAR, PairwiseDistances, check_convertible, convert

# Tools for a loss that takes some anchors (rows) of a batch at a time: alike cells as a table, and sums.


@dataclass(frozen=True)
class PositiveTable:
    """The alike cells of R rows, packed to the left: (R, K), K the most that one row has.

    A batch has few alike cells and many unlike ones; what concerns the alike ones is done on the table.
    """

    rows: Tensor
    """(M,) row of each alike cell."""
    columns: Tensor
    """(M,) its column."""
    places: Tensor
    """(M,) its column in the table."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, positive: Tensor) -> Self:
        """The table of (R, B) booleans."""
        rows, columns = positive.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(positive))
        places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        return cls(rows, columns, places, (len(positive), int(counts.max()) if len(positive) else 0))

    def read(self, cells: Tensor, empty: float) -> Tensor:
        """(R, K) values of (R, B) cells; `empty` where a row has fewer than K."""
        table = cells.new_full(self.shape, empty)
        table[self.rows, self.places] = cells[self.rows, self.columns]
        return table

    def add(self, cells: Tensor, table: Tensor) -> None:
        """Adds (R, K) values to their (R, B) cells."""
        cells[self.rows, self.columns] += table[self.rows, self.places]

    def ones(self, like: Tensor) -> Tensor:
        """(R, K): one at each cell, zero where a row has fewer than K."""
        table = like.new_zeros(self.shape)
        table[self.rows, self.places] = 1
        return table


@dataclass(frozen=True)
class RowPairs:
    """Whom a part's anchors are near to or far from."""

    positive: PositiveTable
    here: Tensor
    """(R, K) one where the table holds a cell, else zero."""
    weight: Tensor | None
    """(R, K) how alike, zero where the table holds no cell; None where all are fully alike."""
    negative: Tensor
    """(R, B) one where unlike, else zero."""

    @classmethod
    def of(cls, pairs: Pairs, part: slice, like: Tensor) -> Self:
        """The company of a part's rows, in the arithmetic of `like`. Alike with strength 0 is not alike."""
        given = None if pairs.weight is None else pairs.weight[part].to(like.dtype)
        positive = PositiveTable.of(
            pairs.positive[part] if given is None else pairs.positive[part] & (given > 0)
        )
        here = positive.ones(like)
        weight = None if given is None else positive.read(given, 0.0)
        return cls(positive, here, weight, pairs.negative[part].to(like.dtype))

    @property
    def weights(self) -> Tensor:
        """(R, K) the strength, or one where there is none given; zero where the table holds no cell."""
        return self.here if self.weight is None else self.weight

    def mask_fill(self, cells: Tensor, sign: float) -> Tensor:
        """(R, B) `cells` moved out of sight, by `sign` times FAR, wherever they are not unlike."""
        return torch.add(cells, 1 - self.negative, alpha=sign * FAR)


class Accumulator:
    """Sums over all parts by name, in double precision where the device has it."""

    def __init__(self, like: Tensor) -> None:
        kind = torch.float32 if like.device.type == "mps" else torch.float64
        self._zero = torch.zeros((), dtype=kind, device=like.device)
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Adds all of `values` to the sum `name`."""
        self._sums[name] = self[name] + values.sum(dtype=self._zero.dtype)

    def __getitem__(self, name: str) -> Tensor:
        return self._sums.get(name, self._zero)

    def see(self, row_pairs: RowPairs, distances: Tensor) -> None:
        """Adds up what the parts `alike_distance` and `unlike_distance` need, from (R, B) distances."""
        self.add("alike", row_pairs.positive.read(distances, 0.0))
        self.add("alike_cells", row_pairs.here)
        self.add("unlike", torch.linalg.vecdot(row_pairs.negative, distances))
        self.add("unlike_cells", row_pairs.negative.sum(1))

    def reciprocal(self, name: str) -> Tensor:
        """One over a sum of what is never negative; 1 where the sum is 0."""
        return 1 / torch.where(self[name] > 0, self[name], 1)

    def share(self, part: str, whole: str) -> Tensor:
        """One sum over another; 0 over 0 is 0."""
        return self[part] * self.reciprocal(whole)

    def parts(self) -> dict[str, Tensor]:
        """The mean distances, seen with `see`, under the names that training logs."""
        return {
            "alike_distance": self.share("alike", "alike_cells"),
            "unlike_distance": self.share("unlike", "unlike_cells"),
        }


def exponents(logits: Tensor) -> tuple[Tensor, Tensor]:
    """log of the summed exponentials of each row, (R, 1), and each one's share of the sum.

    Without overflow; `logits` are used up. A row of no columns sums to nothing: its log is -FAR.
    """
    if not logits.shape[1]:
        return logits.new_full((len(logits), 1), -FAR), logits
    largest = logits.amax(1, keepdim=True)
    shares = logits.sub_(largest).exp_()
    total = shares.sum(1, keepdim=True)
    return largest + total.log(), shares.div_(total)


# Counting instead of enumerating: how many windows hold each value, how many values lie in each window.

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


# The gap that triplet miners set on `Pairs`: read in the loss's distance, or turned into cells or triplets.
#
# A triplet (a, p, n) is inside when low < d(a, n) - d(a, p) <= high, in the gap's own distance.


def window(
    near: Tensor, triplet_range: TripletRange | None, distance: Distance
) -> tuple[Tensor | None, Tensor | None]:
    """For alike distances (R, K) the least and the greatest unlike distance inside the gap.

    All in `distance`; None is no bound.
    """
    if triplet_range is None:
        return None, None
    own = convert(near, distance, triplet_range.distance)
    low, high = (
        None if bound is None else convert(own + bound, triplet_range.distance, distance).clamp(-FAR, FAR / 2)
        for bound in (triplet_range.low, triplet_range.high)
    )
    return None if low is None else low.nextafter(torch.full_like(low, torch.inf)), high


def check_gap(
    vectors: Tensor, triplet_range: TripletRange | None, distance: Distance, ref_vectors: Tensor | None = None
) -> None:
    """Raises RequestError where the gap's distance cannot be read in `distance` for these vectors."""
    if triplet_range is not None:
        check_convertible(vectors, triplet_range.distance, distance, ref_vectors)


def settle(vectors: Tensor, pairs: Pairs, ref_vectors: Tensor | None = None) -> Pairs:
    """The same pairs without a gap: only cells that stand in a triplet inside it, for losses over pairs."""
    if pairs.triplet_range is None:
        return pairs
    points = _measured(vectors, ref_vectors, pairs.triplet_range.distance)
    positive, negative = torch.zeros_like(pairs.positive), torch.zeros_like(pairs.negative)
    for part in points.parts():
        distances = points.distances(part)
        row_pairs = RowPairs.of(pairs, part, distances)
        near = row_pairs.positive.read(distances, -FAR)
        low, high = window(near, pairs.triplet_range, points.distance)
        limit = near.where(row_pairs.here == 0, FAR / 2) if high is None else high
        holders, held = count(row_pairs.mask_fill(distances, 1.0), low, limit)
        negative[part] = holders > 0
        found = torch.zeros_like(distances)
        row_pairs.positive.add(found, held)
        positive[part] = found > 0
    return replace(pairs.keep(positive, negative), triplet_range=None)


def triplets(
    vectors: Tensor, pairs: Pairs, ref_vectors: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Every triplet of the pairs that is inside the gap, as positions (anchors, positives, negatives)."""
    points = _measured(
        vectors, ref_vectors, "euclidean" if pairs.triplet_range is None else pairs.triplet_range.distance
    )
    found: list[Tensor] = []
    for anchor in range(len(pairs)):
        part = slice(anchor, anchor + 1)
        positives = pairs.positive[anchor].nonzero()
        inside = pairs.negative[part].expand(len(positives), -1)
        if pairs.triplet_range is not None and len(positives):
            distances = points.distances(part)
            low, high = window(distances[0, positives], pairs.triplet_range, points.distance)
            inside = inside if low is None else inside & (distances >= low)
            inside = inside if high is None else inside & (distances <= high)
        which, negatives = inside.nonzero(as_tuple=True)
        found.append(torch.stack([torch.full_like(which, anchor), positives[which, 0], negatives]))
    anchors, positive, negative = torch.cat(found, dim=1) if found else pairs.positive.new_zeros(3, 0).long()
    return anchors, positive, negative


def _measured(vectors: Tensor, ref_vectors: Tensor | None, distance: Distance) -> PairwiseDistances:
    return PairwiseDistances(
        vectors.detach(), distance, None if ref_vectors is None else ref_vectors.detach()
    )
