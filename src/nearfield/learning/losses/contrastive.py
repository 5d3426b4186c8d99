"""Contrastive loss: alike pairs within one distance, unlike ones beyond another (Hadsell et al. 2006)."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from nearfield.core.settings import Settings
from nearfield.core.types import Distance, Pairs
from nearfield.learning.distances import Points
from nearfield.learning.losses.base import PairLoss, Parts
from nearfield.learning.losses.rows import Company, Tally, settle


class Contrastive(Settings):
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

    needs: ClassVar[frozenset[str]] = frozenset()

    def build(self, size: int = 0, classes: int = 0) -> "ContrastiveLoss":
        """The loss; it needs neither the size of the vectors nor the number of classes."""
        return ContrastiveLoss(self)


class ContrastiveLoss(PairLoss):
    """Equals pytorch-metric-learning's ContrastiveLoss, in value and gradient.

    mean of max(0, d - pos_margin) over the alike pairs above zero + mean of max(0, neg_margin - d) over the
    unlike pairs above zero. `strength` weighs the alike pairs, in sum and mean. Parts: `active_fraction` of
    all pairs, and the two means as `alike_loss` and `unlike_loss`.
    """

    def __init__(self, settings: Contrastive) -> None:
        super().__init__()
        self.settings = settings

    def measure(self, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor | None, Parts]:
        """One pass over the rows; the two means have their own divisor, so each adds up its own gradient."""
        settled = settle(vectors, pairs)
        together, apart = (Points(vectors, self.settings.distance) for _ in range(2))
        tally = Tally(together.places)
        for part in together.parts():
            self._rows(together, apart, part, settled, tally)
        alike, unlike = (
            tally.share("alike_hinges", "alike_active"),
            tally.share("unlike_hinges", "unlike_active"),
        )
        parts = {
            "active_fraction": tally.share("active", "cells"),
            "alike_loss": alike,
            "unlike_loss": unlike,
            **tally.parts(),
        }
        pulled = together.gradient(tally.one_over("alike_active"))
        pushed = apart.gradient(tally.one_over("unlike_active"))
        gradient = None if pulled is None or pushed is None else pulled + pushed
        return (alike + unlike).to(together.places.dtype), gradient, parts

    def _rows(self, together: Points, apart: Points, part: slice, pairs: Pairs, tally: Tally) -> None:
        distances = together.distances(part)
        company = Company.of(pairs, part, distances)
        tally.see(company, distances)
        near = company.alike.read(distances, 0.0) - self.settings.pos_margin
        strength = (near > 0) * company.weights
        tally.add("alike_hinges", strength * near)
        tally.add("alike_active", strength)
        hinges = (self.settings.neg_margin - distances).mul_(company.unlike).clamp_min_(0)
        active = hinges.sign()
        tally.add("unlike_hinges", hinges.sum(1))
        tally.add("unlike_active", active.sum(1))
        tally.add("active", strength.sign())
        tally.add("active", active.sum(1))
        tally.add("cells", company.here)
        tally.add("cells", company.unlike.sum(1))
        slopes = hinges.zero_()
        company.alike.add(slopes, strength)
        together.pull(part, slopes, distances.clone())
        apart.pull(part, active.neg_(), distances)
