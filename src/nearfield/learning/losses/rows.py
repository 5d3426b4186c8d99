"""Tools for losses that process a block of anchors (rows) at a time, in memory linear in the batch size.

Conventions: R anchors (rows) of a block, B items or references (columns), K the largest number of positives
of
one row.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.distances import FAR, PairwiseDistances, check_convertible, convert

# Positives of a block of anchors as a table, and sums over blocks.


@dataclass(frozen=True)
class PositiveTable:
    """The positives of R rows as a compact (R, K) table.

    A batch has few positives and many negatives, so operations on positives use the table.
    """

    rows: Tensor
    """(M,) row of each positive."""
    columns: Tensor
    """(M,) its column in the batch."""
    places: Tensor
    """(M,) its column in the table."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, positive: Tensor) -> Self:
        """Creates the table from a (R, B) mask."""
        rows, columns = positive.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(positive))
        places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        return cls(rows, columns, places, (len(positive), int(counts.max()) if len(positive) else 0))

    def read(self, cells: Tensor, empty: float) -> Tensor:
        """Returns (R, K) the values of the positives in (R, B) cells; `empty` where a row has fewer than
        K."""
        table = cells.new_full(self.shape, empty)
        table[self.rows, self.places] = cells[self.rows, self.columns]
        return table

    def add(self, cells: Tensor, table: Tensor) -> None:
        """Adds a (R, K) table to the positives in (R, B) cells, in place."""
        cells[self.rows, self.columns] += table[self.rows, self.places]

    def ones(self, like: Tensor) -> Tensor:
        """Returns (R, K): 1 for each positive, 0 where a row has fewer than K."""
        table = like.new_zeros(self.shape)
        table[self.rows, self.places] = 1
        return table


@dataclass(frozen=True)
class RowPairs:
    """Positives and negatives of a block of anchors."""

    positive: PositiveTable
    here: Tensor
    """(R, K) 1 where the table contains a positive, else 0."""
    weight: Tensor | None
    """(R, K) weight of each positive, 0 where the table contains none; None if all weights are 1."""
    negative: Tensor
    """(R, B) 1 for negatives, else 0."""

    @classmethod
    def of(cls, pairs: Pairs, part: slice, like: Tensor) -> Self:
        """Creates the pairs of the rows `part`, in the precision of `like`. Positives of weight 0 are
        ignored."""
        given = None if pairs.weight is None else pairs.weight[part].to(like.dtype)
        positive = PositiveTable.of(
            pairs.positive[part] if given is None else pairs.positive[part] & (given > 0)
        )
        here = positive.ones(like)
        weight = None if given is None else positive.read(given, 0.0)
        return cls(positive, here, weight, pairs.negative[part].to(like.dtype))

    @property
    def weights(self) -> Tensor:
        """(R, K) weight of each positive (1 if no weights are given); 0 where the table contains none."""
        return self.here if self.weight is None else self.weight

    def mask_fill(self, cells: Tensor, sign: float) -> Tensor:
        """Returns (R, B) `cells` plus `sign` times FAR wherever they are not negatives."""
        return torch.add(cells, 1 - self.negative, alpha=sign * FAR)


class Accumulator:
    """Named sums over all blocks, in float64 if the device supports it."""

    def __init__(self, like: Tensor) -> None:
        kind = torch.float32 if like.device.type == "mps" else torch.float64
        self._zero = torch.zeros((), dtype=kind, device=like.device)
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Adds the sum of `values` to the sum `name`."""
        self._sums[name] = self[name] + values.sum(dtype=self._zero.dtype)

    def __getitem__(self, name: str) -> Tensor:
        return self._sums.get(name, self._zero)

    def see(self, row_pairs: RowPairs, distances: Tensor) -> None:
        """Adds (R, B) distances to the sums of the metrics `alike_distance` and `unlike_distance`."""
        self.add("positive_distances", row_pairs.positive.read(distances, 0.0))
        self.add("positive_cells", row_pairs.here)
        self.add("negative_distances", torch.linalg.vecdot(row_pairs.negative, distances))
        self.add("negative_cells", row_pairs.negative.sum(1))

    def reciprocal(self, name: str) -> Tensor:
        """Returns 1 over a sum of non-negative values; 1 if the sum is 0."""
        return 1 / torch.where(self[name] > 0, self[name], 1)

    def share(self, part: str, whole: str) -> Tensor:
        """Returns one sum divided by another; 0 if both are 0."""
        return self[part] * self.reciprocal(whole)

    def parts(self) -> dict[str, Tensor]:
        """Returns the mean distances added with `see`, by the names that training logs."""
        return {
            "alike_distance": self.share("positive_distances", "positive_cells"),
            "unlike_distance": self.share("negative_distances", "negative_cells"),
        }


def exponents(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the log of the sum of exponentials of each row, (R, 1), and the softmax, without overflow.

    Overwrites `logits`. Without columns, the log of the sum is -FAR.
    """
    if not logits.shape[1]:
        return logits.new_full((len(logits), 1), -FAR), logits
    largest = logits.amax(1, keepdim=True)
    shares = logits.sub_(largest).exp_()
    total = shares.sum(1, keepdim=True)
    return largest + total.log(), shares.div_(total)


