"""Circle loss: each cosine is pulled as hard as it is far from its own optimum (Sun et al. 2020, equation 6).

For one anchor with cosines s_p to its alike and s_n to its unlike items:

    log(1 + sum_n exp(gamma a_n (s_n - m)) * sum_p w_p exp(-gamma a_p (s_p - (1 - m))))
    a_p = max(0, 1 + m - s_p),  a_n = max(0, s_n + m),  both without gradient

Its boundary is the circle s_n^2 + (1 - s_p)^2 = 2 m^2 around the optimum (0, 1): a smaller m is stricter.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from nearfield.core.types import Distance
from nearfield.learning.distances import FAR
from nearfield.learning.losses.base import LossMetrics, RowLoss
from nearfield.learning.losses.margins import checked
from nearfield.learning.losses.rows import Accumulator, RowPairs, exponents
from nearfield.learning.losses.settings import BaseLossSettings, Margin


class CircleSettings(BaseLossSettings):
    """Each cosine pulled by its own distance from where it should be."""

    kind: Literal["circle"] = "circle"
    m: float = Field(0.4, gt=0)
    """Radius of the boundary, in cosine; 0 to 1. Smaller is stricter: the opposite of a triplet's margin."""
    gamma: float = Field(80.0, gt=0)
    """Scale of the exponents: how much the hardest items outweigh the rest."""
    allow_impossible_margin: bool = False
    """Train even with an m of 1 or more, which asks for nothing."""

    distance: ClassVar[Distance] = "cosine"
    zero_without_positives: ClassVar[bool] = True

    def margins(self) -> tuple[Margin, ...]:
        """The radius, in cosine."""
        return (Margin("m", self.m, "circle", "cosine", self.allow_impossible_margin),)

    def build(self, size: int = 0, classes: int = 0) -> "CircleLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return CircleLoss(**self.arguments())


class CircleLoss(RowLoss):
    """Equals pytorch-metric-learning's CircleLoss, in value and gradient.

    The mean over anchors with a loss above 0. Anchors without an alike or without an unlike item take no
    part. `weight` is the w_p above. The part `active_fraction` is the share of anchors beyond the boundary.
    Arithmetic is float32 at least, so that a gamma of 256 overflows in no precision.

    Parameters
    ----------
    m
        Radius of the boundary, in cosine; 0 to 1. Smaller is stricter.
    gamma
        Scale of the exponents: how much the hardest items outweigh the rest.
    allow_impossible_margin
        Take an m of 1 or more, which asks for nothing.
    """

    def __init__(
        self,
        m: float = 0.4,
        gamma: float = 80.0,
        allow_impossible_margin: bool = False,
    ) -> None:
        super().__init__()
        self.settings: CircleSettings = checked(
            CircleSettings, m=m, gamma=gamma, allow_impossible_margin=allow_impossible_margin
        )

    def add_rows(self, row_pairs: RowPairs, distances: Tensor, accumulator: Accumulator) -> Tensor:
        """Adds R anchors to the sums; the slopes of their summed losses over (R, B) `distances`."""
        m, gamma = self.settings.m, self.settings.gamma
        near = row_pairs.positive.read(distances, 0.0)
        accumulate_grad = gamma * (near + m).clamp_min_(0)  # a_p, with s = 1 - distance
        push = distances.neg().add_(1 + m).clamp_min_(0).mul_(gamma)  # a_n
        positive = accumulate_grad * (near - m) + row_pairs.weights.log().clamp_min_(-FAR)
        negative = (1 - m - distances).mul_(push)
        reach_alike, share_alike = exponents(positive)
        reach_unlike, share_unlike = exponents(row_pairs.mask_fill(negative, -1.0))
        takes_part = row_pairs.here.any(1, keepdim=True) & row_pairs.negative.any(1, keepdim=True)
        beyond = (reach_alike + reach_unlike).where(takes_part, -FAR)
        losses = softplus(beyond)
        accumulator.add("losses", losses)
        accumulator.add("losses_above_zero", (losses > 0).to(losses.dtype))
        accumulator.add("anchors", takes_part)
        accumulator.add("beyond", beyond > 0)
        slope = beyond.sigmoid()
        slopes = push.mul_(share_unlike).mul_(-slope)
        row_pairs.positive.add(slopes, slope * share_alike * accumulate_grad)
        return slopes

    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """The mean over anchors with a loss above 0."""
        parts = {"active_fraction": accumulator.share("beyond", "anchors")}
        return (
            accumulator.share("losses", "losses_above_zero"),
            accumulator.reciprocal("losses_above_zero"),
            parts,
        )
