"""Miner of pairs that stand out against the anchor's hardest of the other sort.

Wang et al. 2019, equations 11 and 12.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.nouns import Distance, Pairs
from nearfield.core.settings import Settings
from nearfield.learning.distances import FAR, Points
from nearfield.learning.miners.base import Miner


class MultiSimilarity(Settings):
    """Alike pairs not clearly nearer than the nearest unlike one, and unlike ones the other way round."""

    kind: Literal["multi_similarity"] = "multi_similarity"
    epsilon: float = Field(0.1, ge=0)
    """What counts as clearly, in the units of the distance."""
    distance: Distance = "cosine"
    """What is compared; the paper's epsilon is in cosines."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "MultiSimilarityMiner":
        """The miner; it takes nothing over from the loss."""
        return MultiSimilarityMiner(self.epsilon, self.distance)


@dataclass(frozen=True)
class MultiSimilarityMiner(Miner):
    """Keeps alike cells with d + epsilon > the row's least unlike d, unlike ones with d - epsilon < its
    greatest alike d.

    Anchors that lack one of the two sorts keep nothing.
    """

    epsilon: float
    distance: Distance

    def mine(self, vectors: Tensor, pairs: Pairs, generator: torch.Generator | None) -> Pairs:
        """One pass over the rows."""
        points = Points(vectors, self.distance)
        alike, unlike = torch.empty_like(pairs.alike), torch.empty_like(pairs.unlike)
        for part in points.parts():
            distances = points.distances(part)
            nearest = torch.add(distances, ~pairs.unlike[part], alpha=FAR).amin(1, keepdim=True)
            farthest = torch.add(distances, ~pairs.alike[part], alpha=-FAR).amax(1, keepdim=True)
            torch.gt(distances + self.epsilon, nearest, out=alike[part])
            torch.lt(distances - self.epsilon, farthest, out=unlike[part])
        return pairs.keep(alike, unlike)
