"""Contrastive loss: alike pairs within one distance, unlike ones beyond another (Hadsell et al. 2006)."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from nearfield.core.types import Distance, Pairs
from nearfield.learning.distances import Gradient, PairwiseDistances
from nearfield.learning.losses.base import LossMetrics, PairLoss, analytic
from nearfield.learning.losses.margins import checked
from nearfield.learning.losses.rows import Accumulator, RowPairs, settle
from nearfield.learning.losses.settings import BaseLossSettings, Margin


class ContrastiveSettings(BaseLossSettings):
    """Pairs on their own: alike ones together, unlike ones apart."""

    kind: Literal["contrastive"] = "contrastive"
    pos_margin: float = Field(0.0, ge=0)
    """Alike pairs nearer than this are left alone, in the units of the distance."""
    neg_margin: float = Field(1.0, gt=0)
    """Unlike pairs farther than this are left alone, in the units of the distance."""
    distance: Distance = "euclidean"
    """What is compared."""
    allow_impossible_margin: bool = False
    """Train even where no vectors could satisfy the margins."""

    def margins(self) -> tuple[Margin, ...]:
        """The two margins, in the distance that is compared."""
        given = self.distance, self.allow_impossible_margin
        return (
            Margin("pos_margin", self.pos_margin, "together", *given),
            Margin("neg_margin", self.neg_margin, "apart", *given),
        )

    def build(self, size: int = 0, classes: int = 0) -> "ContrastiveLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return ContrastiveLoss(**self.arguments())


class ContrastiveLoss(PairLoss):
    """Equals pytorch-metric-learning's ContrastiveLoss, in value and gradient.

    mean of max(0, d - pos_margin) over the alike pairs above zero + mean of max(0, neg_margin - d) over the
    unlike pairs above zero. `weight` weighs the alike pairs, in sum and mean. Parts: `active_fraction` of
    all pairs, and the two means as `alike_loss` and `unlike_loss`.

    Parameters
    ----------
    pos_margin
        Positives nearer than this are left alone, in the units of the distance.
    neg_margin
        Negatives farther than this are left alone, in the units of the distance.
    distance
        What is compared.
    allow_impossible_margin
        Take margins over cosines that no vectors can satisfy.
    """

    def __init__(
        self,
        pos_margin: float = 0.0,
        neg_margin: float = 1.0,
        distance: Distance = "euclidean",
        allow_impossible_margin: bool = False,
    ) -> None:
        super().__init__()
        self.settings: ContrastiveSettings = checked(
            ContrastiveSettings,
            pos_margin=pos_margin,
            neg_margin=neg_margin,
            distance=distance,
            allow_impossible_margin=allow_impossible_margin,
        )

    @analytic
    def forward_with_metrics(
        self, vectors: Tensor, pairs: Pairs, ref_vectors: Tensor | None = None
    ) -> tuple[Tensor, Gradient, LossMetrics]:
        """One pass over the rows; the two means have their own divisor, so each adds up its own gradient."""
        settled = settle(vectors, pairs, ref_vectors)
        distance = self.settings.distance
        together, apart = (PairwiseDistances(vectors, distance, ref_vectors) for _ in range(2))
        accumulator = Accumulator(together.places)
        for part in together.parts():
            self._rows(together, apart, part, settled, accumulator)
        positive, negative = (
            accumulator.share("alike_hinges", "alike_active"),
            accumulator.share("unlike_hinges", "unlike_active"),
        )
        parts = {
            "active_fraction": accumulator.share("active", "cells"),
            "alike_loss": positive,
            "unlike_loss": negative,
            **accumulator.parts(),
        }
        pulled = together.gradient(accumulator.reciprocal("alike_active"))
        pushed = apart.gradient(accumulator.reciprocal("unlike_active"))
        own, of_refs = (
            None if of_positive is None or of_negative is None else of_positive + of_negative
            for of_positive, of_negative in zip(pulled, pushed, strict=True)
        )
        return (positive + negative).to(together.places.dtype), (own, of_refs), parts

    def _rows(
        self,
        together: PairwiseDistances,
        apart: PairwiseDistances,
        part: slice,
        pairs: Pairs,
        accumulator: Accumulator,
    ) -> None:
        distances = together.distances(part)
        row_pairs = RowPairs.of(pairs, part, distances)
        accumulator.see(row_pairs, distances)
        near = row_pairs.positive.read(distances, 0.0) - self.settings.pos_margin
        weight = (near > 0) * row_pairs.weights
        accumulator.add("alike_hinges", weight * near)
        accumulator.add("alike_active", weight)
        hinges = (self.settings.neg_margin - distances).mul_(row_pairs.negative).clamp_min_(0)
        active = hinges.sign()
        accumulator.add("unlike_hinges", hinges.sum(1))
        accumulator.add("unlike_active", active.sum(1))
        accumulator.add("active", weight.sign())
        accumulator.add("active", active.sum(1))
        accumulator.add("cells", row_pairs.here)
        accumulator.add("cells", row_pairs.negative.sum(1))
        slopes = hinges.zero_()
        row_pairs.positive.add(slopes, weight)
        together.accumulate_grad(part, slopes, distances.clone())
        apart.accumulate_grad(part, active.neg_(), distances)
