"""Contrastive loss: positives within one distance, negatives beyond another (Hadsell et al. 2006)."""

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
    """Contrastive loss: reduces the distance of positives and increases that of negatives, pair by pair."""

    kind: Literal["contrastive"] = "contrastive"
    pos_margin: float = Field(0.0, ge=0)
    """Distance below which a positive pair has loss 0; 0 or more."""
    neg_margin: float = Field(1.0, gt=0)
    """Distance above which a negative pair has loss 0; above 0."""
    distance: Distance = "euclidean"
    """Distance of two embeddings."""
    allow_impossible_margin: bool = False
    """Whether to accept margins that no vectors can satisfy."""

    def margins(self) -> tuple[Margin, ...]:
        """Returns the two margins."""
        given = self.distance, self.allow_impossible_margin
        return (
            Margin("pos_margin", self.pos_margin, "together", *given),
            Margin("neg_margin", self.neg_margin, "apart", *given),
        )

    def build(self, size: int = 0, classes: int = 0) -> "ContrastiveLoss":
        """Creates the loss; it needs neither `size` nor `classes`."""
        return ContrastiveLoss(**self.arguments())


class ContrastiveLoss(PairLoss):
    """Contrastive loss: the mean of max(0, d - pos_margin) plus the mean of max(0, neg_margin - d).

    The means are over the positive and over the negative pairs with a term above 0. Equals ContrastiveLoss of
    pytorch-metric-learning in value and gradient. `weight` of the pairs weights positives in the sum and in
    the number of pairs. Metrics: `active_fraction` of all pairs, and the two means as `alike_loss` and
    `unlike_loss`.

    Parameters
    ----------
    pos_margin
        Distance below which a positive pair has loss 0.
    neg_margin
        Distance above which a negative pair has loss 0.
    distance
        Distance of two embeddings.
    allow_impossible_margin
        Whether to accept margins over cosines that no vectors can satisfy.
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
        """Computes both terms in one pass; each has its own divisor and therefore its own gradient."""
        settled = settle(vectors, pairs, ref_vectors)
        distance = self.settings.distance
        together, apart = (PairwiseDistances(vectors, distance, ref_vectors) for _ in range(2))
        accumulator = Accumulator(together.places)
        for part in together.parts():
            self._rows(together, apart, part, settled, accumulator)
        positive, negative = (
            accumulator.share("positive_hinges", "positive_active"),
            accumulator.share("negative_hinges", "negative_active"),
        )
        parts = {
            "active_fraction": accumulator.share("active", "cells"),
            "alike_loss": positive,
            "unlike_loss": negative,
            **accumulator.parts(),
        }
        pulled = together.gradient(accumulator.reciprocal("positive_active"))
        pushed = apart.gradient(accumulator.reciprocal("negative_active"))
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
        accumulator.add("positive_hinges", weight * near)
        accumulator.add("positive_active", weight)
        hinges = (self.settings.neg_margin - distances).mul_(row_pairs.negative).clamp_min_(0)
        active = hinges.sign()
        accumulator.add("negative_hinges", hinges.sum(1))
        accumulator.add("negative_active", active.sum(1))
        accumulator.add("active", weight.sign())
        accumulator.add("active", active.sum(1))
        accumulator.add("cells", row_pairs.here)
        accumulator.add("cells", row_pairs.negative.sum(1))
        slopes = hinges.zero_()
        row_pairs.positive.add(slopes, weight)
        together.accumulate_grad(part, slopes, distances.clone())
        apart.accumulate_grad(part, active.neg_(), distances)
