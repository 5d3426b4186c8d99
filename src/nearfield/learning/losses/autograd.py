"""A loss written as one method over distances; `docs/extend.md` builds one."""

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
"""What d summed losses / d parameter adds up to, for each parameter of a loss that learns."""


class AutogradLoss(PairLoss):
    """Base of losses that are written as one method: distances and masks in, a loss for each row out.

    A subclass implements `rowwise`; its gradient is autograd's. Done here, for all of them: `Pairs` or
    labels, references, weights of pairs, ranges of triplets set by a miner, rows that lack a positive or a
    negative, float32 in any precision of training, batches over several processes (the loss is taken of the
    whole batch), and the logged metrics. Rows are handed over in blocks, and the graph of a block is gone
    before the next, so that memory grows with the batch and not with its square.

    Parameters of the loss itself (`torch.nn.Parameter`) get a gradient, too. The gradient cannot be
    differentiated again. Metrics: `active_fraction`, the share of rows with a loss above 0, and the mean
    distances of positives and negatives.

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
    """What `rowwise` is given."""
    reduction: Literal["mean", "non_zero_mean"] = "mean"
    """Mean over the rows that take part, or over those of them with a loss above 0."""

    @abstractmethod
    def rowwise(self, distances: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
        """The loss of each row.

        Parameters
        ----------
        distances
            (rows, columns) distances of some items of the batch to all items, or to all references; float32,
            or float64 where vectors are. Cells in neither mask, such as an item and itself, hold numbers,
            too; their gradient is dropped.
        positive, negative
            (rows, columns) bool. Each row has one of either at least, where `takes_part` is not overridden.
        weight
            (rows, columns) how much each positive counts, in 0..1: 1 where the relation gives no weights, 0
            outside `positive`.

        Returns
        -------
        Tensor
            (rows,) losses, differentiable with respect to `distances`.
        """

    def extra_repr(self) -> str:
        """What is measured, and the mean taken."""
        return f"distance={self.distance!r}, reduction={self.reduction!r}"

    def takes_part(self, positive: Tensor, negative: Tensor) -> Tensor:
        """(rows,) bool, from (rows, columns) masks: which rows `rowwise` is given and the mean is over.

        By default those with a positive and a negative.
        """
        return positive.any(1) & negative.any(1)

    def forward_with_metrics(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> tuple[Tensor, LossMetrics]:
        """The loss of `forward`, and what was measured on the way (see `LossMetrics`).

        Raises RequestError where the arguments do not fit each other, and where `rowwise` gives something
        else than a differentiable loss for each row.
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
        """Adds a block of rows to the sums, to the slopes of distances and to those of parameters."""
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
                f"{type(self).__name__}.rowwise does not use `weight`, and these pairs have weights, so all "
                "would count the same. Multiply what positives add by `weight`, or set the relation's "
                "weights to one."
            )
        for parameter, slope in zip(slopes, of_learned, strict=True):
            slopes[parameter] += 0 if slope is None else slope
        if of_given is not None:
            of_distances = torch.zeros_like(distances)
            of_distances[rows] = of_given.where((weight > 0) | negative, 0)
            points.accumulate_grad(part, of_distances, distances)

    def _check(self, losses: Tensor, rows: Tensor, wanted: bool) -> None:
        """Raises RequestError where `rowwise` has not given a loss for each row, differentiable if wanted."""
        if losses.shape != rows.shape or losses.requires_grad < wanted:
            raise RequestError(
                f"{type(self).__name__}.rowwise must give a loss for each row, shape ({len(rows)},), that "
                f"torch computed from distances. Given: shape {tuple(losses.shape)}, "
                f"{'with' if losses.requires_grad else 'without'} a gradient."
            )
