"""`AutogradLoss`, the base of losses written as one method over distances; see `docs/extend.md`."""

from abc import abstractmethod
from typing import Literal

import numpy.typing as npt
import torch
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.types import Distance, Pairs
from nearfield.learning.distances import PairwiseDistances
from nearfield.learning.losses.base import Given, LossMetrics, PairLoss, fit, with_gradient
from nearfield.learning.losses.rows import Accumulator, RowPairs, settle

Slopes = dict[nn.Parameter, Tensor]
"""Gradient of the summed losses with respect to each trained parameter of the loss."""


class AutogradLoss(PairLoss):
    """Base of losses written as one method, which maps distances and masks to one loss per row.

    A subclass implements `rowwise`; autograd computes the gradient. This class accepts `Pairs` or labels,
    references, weights of pairs and triplet ranges of a miner. It skips rows without a positive or without a
    negative, computes in float32 in any training precision, supports batches over several processes (the loss
    is that of the whole batch), and logs metrics. Rows are processed in blocks, and the graph of a block is
    freed before the next, so memory grows linearly with the batch.

    Parameters of the loss (`torch.nn.Parameter`) also get a gradient. The gradient cannot be differentiated
    again. Metrics: `active_fraction`, the fraction of rows with a loss above 0, and the mean distances of
    positives and negatives.

    Examples
    --------
    >>> class HardestPair(AutogradLoss):
    ...     def rowwise(self, distances, positive, negative, weight):
    ...         farthest = (distances * weight).amax(1)
    ...         nearest = distances.where(negative, torch.inf).amin(1)
    ...         return (farthest - nearest + 0.2).clamp_min(0)
    >>> value = HardestPair()(torch.randn(8, 4), [0, 0, 1, 1, 2, 2, 3, 3])
    """

    distance: Distance = "euclidean"
    """The distance passed to `rowwise`."""
    reduction: Literal["mean", "non_zero_mean"] = "mean"
    """Mean over the rows that are used, or over those of them with a loss above 0."""

    @abstractmethod
    def rowwise(self, distances: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
        """Computes the loss of each row.

        Parameters
        ----------
        distances
            (rows, columns) distances of some items of the batch to all items, or to all references; float32,
            or float64 if the vectors are. Cells in neither mask, such as an item and itself, have values,
            too; their gradient is ignored.
        positive, negative
            (rows, columns) bool. Each row has at least one of each, unless `takes_part` is overridden.
        weight
            (rows, columns) weight of each positive in 0..1: 1 if the relation gives no weights, 0 outside
            `positive`.

        Returns
        -------
        Tensor
            (rows,) losses, differentiable with respect to `distances`.
        """

    def extra_repr(self) -> str:
        """Returns the distance and the reduction."""
        return f"distance={self.distance!r}, reduction={self.reduction!r}"

    def takes_part(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Returns (rows,) which rows are used, from (rows, columns) masks.

        By default, rows with at least one positive and one negative.
        """
        return positive.any(1) & negative.any(1)

    def forward_with_metrics(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> tuple[Tensor, LossMetrics]:
        """Returns the loss of `forward` and its metrics (see `LossMetrics`).

        Raises RequestError if the arguments do not fit each other, or if `rowwise` does not return a
        differentiable loss for each row.
        """
        fitting = fit(vectors, pairs, ref_vectors, ref_labels)
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not torch.is_grad_enabled():
            vectors, learned = vectors.detach(), []
            ref_vectors = None if ref_vectors is None else ref_vectors.detach()
        with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
            settled = settle(vectors, fitting, ref_vectors)
            points = PairwiseDistances(vectors, self.distance, ref_vectors)
            accumulator = Accumulator(points.places)
            slopes = {parameter: torch.zeros_like(parameter) for parameter in learned}
            for part in points.parts():
                self._add_rows(points, part, settled, accumulator, slopes)
        scale = accumulator.reciprocal("counted")
        gradient = (*points.gradient(scale), *(slope * scale.to(slope.dtype) for slope in slopes.values()))
        metrics = {"active_fraction": accumulator.share("above_zero", "rows"), **accumulator.parts()}
        value = accumulator.share("losses", "counted").to(points.places.dtype)
        return with_gradient(value, (vectors, ref_vectors, *learned), gradient), metrics

    def _add_rows(
        self, points: PairwiseDistances, part: slice, pairs: Pairs, accumulator: Accumulator, slopes: Slopes
    ) -> None:
        """Adds a block of rows to the sums and to the gradients of distances and parameters."""
        distances = points.distances(part)
        accumulator.see(RowPairs.of(pairs, part, distances), distances)
        negative, weight = pairs.negative[part], pairs.positive[part].to(distances.dtype)
        weight = weight if pairs.weight is None else weight * pairs.weight[part].to(weight.dtype)
        rows = self.takes_part(weight > 0, negative).nonzero()[:, 0]
        if not len(rows):
            return
        negative, weight = negative[rows], weight[rows]
        wanted = points.wanted or bool(slopes)
        with torch.set_grad_enabled(wanted):
            given = distances[rows].requires_grad_(wanted)
            losses = self.rowwise(given, weight > 0, negative, weight.requires_grad_(wanted))
            self._check(losses, rows, wanted)
            counted = ~(losses <= 0) if self.reduction == "non_zero_mean" else torch.ones_like(rows).bool()
            total = losses.where(counted, 0).sum()
        accumulator.add("losses", total.detach())
        accumulator.add("counted", counted)
        accumulator.add("above_zero", losses > 0)
        accumulator.add("rows", torch.ones_like(rows))
        if not wanted:
            return
        of_given, of_weight, *of_learned = torch.autograd.grad(
            total, (given, weight, *slopes), allow_unused=True
        )
        if of_weight is None and pairs.weight is not None:
            raise RequestError(
                f"{type(self).__name__}.rowwise does not use `weight`, but these pairs have weights, so all "
                "would count the same. Multiply the terms of positives by `weight`, or set the relation's "
                "pair_weight to one."
            )
        for parameter, slope in zip(slopes, of_learned, strict=True):
            slopes[parameter] += 0 if slope is None else slope
        if of_given is not None:
            of_distances = torch.zeros_like(distances)
            of_distances[rows] = of_given.where((weight > 0) | negative, 0)
            points.accumulate_grad(part, of_distances, distances)

    def _check(self, losses: Tensor, rows: Tensor, wanted: bool) -> None:
        """Raises RequestError if `losses` is not one loss per row, differentiable if `wanted`."""
        if losses.shape != rows.shape or losses.requires_grad < wanted:
            raise RequestError(
                f"{type(self).__name__}.rowwise must return a loss for each row, shape ({len(rows)},), that "
                f"torch computed from distances. Given: shape {tuple(losses.shape)}, "
                f"{'with' if losses.requires_grad else 'without'} a gradient."
            )
