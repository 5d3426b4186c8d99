"""Miners of triplets by d(a, n) - d(a, p): hard, semi-hard, easy, or all that violate a margin."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.miners.base import BaseMinerSettings, Miner

# The gap of a triplet is d(a, n) - d(a, p). A triplet is easy if the gap exceeds the margin, semi-hard if it
# is
# above 0 and at most the margin, and hard if it is 0 or less (Schroff et al. 2015). The miner computes no
# distances and clears no cells: it sets `triplet_range`, which the loss applies to the distances that it
# computes anyway.


class GapSettings(BaseMinerSettings):
    """Base of the settings of miners that set a triplet range."""

    @abstractmethod
    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """Returns the range; `distance` and `margin` are those of the loss, used if none is given."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "GapMiner":
        """Creates the miner; `distance` and `margin` are those of the loss, used if none is given."""
        return GapMiner(self.triplet_range(distance, margin))


class All(GapSettings):
    """All triplets and pairs; with a margin, all triplets that violate it."""

    kind: Literal["all"] = "all"
    margin: float | None = Field(None, gt=0)
    """Largest gap d(a, n) - d(a, p) of triplets, in units of the distance; none: no limit."""
    distance: Distance | None = None
    """Distance of the gap; none: the distance of the loss."""

    @property
    def keeps_all(self) -> bool:
        """Whether it has no margin."""
        return self.margin is None

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """Returns the range; `distance` is that of the loss, used if none is given; `margin` is ignored."""
        return TripletRange(None, self.margin, self.distance or distance)


class Hard(GapSettings):
    """Hard triplets: the negative is not farther from the anchor than the positive."""

    kind: Literal["hard"] = "hard"
    distance: Distance | None = None
    """Distance of the gap; none: the distance of the loss."""

    hardest_only: ClassVar[bool] = True

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """The gap kept; `distance` is the loss's, for where none is given."""
        return TripletRange(None, 0.0, self.distance or distance)


class Semihard(GapSettings):
    """Triplets in the right order that still violate the margin."""

    kind: Literal["semihard"] = "semihard"
    margin: float | None = Field(None, gt=0)
    """Gaps d(a, n) - d(a, p) above 0 and up to this are kept, in units of the distance; none: the margin of
    the
    loss."""
    distance: Distance | None = None
    """Distance of the gap; none: the distance of the loss."""

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """Returns the range; `distance` and `margin` are those of the loss, used if none is given."""
        return TripletRange(0.0, self.margin or margin, self.distance or distance)


class Easy(GapSettings):
    """Easy triplets: they satisfy the margin. For comparison only, because most losses learn nothing from
    them."""

    kind: Literal["easy"] = "easy"
    margin: float | None = Field(None, gt=0)
    """Gaps d(a, n) - d(a, p) above this are kept, in units of the distance; none: the margin of the loss."""
    distance: Distance | None = None
    """Distance of the gap; none: the distance of the loss."""

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange:
        """Returns the range; `distance` and `margin` are those of the loss, used if none is given."""
        return TripletRange(self.margin or margin, None, self.distance or distance)


@dataclass(frozen=True)
class GapMiner(Miner):
    """Keeps triplets with `triplet_range.low < d(a, n) - d(a, p) <= triplet_range.high`; None: no bound."""

    triplet_range: TripletRange

    def mine(
        self,
        vectors: Tensor,
        pairs: Pairs,
        generator: torch.Generator | None = None,
        ref_vectors: Tensor | None = None,
    ) -> Pairs:
        """Returns the same pairs with the range set. Raises RequestError if another miner has set one."""
        if self.triplet_range.low is None and self.triplet_range.high is None:
            return pairs
        if pairs.triplet_range is not None:
            raise RequestError(
                f"miner: these pairs have a triplet range already ({pairs.triplet_range.low} to "
                f"{pairs.triplet_range.high} in {pairs.triplet_range.distance}). "
                "Pass the pairs of the relation."
            )
        return replace(pairs, triplet_range=self.triplet_range)
