"""NT-Xent and the supervised contrastive loss."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from nearfield.core.types import Distance
from nearfield.learning.distances import FAR
from nearfield.learning.losses.base import LossMetrics, RowLoss
from nearfield.learning.losses.margins import checked
from nearfield.learning.losses.rows import Accumulator, RowPairs, exponents
from nearfield.learning.losses.settings import BaseLossSettings

# NT-Xent, also called InfoNCE: classifies each positive against the negatives of its anchor (Chen et al.
# 2020).
#
# For each positive pair (a, p), with cosines s and temperature t:
#
#     -log( exp(s(a, p) / t) / (exp(s(a, p) / t) + sum over negatives n of exp(s(a, n) / t)) )


class NTXentSettings(BaseLossSettings):
    """NT-Xent (InfoNCE) over cosines: a softmax over the negatives of the anchor for each positive pair."""

    kind: Literal["nt_xent"] = "nt_xent"
    temperature: float = Field(0.07, gt=0)
    """Divisor of the cosines; above 0. A smaller value gives the hardest negatives more weight."""

    distance: ClassVar[Distance] = "cosine"
    zero_without_positives: ClassVar[bool] = True

    def build(self, size: int = 0, classes: int = 0) -> "NTXentLoss":
        """Creates the loss; it needs neither `size` nor `classes`."""
        return NTXentLoss(**self.arguments())


class NTXentLoss(RowLoss):
    """NT-Xent (InfoNCE) over cosines, the mean over all positive pairs.

    Equals NTXentLoss of pytorch-metric-learning in value and gradient. `weight` of the pairs weights
    positives in the sum and in the number of pairs. The metric `active_fraction` is the fraction of positive
    pairs whose exponential is smaller than the sum over the negatives (a loss above log 2).

    Parameters
    ----------
    temperature
        Divisor of the cosines. A smaller value gives the hardest negatives more weight.
    """

    def __init__(
        self,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        self.settings: NTXentSettings = checked(NTXentSettings, temperature=temperature)

    def add_rows(self, row_pairs: RowPairs, distances: Tensor, accumulator: Accumulator) -> Tensor:
        """Adds R anchors to the sums; returns the gradient of their summed losses by (R, B) `distances`."""
        sharpness = 1 / self.settings.temperature
        near = row_pairs.positive.read(distances, 0.0)
        reach, shares = exponents(row_pairs.mask_fill(distances * -sharpness, -1.0))
        beyond = reach + near * sharpness
        accumulator.add("losses", softplus(beyond) * row_pairs.weights)
        accumulator.add("weight", row_pairs.weights)
        accumulator.add("outweighed", (beyond > 0) * row_pairs.here)
        slope = beyond.sigmoid() * row_pairs.weights * sharpness
        slopes = shares.mul_(-slope.sum(1, keepdim=True))
        row_pairs.positive.add(slopes, slope)
        return slopes

    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """Returns the mean over positive pairs."""
        parts = {"active_fraction": accumulator.share("outweighed", "positive_cells")}
        return accumulator.share("losses", "weight"), accumulator.reciprocal("weight"), parts


# Supervised contrastive loss: a softmax over positives and negatives, averaged over the positives.
#
# Khosla et al. 2020, equation 2. For one anchor with cosines s and temperature t, over its positives p and
# over all its positives and negatives c:
#
#     -mean over p of log( exp(s(a, p) / t) / sum over c of exp(s(a, c) / t) )


class SupConSettings(BaseLossSettings):
    """Supervised contrastive loss over cosines: a softmax for each anchor, averaged over its positives."""

    kind: Literal["supcon"] = "supcon"
    temperature: float = Field(0.1, gt=0)
    """Divisor of the cosines; above 0. A smaller value gives the hardest positives and negatives more
    weight."""

    distance: ClassVar[Distance] = "cosine"
    zero_without_positives: ClassVar[bool] = True

    def build(self, size: int = 0, classes: int = 0) -> "SupConLoss":
        """Creates the loss; it needs neither `size` nor `classes`."""
        return SupConLoss(**self.arguments())


class SupConLoss(RowLoss):
    """Supervised contrastive loss over cosines, the mean over anchors with a loss above 0.

    Equals SupConLoss of pytorch-metric-learning in value and gradient. A batch without positives or without
    negatives has loss 0. `weight` of the pairs weights positives in the mean of their anchor. The metric
    `active_fraction` is the fraction of anchors with positives whose negatives have the larger sum of
    exponentials.

    Parameters
    ----------
    temperature
        Divisor of the cosines. A smaller value gives the hardest positives and negatives more weight.
    """

    def __init__(
        self,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.settings: SupConSettings = checked(SupConSettings, temperature=temperature)

    def add_rows(self, row_pairs: RowPairs, distances: Tensor, accumulator: Accumulator) -> Tensor:
        """Adds R anchors to the sums; returns the gradient of their summed losses by (R, B) `distances`."""
        sharpness = 1 / self.settings.temperature
        near = row_pairs.positive.read(distances, 0.0) * -sharpness
        reach_negative, shares_negative = exponents(row_pairs.mask_fill(distances * -sharpness, -1.0))
        reach_positive, shares_positive = exponents(near.where(row_pairs.here > 0, -FAR))
        total = torch.logaddexp(reach_positive, reach_negative)
        weight = row_pairs.weights.sum(1, keepdim=True)
        weights = row_pairs.weights / weight.where(weight > 0, 1)
        losses = (weights * (total - near)).sum(1, keepdim=True)
        counts = ((losses > 0) & (weight > 0)).to(losses.dtype)
        accumulator.add("losses", losses * counts)
        accumulator.add("losses_above_zero", counts)
        accumulator.add("anchors", weight > 0)
        accumulator.add("outweighed", (reach_negative > reach_positive) & (weight > 0))
        slopes = shares_negative.mul_((reach_negative - total).exp() * counts * -sharpness)
        positive = (weights - shares_positive * (reach_positive - total).exp()) * counts * sharpness
        row_pairs.positive.add(slopes, positive)
        return slopes

    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """Returns the mean over anchors with a loss above 0; 0 if the batch has no negatives."""
        has_negatives = accumulator["negative_cells"] > 0
        parts = {"active_fraction": accumulator.share("outweighed", "anchors")}
        scale = accumulator.reciprocal("losses_above_zero") * has_negatives
        return accumulator.share("losses", "losses_above_zero") * has_negatives, scale, parts
