"""The triplet loss over every triplet of a batch, exact, without listing triplets."""

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

# The triplet loss anchor by anchor, triplet by triplet: for the two options that counting cannot serve.
#
# With `swap` the unlike distance depends on the alike item, with `smooth` the slope differs from triplet to
# triplet, so O(B^3) steps are needed. Written to be obvious. Keeps two (B, B) matrices.


def listed(
    points: PairwiseDistances,
    pairs: Pairs,
    accumulator: Accumulator,
    settings: "TripletSettings",
    among: PairwiseDistances | None = None,
) -> None:
    """Adds sums to `accumulator` and slopes to `points` for every triplet of the pairs.

    `among`: the references by themselves, where there are some and `swap` needs the distance of two.
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
        at_anchor = slope * ((far < other) + 0.5 * (far == other)) if settings.swap else slope  # ties: shared
        slopes[anchor, negatives] -= at_anchor.sum(0)
        if settings.swap:
            pushes[positives[:, None], negatives] -= slope - at_anchor
    _pull_whole(points, slopes, distances)
    if among is not None:
        _pull_whole(among, pushes, between)


def _whole(points: PairwiseDistances) -> tuple[Tensor, Tensor]:
    """All distances at once, and as many zeros."""
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
    accumulator.add("active_strength", violates * weights)
    accumulator.add("strength", weights)
    accumulator.add("active", violates * (weights > 0))
    accumulator.add("triplets", (weights > 0).to(hinge.dtype))


# The triplet loss over every triplet of a batch, exact, without a triplet ever being listed.
#
# For anchor a, alike p and unlike n: max(0, d(a, p) - d(a, n) + margin) (Weinberger and Saul 2009; Schroff et
# al. 2015). An unlike n counts for (a, p) as long as d(a, n) < d(a, p) + margin. So the sum of all hinges is
#
#     sum over alike cells of  c(a, p) (d(a, p) + margin)   -   sum over unlike cells of  c(a, n) d(a, n)
#
# where c(a, p) counts the unlike cells under the bound of (a, p) and c(a, n) the bounds above d(a, n). The
# same counts are the slopes: + c(a, p) for an alike distance, - c(a, n) for an unlike one. B^2 log B steps do
# what B^3 would, in blocks of rows, and no (B, B) matrix of numbers is kept.


class TripletSettings(BaseLossSettings):
    """Every alike item nearer than every unlike one, by a margin."""

    kind: Literal["triplet"] = "triplet"
    margin: float = Field(0.2, gt=0)
    """By how much, in the units of the distance. Larger is stricter."""
    distance: Distance = "euclidean"
    """What is compared."""
    reduction: Literal["non_zero_mean", "mean"] = "non_zero_mean"
    """Mean over the triplets that still violate the margin, or over all. The first pulls to the end."""
    swap: bool = False
    """Measure the unlike item from the nearer of the two alike ones (Balntas et al. 2016). O(B^3) steps."""
    smooth: bool = False
    """log(1 + exp(violation)) in place of the hinge: also satisfied triplets pull a little. O(B^3) steps."""
    allow_impossible_margin: bool = False
    """Train even where no vectors could satisfy the margin."""

    reads_triplet_range: ClassVar[bool] = True
    zero_without_positives: ClassVar[bool] = True

    @property
    def triplet_margin(self) -> float:
        """The margin."""
        return self.margin

    @property
    def satisfied_gap(self) -> float | None:
        """The margin, where the hinge is one; `swap` measures from elsewhere than miners do."""
        return None if self.smooth or self.swap else self.margin

    def margins(self) -> tuple[Margin, ...]:
        """The margin, in the distance that is compared."""
        return (Margin("margin", self.margin, "apart", self.distance, self.allow_impossible_margin),)

    def build(self, size: int = 0, classes: int = 0) -> "TripletLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return TripletLoss(**self.arguments())


class TripletLoss(PairLoss):
    """Equals pytorch-metric-learning's TripletMarginLoss over all triplets, in value and gradient.

    `weight` weighs the triplets of an alike cell; the non-zero mean then divides by the summed strength of
    the violating triplets, the mean by that of all. `triplet_range` keeps only the triplets inside it.

    Parts: `triplets`, how many there are, and shares of them. `hard_fraction`: the unlike item is no farther
    than the alike one. `semihard_fraction`: it is farther, by less than the margin. `easy_fraction`: the
    margin is kept. `active_fraction`: it is violated.

    Parameters
    ----------
    margin
        By how much every negative must be farther than every positive, in the units of the distance.
    distance
        What is compared.
    reduction
        Mean over the triplets that still violate the margin, or over all.
    swap
        Measure the negative from the nearer of anchor and positive (Balntas et al. 2016). O(B^3) steps.
    smooth
        log(1 + exp(violation)) in place of the hinge. O(B^3) steps.
    allow_impossible_margin
        Take a margin over cosines that no vectors can satisfy.
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
        """One pass over the rows; see the head of this file."""
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
        whole = "active_strength" if chosen.reduction == "non_zero_mean" else "strength"
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
    last = bounds.nextafter(torch.full_like(bounds, -torch.inf))  # the greatest distance that violates
    low, high = window(near, pairs.triplet_range, points.distance)
    above, under = count(far, low, last if high is None else last.minimum(high), row_pairs.weight)
    inside = _triplets(far, row_pairs, low, high, bounds, under)
    accumulator.add("hard", _hard(far, near, low, high, under))
    accumulator.add("hinges", row_pairs.weights * under * bounds)
    accumulator.add("hinges", -torch.linalg.vecdot(above, far))
    accumulator.add("active_strength", row_pairs.weights * under)
    accumulator.add("strength", row_pairs.weights * inside)
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
    """(R, K) triplets of each alike cell inside the gap whose unlike item is no farther than the alike."""
    if low is not None and bool((low > near).all()):
        return torch.zeros_like(near)  # semi-hard and easy mining
    if high is not None and bool((high <= near).all()):
        return under  # hard mining
    return count_inside(far, low, near if high is None else near.minimum(high))


def _triplets(
    far: Tensor, row_pairs: RowPairs, low: Tensor | None, high: Tensor | None, bounds: Tensor, under: Tensor
) -> Tensor:
    """(R, K) triplets of each alike cell that are inside the gap, violating or not."""
    if high is not None and bool((high <= bounds).all()):
        return under  # semi-hard and hard mining: all that are inside violate
    if low is None and high is None:
        return row_pairs.here * row_pairs.negative.sum(1, keepdim=True)
    limit = bounds.where(row_pairs.here == 0, FAR / 2) if high is None else high
    return count(far, low, limit)[1]
