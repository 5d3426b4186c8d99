"""Multi-similarity loss: soft maxima over the cosines of positives and negatives (Wang et al. 2019, eq. 15).

For one anchor with cosines s_p to its positives and s_n to its negatives:

    1/alpha log(1 + sum_p w_p exp(-alpha (s_p - base)))  +  1/beta log(1 + sum_n exp(beta (s_n - base)))
"""

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


class MultiSimilaritySettings(BaseLossSettings):
    """Multi-similarity loss over cosines: hard positives and negatives of an anchor have larger weights."""

    kind: Literal["multi_similarity"] = "multi_similarity"
    alpha: float = Field(2.0, gt=0)
    """Scale of the exponents of positives; above 0. A larger value gives the hardest positives more
    weight."""
    beta: float = Field(50.0, gt=0)
    """Scale of the exponents of negatives; above 0. A larger value gives the hardest negatives more
    weight."""
    base: float = Field(0.5, ge=-1, le=1)
    """Cosine that positives should exceed and negatives stay below, -1 to 1."""

    distance: ClassVar[Distance] = "cosine"

    def build(self, size: int = 0, classes: int = 0) -> "MultiSimilarityLoss":
        """Creates the loss; it needs neither `size` nor `classes`."""
        return MultiSimilarityLoss(**self.arguments())


class MultiSimilarityLoss(RowLoss):
    """Multi-similarity loss over cosines, the mean over all anchors.

    Equals MultiSimilarityLoss of pytorch-metric-learning in value and gradient. `weight` of the pairs is w_p
    in the equation above. Metrics: `active_fraction`, the fraction of anchors whose soft maximum over
    positives or over negatives is beyond the base, and the two terms as `alike_loss` and `unlike_loss`.

    Parameters
    ----------
    alpha
        Scale of the exponents of positives.
    beta
        Scale of the exponents of negatives.
    base
        The cosine that positives should exceed and negatives stay below.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
    ) -> None:
        super().__init__()
        self.settings: MultiSimilaritySettings = checked(
            MultiSimilaritySettings, alpha=alpha, beta=beta, base=base
        )

    def add_rows(self, row_pairs: RowPairs, distances: Tensor, accumulator: Accumulator) -> Tensor:
        """Adds R anchors to the sums; returns the gradient of their summed losses by (R, B) `distances`."""
        alpha, beta, base = self.settings.alpha, self.settings.beta, 1 - self.settings.base
        near = (row_pairs.positive.read(distances, 0.0) - base) * alpha
        reach_positive, shares_positive = exponents(near + row_pairs.weights.log().clamp_min_(-FAR))
        far = (base - distances).mul_(beta)
        reach_negative, shares_negative = exponents(row_pairs.mask_fill(far, -1.0))
        accumulator.add("positive_losses", softplus(reach_positive) / alpha)
        accumulator.add("negative_losses", softplus(reach_negative) / beta)
        accumulator.add("anchors", torch.ones_like(reach_positive))
        accumulator.add("beyond", (reach_positive > 0) | (reach_negative > 0))
        slopes = shares_negative.mul_(-reach_negative.sigmoid())
        row_pairs.positive.add(slopes, shares_positive * reach_positive.sigmoid())
        return slopes

    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """Returns the mean over all anchors."""
        positive, negative = (
            accumulator.share("positive_losses", "anchors"),
            accumulator.share("negative_losses", "anchors"),
        )
        active = accumulator.share("beyond", "anchors")
        parts = {"active_fraction": active, "alike_loss": positive, "unlike_loss": negative}
        return positive + negative, accumulator.reciprocal("anchors"), parts