# Counting: how many intervals contain each value, and how many values each interval contains.

_FEW = 40  # this many passes over a block in the cache take about as long as one binary search per cell


def count(
    values: Tensor, low: Tensor | None, high: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Counts for each value the intervals of its row that contain it, and for each interval its values.

    Parameters
    ----------
    values
        (R, B).
    low, high
        (R, K) lower and upper bounds, both included; `low` None: no lower bound.
    weights
        (R, K) weights of the intervals; None: 1.

    Returns
    -------
    tuple
        (R, B) summed weights of the intervals that contain each value, and (R, K) number of values in each
        interval, in the precision of `values`.
    """
    if low is not None:
        high = torch.where(low <= high, high, -FAR)  # an empty interval does not contain its bounds
    if high.shape[1] <= _FEW:
        return _one_by_one(values, low, high, weights)
    holders, held = _search(values, high, weights, right=False)
    if low is not None:
        less = _search(values, low.minimum(high), weights, right=True)
        return holders - less[0], held - less[1]
    return holders, held


def count_inside(values: Tensor, low: Tensor | None, high: Tensor) -> Tensor:
    """Returns (R, K) the number of values in each interval: the second result of `count`."""
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
        else:  # a value that clamping to the interval does not change is inside
            torch.maximum(values, low[:, here], out=inside)
            torch.minimum(inside, high[:, here], out=inside).eq_(values)
        held[:, column] = inside.sum(1)
        holders += inside if weights is None else inside.mul_(weights[:, here])
    return holders, held


def _search(values: Tensor, bounds: Tensor, weights: Tensor | None, right: bool) -> tuple[Tensor, Tensor]:
    """Counts like `count` for intervals without a lower bound; `bounds` are excluded if `right`."""
    rows, many = bounds.shape
    ordered, order = bounds.sort(dim=1)
    passed = torch.searchsorted(ordered, values, right=right)  # intervals that end before the value
    if weights is None:
        holders = (many - passed).to(values.dtype)
    else:
        before = torch.nn.functional.pad(weights.gather(1, order).cumsum(1), (1, 0))
        holders = before[:, -1:] - before.gather(1, passed)
    starts = torch.arange(rows, device=values.device)[:, None] * (many + 1)
    stops = torch.bincount((passed + starts).flatten(), minlength=rows * (many + 1))
    held = stops.view(rows, many + 1).cumsum(1)[:, :-1].to(values.dtype)
    return holders, torch.empty_like(bounds).scatter_(1, order, held)


# The triplet range that miners set on `Pairs`: converted to the distance of a loss, to masks, or to triplets.
#
# A triplet (a, p, n) is inside if low < d(a, n) - d(a, p) <= high, in the distance of the range.


def window(
    near: Tensor, triplet_range: TripletRange | None, distance: Distance
) -> tuple[Tensor | None, Tensor | None]:
    """Computes the smallest and largest distance of negatives inside the range.

    Parameters
    ----------
    near
        (R, K) distances of positives.
    triplet_range
        The range; None: no bounds.
    distance
        The distance of `near` and of the result.

    Returns
    -------
    tuple
        (R, K) lower and upper bounds, both included; None means no bound.
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
    """Raises RequestError if the range cannot be converted to `distance` for these vectors."""
    if triplet_range is not None:
        check_convertible(vectors, triplet_range.distance, distance, ref_vectors)


def settle(vectors: Tensor, pairs: Pairs, ref_vectors: Tensor | None = None) -> Pairs:
    """Replaces the triplet range by masks: keeps the pairs of triplets inside it, for losses over pairs."""
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
    """Lists the triplets of the pairs inside the range.

    Returns
    -------
    tuple
        (T,) positions of anchors, positives and negatives.
    """
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
