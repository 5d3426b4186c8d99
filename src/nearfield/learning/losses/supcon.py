"""Supervised contrastive loss: a softmax over an anchor's company, averaged over its alike items.

Khosla et al. 2020, equation 2. For one anchor with cosines s and temperature t, over its alike p and its
company c (alike and unlike):

    -mean over p of log( exp(s(a, p) / t) / sum over c of exp(s(a, c) / t) )
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.nouns import Distance
from nearfield.core.settings import Settings
from nearfield.learning.distances import FAR
from nearfield.learning.losses.base import Parts
from nearfield.learning.losses.nt_xent import NTXent
from nearfield.learning.losses.row_loss import RowLoss
from nearfield.learning.losses.rows import Company, Tally, exponents


class SupCon(Settings):
    """A softmax over the batch for each anchor; its alike items share the target."""

    kind: Literal["supcon"] = "supcon"
    temperature: float = Field(0.1, gt=0)
    """Divides the cosines: smaller looks at the hardest items alone."""

    introductions: ClassVar[dict[str, str]] = NTXent.introductions

    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[frozenset[str]] = frozenset()

    def build(self, size: int = 0, classes: int = 0) -> "SupConLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return SupConLoss(self)


class SupConLoss(RowLoss):
    """Equals pytorch-metric-learning's SupConLoss, in value and gradient.

    The mean over anchors with a loss above 0. A batch without alike or without unlike cells has loss 0.
    `strength` weighs the alike items in the mean of their anchor. The part `active_fraction` is the share of
    anchors with alike items whose unlike ones together outweigh them.
    """

    def __init__(self, settings: SupCon) -> None:
        super().__init__()
        self.settings = settings

    def add_rows(self, company: Company, distances: Tensor, tally: Tally) -> Tensor:
        """Adds R anchors to the sums; the slopes of their summed losses over (R, B) `distances`."""
        sharpness = 1 / self.settings.temperature
        near = company.alike.read(distances, 0.0) * -sharpness
        reach_unlike, shares_unlike = exponents(company.hide(distances * -sharpness, -1.0))
        reach_alike, shares_alike = exponents(near.where(company.here > 0, -FAR))
        total = torch.logaddexp(reach_alike, reach_unlike)
        strength = company.weights.sum(1, keepdim=True)
        weights = company.weights / strength.where(strength > 0, 1)
        losses = (weights * (total - near)).sum(1, keepdim=True)
        counts = ((losses > 0) & (strength > 0)).to(losses.dtype)
        tally.add("losses", losses * counts)
        tally.add("losses_above_zero", counts)
        tally.add("anchors", strength > 0)
        tally.add("outweighed", (reach_unlike > reach_alike) & (strength > 0))
        slopes = shares_unlike.mul_((reach_unlike - total).exp() * counts * -sharpness)
        alike = (weights - shares_alike * (reach_alike - total).exp()) * counts * sharpness
        company.alike.add(slopes, alike)
        return slopes

    def conclude(self, tally: Tally) -> tuple[Tensor, Tensor, Parts]:
        """The mean over anchors with a loss above 0; nothing where no item of the batch is unlike another."""
        told = tally["unlike_cells"] > 0
        parts = {"active_fraction": tally.share("outweighed", "anchors")}
        scale = tally.one_over("losses_above_zero") * told
        return tally.share("losses", "losses_above_zero") * told, scale, parts
