"""Miner of pairs by fixed distances: alike ones that are still far, unlike ones that are still near."""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.nouns import Distance, Pairs
from nearfield.core.settings import Settings
from nearfield.learning.distances import Points
from nearfield.learning.miners.base import Miner


class PairMargin(Settings):
    """Alike pairs farther than one distance, unlike pairs nearer than another."""

    kind: Literal["pair_margin"] = "pair_margin"
    pos_margin: float = Field(0.2, ge=0)
    """Alike pairs farther than this are kept, in the units of the distance."""
    neg_margin: float = Field(0.8, gt=0)
    """Unlike pairs nearer than this are kept, in the units of the distance."""
    distance: Distance | None = None
    """What is compared; not given: as the loss."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "PairMarginMiner":
        """The miner; `distance` is the loss's, for where none is given."""
        return PairMarginMiner(self.pos_margin, self.neg_margin, self.distance or distance)


@dataclass(frozen=True)
class PairMarginMiner(Miner):
    """Keeps alike cells with d > pos_margin and unlike ones with d < neg_margin."""

    pos_margin: float
    neg_margin: float
    distance: Distance

    def mine(self, vectors: Tensor, pairs: Pairs, generator: torch.Generator | None) -> Pairs:
        """One pass over the rows."""
        points = Points(vectors, self.distance)
        alike, unlike = torch.empty_like(pairs.alike), torch.empty_like(pairs.unlike)
        for part in points.parts():
            distances = points.distances(part)
            torch.gt(distances, self.pos_margin, out=alike[part])
            torch.lt(distances, self.neg_margin, out=unlike[part])
        return pairs.keep(alike, unlike)
