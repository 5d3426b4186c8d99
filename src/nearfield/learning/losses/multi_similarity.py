"""Multi-similarity loss: soft maxima over an anchor's alike and unlike cosines (Wang et al. 2019, eq. 15).

For one anchor with cosines s_p to its alike and s_n to its unlike items:

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
    """Alike and unlike items weighed by how much they stand out among the anchor's others."""

    kind: Literal["multi_similarity"] = "multi_similarity"
    alpha: float = Field(2.0, gt=0)
    """Scale of the exponents of the alike items."""
    beta: float = Field(50.0, gt=0)
    """Scale of the exponents of the unlike items."""
    base: float = Field(0.5, ge=-1, le=1)
    """The cosine that alike items should exceed and unlike ones stay under."""

    distance: ClassVar[Distance] = "cosine"

    def build(self, size: int = 0, classes: int = 0) -> "MultiSimilarityLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return MultiSimilarityLoss(**self.arguments())


class MultiSimilarityLoss(RowLoss):
    """Equals pytorch-metric-learning's MultiSimilarityLoss, in value and gradient: the mean over all items.

    `weight` is the w_p above. Parts: `active_fraction`, the share of anchors with an alike item under the
    base or an unlike one over it (all together), and the two halves as `alike_loss` and `unlike_loss`.

    Parameters
    ----------
    alpha
        Scale of the exponents of positives.
    beta
        Scale of the exponents of negatives.
    base
        The cosine that positives should exceed and negatives stay under.
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
        """Adds R anchors to the sums; the slopes of their summed losses over (R, B) `distances`."""
        alpha, beta, base = self.settings.alpha, self.settings.beta, 1 - self.settings.base
        near = (row_pairs.positive.read(distances, 0.0) - base) * alpha
        reach_alike, shares_alike = exponents(near + row_pairs.weights.log().clamp_min_(-FAR))
        far = (base - distances).mul_(beta)
        reach_unlike, shares_unlike = exponents(row_pairs.mask_fill(far, -1.0))
        accumulator.add("alike_losses", softplus(reach_alike) / alpha)
        accumulator.add("unlike_losses", softplus(reach_unlike) / beta)
        accumulator.add("anchors", torch.ones_like(reach_alike))
        accumulator.add("beyond", (reach_alike > 0) | (reach_unlike > 0))
        slopes = shares_unlike.mul_(-reach_unlike.sigmoid())
        row_pairs.positive.add(slopes, shares_alike * reach_alike.sigmoid())
        return slopes

    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """The mean over all anchors."""
        positive, negative = (
            accumulator.share("alike_losses", "anchors"),
            accumulator.share("unlike_losses", "anchors"),
        )
        active = accumulator.share("beyond", "anchors")
        parts = {"active_fraction": active, "alike_loss": positive, "unlike_loss": negative}
        return positive + negative, accumulator.reciprocal("anchors"), parts
