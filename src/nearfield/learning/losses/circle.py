"""Circle loss: the weight of a cosine is its distance from its optimum (Sun et al. 2020, equation 6).

For one anchor with cosines s_p to its positives and s_n to its negatives:

    log(1 + sum_n exp(gamma a_n (s_n - m)) * sum_p w_p exp(-gamma a_p (s_p - (1 - m))))
    a_p = max(0, 1 + m - s_p),  a_n = max(0, s_n + m),  both without gradient

The boundary is the circle s_n^2 + (1 - s_p)^2 = 2 m^2 around the optimum (0, 1), so a smaller m is stricter.
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
    """Circle loss over cosines: the further a cosine is from its optimum, the larger is its weight."""

    kind: Literal["circle"] = "circle"
    m: float = Field(0.4, gt=0)
    """Radius of the boundary in cosine, between 0 and 1. Smaller is stricter, unlike the margin of the
    triplet
    loss."""
    gamma: float = Field(80.0, gt=0)
    """Scale of the exponents; above 0. A larger value gives the hardest positives and negatives more
    weight."""
    allow_impossible_margin: bool = False
    """Whether to accept an m of 1 or more, which every embedding satisfies."""

    distance: ClassVar[Distance] = "cosine"
    zero_without_positives: ClassVar[bool] = True

    def margins(self) -> tuple[Margin, ...]:
        """Returns the radius, in cosine."""
        return (Margin("m", self.m, "circle", "cosine", self.allow_impossible_margin),)

    def build(self, size: int = 0, classes: int = 0) -> "CircleLoss":
        """Creates the loss; it needs neither `size` nor `classes`."""
        return CircleLoss(**self.arguments())


class CircleLoss(RowLoss):
    """Circle loss over cosines, the mean over anchors with a loss above 0.

    Equals CircleLoss of pytorch-metric-learning in value and gradient. Anchors without a positive or without
    a negative are ignored. `weight` of the pairs is w_p in the equation above. The metric `active_fraction`
    is the fraction of anchors outside the boundary. The loss is computed at least in float32, so a gamma of
    256 does not overflow in any training precision.

    Parameters
    ----------
    m
        Radius of the boundary in cosine, between 0 and 1. Smaller is stricter.
    gamma
        Scale of the exponents. A larger value gives the hardest positives and negatives more weight.
    allow_impossible_margin
        Whether to accept an m of 1 or more, which every embedding satisfies.
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
        """Adds R anchors to the sums; returns the gradient of their summed losses by (R, B) `distances`."""
        m, gamma = self.settings.m, self.settings.gamma
        near = row_pairs.positive.read(distances, 0.0)
        accumulate_grad = gamma * (near + m).clamp_min_(0)  # a_p, with s = 1 - distance
        push = distances.neg().add_(1 + m).clamp_min_(0).mul_(gamma)  # a_n
        positive = accumulate_grad * (near - m) + row_pairs.weights.log().clamp_min_(-FAR)
        negative = (1 - m - distances).mul_(push)
        reach_positive, share_positive = exponents(positive)
        reach_negative, share_negative = exponents(row_pairs.mask_fill(negative, -1.0))
        takes_part = row_pairs.here.any(1, keepdim=True) & row_pairs.negative.any(1, keepdim=True)
        beyond = (reach_positive + reach_negative).where(takes_part, -FAR)
        losses = softplus(beyond)
        accumulator.add("losses", losses)
        accumulator.add("losses_above_zero", (losses > 0).to(losses.dtype))
        accumulator.add("anchors", takes_part)
        accumulator.add("beyond", beyond > 0)
        slope = beyond.sigmoid()
        slopes = push.mul_(share_negative).mul_(-slope)
        row_pairs.positive.add(slopes, slope * share_positive * accumulate_grad)
        return slopes

    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """Returns the mean over anchors with a loss above 0."""
        parts = {"active_fraction": accumulator.share("beyond", "anchors")}
        return (
            accumulator.share("losses", "losses_above_zero"),
            accumulator.reciprocal("losses_above_zero"),
            parts,
        )
