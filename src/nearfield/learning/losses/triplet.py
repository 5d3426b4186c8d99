"""Triplet loss over all triplets of a batch, exact, without listing them."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.types import Distance, Pairs
from nearfield.learning.distances import FAR, Gradient, PairwiseDistances
from nearfield.learning.losses.base import LossMetrics, PairLoss, analytic
from nearfield.learning.losses.margins import checked
from nearfield.learning.losses.rows import Accumulator, RowPairs, check_gap, count, count_inside, window
from nearfield.learning.losses.settings import BaseLossSettings, Margin

# The triplet loss by listing the triplets of each anchor, for the options `swap` and `smooth`.
#
# With `swap`, the distance of the negative depends on the positive; with `smooth`, the gradient differs
# between triplets. Both therefore take O(B^3) steps. Stores two (B, B) matrices.


def listed(
    points: PairwiseDistances,
    pairs: Pairs,
    accumulator: Accumulator,
    settings: "TripletSettings",
    among: PairwiseDistances | None = None,
) -> None:
    """Adds sums to `accumulator` and gradients to `points` for every triplet of the pairs.

    `among` contains the distances between references, which `swap` needs; None without references.
    """
    distances, slopes = _whole(points)
    between, pushes = (distances, slopes) if among is None else _whole(among)
    accumulator.see(RowPairs.of(pairs, slice(None), distances), distances)
    for anchor in range(len(distances)):
        positives, negatives = (cells[anchor].nonzero()[:, 0] for cells in (pairs.positive, pairs.negative))
        near, far = distances[anchor, positives, None], distances[anchor, negatives][None, :]
        weights = torch.ones_like(near) if pairs.weight is None else pairs.weight[anchor, positives, None]
        weights = weights.to(near.dtype) * _inside(near, far, pairs, points)
        other = between[positives[:, None], negatives] if settings.swap else far
        nearer = torch.minimum(far, other)
        violation = near - nearer + settings.margin
        slope = (violation.sigmoid() if settings.smooth else (violation > 0).to(near.dtype)) * weights
        hinge = torch.nn.functional.softplus(violation) if settings.smooth else violation.clamp_min(0)
        _count(accumulator, hinge, weights)
        accumulator.add("violating", (violation > 0) & (weights > 0))
        accumulator.add("hard", (nearer <= near) & (weights > 0))
        slopes[anchor, positives] += slope.sum(1)
        at_anchor = (
            slope * ((far < other) + 0.5 * (far == other)) if settings.swap else slope
        )  # a tie is divided equally
        slopes[anchor, negatives] -= at_anchor.sum(0)
        if settings.swap:
            pushes[positives[:, None], negatives] -= slope - at_anchor
    _pull_whole(points, slopes, distances)
    if among is not None:
        _pull_whole(among, pushes, between)


def _whole(points: PairwiseDistances) -> tuple[Tensor, Tensor]:
    """Returns the whole matrix of distances, and zeros of the same shape."""
    distances = torch.cat([points.distances(part) for part in points.parts()])
    return distances, torch.zeros_like(distances)


def _pull_whole(points: PairwiseDistances, slopes: Tensor, distances: Tensor) -> None:
    for part in points.parts():
        points.accumulate_grad(part, slopes[part].clone(), distances[part].clone())


def _inside(near: Tensor, far: Tensor, pairs: Pairs, points: PairwiseDistances) -> Tensor:
    low, high = window(near, pairs.triplet_range, points.distance)
    inside = torch.ones_like(near - far)
    if low is not None:
        inside = inside * (far >= low)
    return inside if high is None else inside * (far <= high)


def _count(accumulator: Accumulator, hinge: Tensor, weights: Tensor) -> None:
    violates = (hinge > 0).to(hinge.dtype)
    accumulator.add("hinges", hinge * weights)
    accumulator.add("active_weight", violates * weights)
    accumulator.add("weight", weights)
    accumulator.add("active", violates * (weights > 0))
    accumulator.add("triplets", (weights > 0).to(hinge.dtype))


# The triplet loss over all triplets of a batch, exact, by counting instead of listing.
#
# For anchor a, positive p and negative n: max(0, d(a, p) - d(a, n) + margin) (Weinberger and Saul 2009;
# Schroff
# et al. 2015). The hinge of (a, p, n) is above 0 if d(a, n) < d(a, p) + margin. So the sum of all hinges is
#
#     sum over positive pairs of  c(a, p) (d(a, p) + margin)   -   sum over negative pairs of  c(a, n) d(a, n)
#
# where c(a, p) is the number of negatives n with d(a, n) < d(a, p) + margin, and c(a, n) the number of
# positives
# p for which n meets this condition. The gradient consists of the same counts: + c(a, p) for the distance of
# a
# positive, - c(a, n) for that of a negative. This takes O(B^2 log B) steps instead of O(B^3), in blocks of
# rows,
# and stores no (B, B) matrix of floats.


class TripletSettings(BaseLossSettings):
    """Triplet loss over all triplets: each positive should be nearer to the anchor than each negative."""

    kind: Literal["triplet"] = "triplet"
    margin: float = Field(0.2, gt=0)
    """Smallest difference of the distances of negative and positive, in units of the distance; above 0.
    Larger
    is stricter."""
    distance: Distance = "euclidean"
    """Distance of two embeddings."""
    reduction: Literal["non_zero_mean", "mean"] = "non_zero_mean"
    """Mean over the triplets that violate the margin, or over all triplets. With non_zero_mean, the gradient
    does not shrink as fewer triplets violate it."""
    swap: bool = False
    """Whether to use the smaller of the distances of the negative from anchor and from positive (Balntas et
    al.
    2016). Takes O(B^3) steps for B clips per batch."""
    smooth: bool = False
    """Whether to use log(1 + exp(violation)) instead of the hinge; then triplets that satisfy the margin also
    have a small gradient. Takes O(B^3) steps for B clips per batch."""
    allow_impossible_margin: bool = False
    """Whether to accept a margin that no vectors can satisfy."""

    reads_triplet_range: ClassVar[bool] = True
    zero_without_positives: ClassVar[bool] = True

    @property
    def triplet_margin(self) -> float:
        """The margin, which is the default margin of miners."""
        return self.margin

    @property
    def satisfied_gap(self) -> float | None:
        """The margin; None with `smooth`, and with `swap`, whose distances differ from those of miners."""
        return None if self.smooth or self.swap else self.margin

    def margins(self) -> tuple[Margin, ...]:
        """Returns the margin."""
        return (Margin("margin", self.margin, "apart", self.distance, self.allow_impossible_margin),)

    def build(self, size: int = 0, classes: int = 0) -> "TripletLoss":
        """Creates the loss; it needs neither `size` nor `classes`."""
        return TripletLoss(**self.arguments())


class TripletLoss(PairLoss):
    """Triplet loss over all triplets of the batch: the mean of max(0, d(a, p) - d(a, n) + margin).

    Equals TripletMarginLoss of pytorch-metric-learning over all triplets, in value and gradient. `weight` of
    the pairs weights the triplets of a positive; the non-zero mean then divides by the sum of the weights of
    the violating triplets, the mean by that of all. Only triplets inside `triplet_range` are used.

    Metrics: `triplets`, their number, and fractions of it. `hard_fraction`: the negative is not farther than
    the positive. `semihard_fraction`: it is farther by less than the margin. `easy_fraction`: the margin is
    satisfied. `active_fraction`: the margin is violated.

    Parameters
    ----------
    margin
        Smallest difference of the distances of negative and positive, in units of the distance.
    distance
        Distance of two embeddings.
    reduction
        Mean over the triplets that violate the margin, or over all triplets.
    swap
        Whether to use the smaller of the distances of the negative from anchor and from positive (Balntas et
        al. 2016). Takes O(B^3) steps.
    smooth
        Whether to use log(1 + exp(violation)) instead of the hinge. Takes O(B^3) steps.
    allow_impossible_margin
        Whether to accept a margin over cosines that no vectors can satisfy.
    """

    def __init__(
        self,
        margin: float = 0.2,
        distance: Distance = "euclidean",
        reduction: Literal["non_zero_mean", "mean"] = "non_zero_mean",
        swap: bool = False,
        smooth: bool = False,
        allow_impossible_margin: bool = False,
    ) -> None:
        super().__init__()
        self.settings: TripletSettings = checked(
            TripletSettings,
            margin=margin,
            distance=distance,
            reduction=reduction,
            swap=swap,
            smooth=smooth,
            allow_impossible_margin=allow_impossible_margin,
        )

    @analytic
    def forward_with_metrics(
        self, vectors: Tensor, pairs: Pairs, ref_vectors: Tensor | None = None
    ) -> tuple[Tensor, Gradient, LossMetrics]:
        """Computes value, gradient and metrics in one pass over the rows; see the comment above."""
        chosen = self.settings
        check_gap(vectors, pairs.triplet_range, chosen.distance, ref_vectors)
        points = PairwiseDistances(vectors, chosen.distance, ref_vectors)
        accumulator = Accumulator(points.places)
        among = (
            None
            if ref_vectors is None or not chosen.swap
            else PairwiseDistances(ref_vectors, chosen.distance)
        )
        if chosen.swap or chosen.smooth:
            listed(points, pairs, accumulator, chosen, among)
        else:
            for part in points.parts():
                _hinges(points, part, pairs, accumulator, chosen.margin)
        whole = "active_weight" if chosen.reduction == "non_zero_mean" else "weight"
        value = accumulator.share("hinges", whole).to(points.places.dtype)
        parts = {
            "active_fraction": accumulator.share("active", "triplets"),
            "triplets": accumulator["triplets"],
            **_difficulty(accumulator),
            **accumulator.parts(),
        }
        own, of_refs = points.gradient(accumulator.reciprocal(whole))
        if among is not None and of_refs is not None:
            of_swapped, _ = among.gradient(accumulator.reciprocal(whole))
            of_refs = of_refs if of_swapped is None else of_refs + of_swapped
        return value, (own, of_refs), parts


def _hinges(
    points: PairwiseDistances, part: slice, pairs: Pairs, accumulator: Accumulator, margin: float
) -> None:
    distances = points.distances(part)
    row_pairs = RowPairs.of(pairs, part, distances)
    accumulator.see(row_pairs, distances)
    far = row_pairs.mask_fill(distances, 1.0)
    near = row_pairs.positive.read(distances, -FAR)
    bounds = near + margin
    last = bounds.nextafter(
        torch.full_like(bounds, -torch.inf)
    )  # the largest distance that violates the margin
    low, high = window(near, pairs.triplet_range, points.distance)
    above, under = count(far, low, last if high is None else last.minimum(high), row_pairs.weight)
    inside = _triplets(far, row_pairs, low, high, bounds, under)
    accumulator.add("hard", _hard(far, near, low, high, under))
    accumulator.add("hinges", row_pairs.weights * under * bounds)
    accumulator.add("hinges", -torch.linalg.vecdot(above, far))
    accumulator.add("active_weight", row_pairs.weights * under)
    accumulator.add("weight", row_pairs.weights * inside)
    accumulator.add("active", under)
    accumulator.add("violating", under)
    accumulator.add("triplets", inside)
    slopes = above.neg_()
    row_pairs.positive.add(slopes, row_pairs.weights * under)
    points.accumulate_grad(part, slopes, distances)


def _difficulty(accumulator: Accumulator) -> LossMetrics:
    hard, violating = accumulator.share("hard", "triplets"), accumulator.share("violating", "triplets")
    some = (accumulator["triplets"] > 0).to(hard.dtype)
    return {
        "easy_fraction": some - violating,
        "semihard_fraction": violating - hard,
        "hard_fraction": hard,
    }


def _hard(far: Tensor, near: Tensor, low: Tensor | None, high: Tensor | None, under: Tensor) -> Tensor:
    """Returns (R, K) the number of hard triplets of each positive: the negative is not farther."""
    if low is not None and bool((low > near).all()):
        return torch.zeros_like(near)  # semi-hard and easy mining
    if high is not None and bool((high <= near).all()):
        return under  # hard mining: all triplets in the range are hard
    return count_inside(far, low, near if high is None else near.minimum(high))


def _triplets(
    far: Tensor, row_pairs: RowPairs, low: Tensor | None, high: Tensor | None, bounds: Tensor, under: Tensor
) -> Tensor:
    """Returns (R, K) the number of triplets of each positive inside the range."""
    if high is not None and bool((high <= bounds).all()):
        return under  # semi-hard and hard mining: all triplets in the range violate the margin
    if low is None and high is None:
        return row_pairs.here * row_pairs.negative.sum(1, keepdim=True)
    limit = bounds.where(row_pairs.here == 0, FAR / 2) if high is None else high
    return count(far, low, limit)[1]
