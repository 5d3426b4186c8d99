"""NT-Xent, also called InfoNCE: each alike item is told from the anchor's unlike ones (Chen et al. 2020).

For each alike cell (a, p), with cosines s and temperature t:

    -log( exp(s(a, p) / t) / (exp(s(a, p) / t) + sum over unlike n of exp(s(a, n) / t)) )
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from nearfield.core.nouns import Distance, Pairs
from nearfield.core.settings import Settings
from nearfield.learning.distances import Points
from nearfield.learning.losses.base import PairLoss, Parts
from nearfield.learning.losses.gaps import settle
from nearfield.learning.losses.rows import Company, Tally, exponents


class NTXent(Settings):
    """A softmax over the batch for each alike pair: no labels, no margin."""

    kind: Literal["nt_xent"] = "nt_xent"
    temperature: float = Field(0.07, gt=0)
    """Divides the cosines: smaller looks at the hardest unlike items alone."""

    distance: ClassVar[Distance] = "cosine"
    needs: ClassVar[frozenset[str]] = frozenset()

    def build(self, size: int = 0, classes: int = 0) -> "NTXentLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return NTXentLoss(self)


class NTXentLoss(PairLoss):
    """Equals pytorch-metric-learning's NTXentLoss, in value and gradient: the mean over all alike cells.

    `strength` weighs the alike cells, in sum and mean. The part `active_fraction` is the share of alike
    cells that the unlike ones together outweigh (a loss above log 2).
    """

    def __init__(self, settings: NTXent) -> None:
        super().__init__()
        self.settings = settings

    def measure(self, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor | None, Parts]:
        """One pass over the rows."""
        settled = settle(vectors, pairs)
        points = Points(vectors, "cosine")
        tally = Tally(points.places)
        for part in points.parts():
            self._anchors(points, part, settled, tally)
        value = tally.share("losses", "strength").to(points.places.dtype)
        parts = {"active_fraction": tally.share("outweighed", "alike_cells"), **tally.parts()}
        return value, points.gradient(tally.one_over("strength")), parts

    def _anchors(self, points: Points, part: slice, pairs: Pairs, tally: Tally) -> None:
        sharpness = 1 / self.settings.temperature
        distances = points.distances(part)
        company = Company.of(pairs, part, distances)
        tally.see(company, distances)
        near = company.alike.read(distances, 0.0)
        reach, shares = exponents(company.hide(distances * -sharpness, -1.0))
        beyond = reach + near * sharpness
        tally.add("losses", softplus(beyond) * company.weights)
        tally.add("strength", company.weights)
        tally.add("outweighed", (beyond > 0) * company.here)
        slope = beyond.sigmoid() * company.weights * sharpness
        slopes = shares.mul_(-slope.sum(1, keepdim=True))
        company.alike.add(slopes, slope)
        points.pull(part, slopes, distances)
