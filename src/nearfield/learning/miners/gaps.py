"""Miners of triplets by their gap, d(a, n) - d(a, p): hard, semi-hard, easy, or all that violate a margin."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.miners.base import BaseMinerSettings, Miner

# A triplet is easy when the gap exceeds the margin, semi-hard when it is above 0 and up to the margin, hard
# when it is 0 or below (Schroff et al. 2015). No cell needs clearing for that, and no distance computing: the
# miner names the gap, and the loss keeps to it in the pass that it makes anyway.


class GapSettings(BaseMinerSettings):
    """What the four have in common: the miner is the gap."""

    @abstractmethod
    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """The gap kept; `distance` and `margin` are the loss's, for where none is given."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "GapMiner":
        """The miner; `distance` and `margin` are the loss's, for where none is given."""
        return GapMiner(self.triplet_range(distance, margin))


class All(GapSettings):
    """Every triplet; with a margin, every one that violates it."""

    kind: Literal["all"] = "all"
    margin: float | None = Field(None, gt=0)
    """Keep gaps up to this, in the units of the distance; not given: keep all, easy ones too."""
    distance: Distance | None = None
    """What the gap is measured in; not given: as the loss."""

    @property
    def keeps_all(self) -> bool:
        """Whether no margin is given."""
        return self.margin is None

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """The gap kept; `distance` is the loss's, for where none is given. The loss's margin is not used."""
        return TripletRange(None, self.margin, self.distance or distance)


class Hard(GapSettings):
    """Triplets whose unlike item is no farther than the alike one."""

    kind: Literal["hard"] = "hard"
    distance: Distance | None = None
    """What the gap is measured in; not given: as the loss."""

    hardest_only: ClassVar[bool] = True

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """The gap kept; `distance` is the loss's, for where none is given."""
        return TripletRange(None, 0.0, self.distance or distance)


class Semihard(GapSettings):
    """Triplets in the right order that still violate the margin."""

    kind: Literal["semihard"] = "semihard"
    margin: float | None = Field(None, gt=0)
    """Keep gaps above 0 and up to this, in the units of the distance; not given: the loss's margin."""
    distance: Distance | None = None
    """What the gap is measured in; not given: as the loss."""

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """The gap kept; `distance` and `margin` are the loss's, for where none is given."""
        return TripletRange(0.0, self.margin or margin, self.distance or distance)


class Easy(GapSettings):
    """Triplets that satisfy the margin: to see what a loss does with them, not to train."""

    kind: Literal["easy"] = "easy"
    margin: float | None = Field(None, gt=0)
    """Keep gaps above this, in the units of the distance; not given: the loss's margin."""
    distance: Distance | None = None
    """What the gap is measured in; not given: as the loss."""

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """The gap kept; `distance` and `margin` are the loss's, for where none is given."""
        return TripletRange(self.margin or margin, None, self.distance or distance)


@dataclass(frozen=True)
class GapMiner(Miner):
    """Keeps triplets with `triplet_range.low < d(a, n) - d(a, p) <= triplet_range.high`; None is no bound."""

    triplet_range: TripletRange

    def mine(
        self,
        vectors: Tensor,
        pairs: Pairs,
        generator: torch.Generator | None = None,
        ref_vectors: Tensor | None = None,
    ) -> Pairs:
        """The same cells with the gap set. Raises RequestError where another miner has set one."""
        if self.triplet_range.low is None and self.triplet_range.high is None:
            return pairs
        if pairs.triplet_range is not None:
            raise RequestError(
                f"miner: these triplets have been mined already (gap {pairs.triplet_range.low} to "
                f"{pairs.triplet_range.high} in {pairs.triplet_range.distance}). "
                "Mine the relation's own pairs."
            )
        return replace(pairs, triplet_range=self.triplet_range)
