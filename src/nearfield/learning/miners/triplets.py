"""Miners of triplets by their gap, d(a, n) - d(a, p): hard, semi-hard, easy, or all that violate the margin.

A triplet is easy when the gap exceeds the margin, semi-hard when it is above 0 and up to the margin, hard
when it is 0 or below (Schroff et al. 2015). No cell needs clearing for that, and no distance computing: the
miner names the gap, and the loss keeps to it in the pass that it makes anyway.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Distance, Gap, Pairs
from nearfield.core.settings import Settings
from nearfield.learning.miners.base import Miner


class All(Settings):
    """Every triplet; with a margin, every one that violates it."""

    kind: Literal["all"] = "all"
    margin: float | None = Field(None, gt=0)
    """Keep gaps up to this, in the units of the distance; not given: keep all, easy ones too."""
    distance: Distance | None = None
    """What the gap is measured in; not given: as the loss."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "GapMiner":
        """The miner; `distance` is the loss's, for where none is given. The loss's margin is not used."""
        return GapMiner(None, self.margin, self.distance or distance)


class Hard(Settings):
    """Triplets whose unlike item is no farther than the alike one."""

    kind: Literal["hard"] = "hard"
    distance: Distance | None = None
    """What the gap is measured in; not given: as the loss."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "GapMiner":
        """The miner; `distance` is the loss's, for where none is given."""
        return GapMiner(None, 0.0, self.distance or distance)


class Semihard(Settings):
    """Triplets in the right order that still violate the margin."""

    kind: Literal["semihard"] = "semihard"
    margin: float | None = Field(None, gt=0)
    """Keep gaps above 0 and up to this, in the units of the distance; not given: the loss's margin."""
    distance: Distance | None = None
    """What the gap is measured in; not given: as the loss."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "GapMiner":
        """The miner; `distance` and `margin` are the loss's, for where none is given."""
        return GapMiner(0.0, self.margin or margin, self.distance or distance)


class Easy(Settings):
    """Triplets that satisfy the margin: to see what a loss does with them, not to train."""

    kind: Literal["easy"] = "easy"
    margin: float | None = Field(None, gt=0)
    """Keep gaps above this, in the units of the distance; not given: the loss's margin."""
    distance: Distance | None = None
    """What the gap is measured in; not given: as the loss."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "GapMiner":
        """The miner; `distance` and `margin` are the loss's, for where none is given."""
        return GapMiner(self.margin or margin, None, self.distance or distance)


@dataclass(frozen=True)
class GapMiner(Miner):
    """Keeps triplets with `low < d(a, n) - d(a, p) <= high`; None is no bound."""

    low: float | None
    high: float | None
    distance: Distance

    def mine(self, vectors: Tensor, pairs: Pairs, generator: torch.Generator | None) -> Pairs:
        """The same cells with the gap set. Raises RequestError where another miner has set one."""
        if self.low is None and self.high is None:
            return pairs
        if pairs.gap is not None:
            raise RequestError(
                f"miner: these triplets have been mined already (gap {pairs.gap.low} to {pairs.gap.high} in "
                f"{pairs.gap.distance}). Mine the relation's own pairs."
            )
        return replace(pairs, gap=Gap(self.low, self.high, self.distance))
