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

# NT-Xent, also called InfoNCE: each alike item is told from the anchor's unlike ones (Chen et al. 2020).
#
# For each alike cell (a, p), with cosines s and temperature t:
#
#     -log( exp(s(a, p) / t) / (exp(s(a, p) / t) + sum over unlike n of exp(s(a, n) / t)) )


class NTXentSettings(BaseLossSettings):
    """A softmax over the batch for each alike pair: no labels, no margin."""

    kind: Literal["nt_xent"] = "nt_xent"
    temperature: float = Field(0.07, gt=0)
    """Divides the cosines: smaller looks at the hardest unlike items alone."""

    distance: ClassVar[Distance] = "cosine"
    zero_without_positives: ClassVar[bool] = True

    def build(self, size: int = 0, classes: int = 0) -> "NTXentLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return NTXentLoss(**self.arguments())


class NTXentLoss(RowLoss):
    """Equals pytorch-metric-learning's NTXentLoss, in value and gradient: the mean over all alike cells.

    `weight` weighs the alike cells, in sum and mean. The part `active_fraction` is the share of alike
    cells that the unlike ones together outweigh (a loss above log 2).

    Parameters
    ----------
    temperature
        Divides the cosines: smaller looks at the hardest negatives alone.
    """

    def __init__(
        self,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        self.settings: NTXentSettings = checked(NTXentSettings, temperature=temperature)

    def add_rows(self, row_pairs: RowPairs, distances: Tensor, accumulator: Accumulator) -> Tensor:
        """Adds R anchors to the sums; the slopes of their summed losses over (R, B) `distances`."""
        sharpness = 1 / self.settings.temperature
        near = row_pairs.positive.read(distances, 0.0)
        reach, shares = exponents(row_pairs.mask_fill(distances * -sharpness, -1.0))
        beyond = reach + near * sharpness
        accumulator.add("losses", softplus(beyond) * row_pairs.weights)
        accumulator.add("strength", row_pairs.weights)
        accumulator.add("outweighed", (beyond > 0) * row_pairs.here)
        slope = beyond.sigmoid() * row_pairs.weights * sharpness
        slopes = shares.mul_(-slope.sum(1, keepdim=True))
        row_pairs.positive.add(slopes, slope)
        return slopes

    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """The mean over alike cells."""
        parts = {"active_fraction": accumulator.share("outweighed", "alike_cells")}
        return accumulator.share("losses", "strength"), accumulator.reciprocal("strength"), parts


# Supervised contrastive loss: a softmax over an anchor's company, averaged over its alike items.
#
# Khosla et al. 2020, equation 2. For one anchor with cosines s and temperature t, over its alike p and its
# company c (alike and unlike):
#
#     -mean over p of log( exp(s(a, p) / t) / sum over c of exp(s(a, c) / t) )


class SupConSettings(BaseLossSettings):
    """A softmax over the batch for each anchor; its alike items share the target."""

    kind: Literal["supcon"] = "supcon"
    temperature: float = Field(0.1, gt=0)
    """Divides the cosines: smaller looks at the hardest items alone."""

    distance: ClassVar[Distance] = "cosine"
    zero_without_positives: ClassVar[bool] = True

    def build(self, size: int = 0, classes: int = 0) -> "SupConLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return SupConLoss(**self.arguments())


class SupConLoss(RowLoss):
    """Equals pytorch-metric-learning's SupConLoss, in value and gradient.

    The mean over anchors with a loss above 0. A batch without alike or without unlike cells has loss 0.
    `weight` weighs the alike items in the mean of their anchor. The part `active_fraction` is the share of
    anchors with alike items whose unlike ones together outweigh them.

    Parameters
    ----------
    temperature
        Divides the cosines: smaller looks at the hardest items alone.
    """

    def __init__(
        self,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.settings: SupConSettings = checked(SupConSettings, temperature=temperature)

    def add_rows(self, row_pairs: RowPairs, distances: Tensor, accumulator: Accumulator) -> Tensor:
        """Adds R anchors to the sums; the slopes of their summed losses over (R, B) `distances`."""
        sharpness = 1 / self.settings.temperature
        near = row_pairs.positive.read(distances, 0.0) * -sharpness
        reach_unlike, shares_unlike = exponents(row_pairs.mask_fill(distances * -sharpness, -1.0))
        reach_alike, shares_alike = exponents(near.where(row_pairs.here > 0, -FAR))
        total = torch.logaddexp(reach_alike, reach_unlike)
        weight = row_pairs.weights.sum(1, keepdim=True)
        weights = row_pairs.weights / weight.where(weight > 0, 1)
        losses = (weights * (total - near)).sum(1, keepdim=True)
        counts = ((losses > 0) & (weight > 0)).to(losses.dtype)
        accumulator.add("losses", losses * counts)
        accumulator.add("losses_above_zero", counts)
        accumulator.add("anchors", weight > 0)
        accumulator.add("outweighed", (reach_unlike > reach_alike) & (weight > 0))
        slopes = shares_unlike.mul_((reach_unlike - total).exp() * counts * -sharpness)
        positive = (weights - shares_alike * (reach_alike - total).exp()) * counts * sharpness
        row_pairs.positive.add(slopes, positive)
        return slopes

    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """The mean over anchors with a loss above 0; nothing where no item of the batch is unlike another."""
        told = accumulator["unlike_cells"] > 0
        parts = {"active_fraction": accumulator.share("outweighed", "anchors")}
        scale = accumulator.reciprocal("losses_above_zero") * told
        return accumulator.share("losses", "losses_above_zero") * told, scale, parts
