"""Miner that draws unlike items so that all distances come up, not only the commonest.

Wu et al. 2017, section 4. On the unit sphere in D dimensions nearly all distances lie near the square root
of 2. A draw with the inverse of their density, log q(d) = (D - 2) log d + (D - 3) / 2 log(1 - d^2 / 4),
evens that out.
"""

from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import normalize

from nearfield.core.nouns import Distance, Pairs
from nearfield.core.settings import Settings
from nearfield.learning.distances import FAR, Points
from nearfield.learning.miners.base import Miner


class DistanceWeighted(Settings):
    """Unlike items drawn evenly over distances; every alike one stays. For vectors of unit length."""

    kind: Literal["distance_weighted"] = "distance_weighted"
    cutoff: float = Field(0.5, gt=0, lt=2)
    """Nearer items are drawn as if they were at this Euclidean distance: the nearest are noise."""
    farthest: float = Field(1.4, gt=0, le=2)
    """Items at this Euclidean distance or farther are never drawn: they would add no loss."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.cutoff >= self.farthest:
            raise ValueError(
                f"cutoff must be smaller than farthest, or nothing is ever drawn. "
                f"Given: {self.cutoff:g} and {self.farthest:g}."
            )
        return self

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "DistanceWeightedMiner":
        """The miner; it takes nothing over from the loss."""
        return DistanceWeightedMiner(self.cutoff, self.farthest)


@dataclass(frozen=True)
class DistanceWeightedMiner(Miner):
    """Draws for each anchor as many unlike items as it has alike ones, with repetition.

    An anchor with nothing to draw from keeps no cell. What is drawn depends on the generator and on the whole
    batch, not on how the work is cut up.
    """

    cutoff: float
    farthest: float

    def mine(self, vectors: Tensor, pairs: Pairs, generator: torch.Generator | None) -> Pairs:
        """One pass over the rows."""
        points = Points(
            normalize(vectors if vectors.dtype == torch.float64 else vectors.float()), "euclidean"
        )
        draws = pairs.alike.sum(1)
        most = int(draws.max()) if len(draws) else 0
        chance = torch.rand(len(draws), most, generator=generator, dtype=torch.float64).to(points.places)
        wanted = torch.arange(most, device=vectors.device) < draws[:, None]
        unlike = torch.zeros_like(pairs.unlike)
        for part in points.parts():
            edges = self._weights(points.distances(part), pairs.unlike[part], vectors.shape[1]).cumsum(1)
            total = edges[:, -1:]
            marks = (chance[part] * total).minimum(total.nextafter(torch.zeros_like(total)))
            place = torch.searchsorted(edges, marks, right=True)
            drawn = wanted[part] & (total > 0)
            rows, slots = drawn.nonzero(as_tuple=True)
            unlike[part][rows, place[rows, slots]] = True
        return pairs.keep(unlike.any(1, keepdim=True), unlike)

    def _weights(self, distances: Tensor, unlike: Tensor, dimensions: int) -> Tensor:
        """(R, B) what each cell weighs in the draw; the largest of a row is 1, unless all are 0."""
        near = distances.clamp_min(self.cutoff)
        eligible = unlike & (near < self.farthest)
        near = near.clamp_max(1.999)  # keeps the logarithm finite where nothing is drawn anyway
        weights = (2 - dimensions) * near.log() - (dimensions - 3) / 2 * torch.log1p(-near.square() / 4)
        weights = weights.where(eligible, -FAR)
        return (weights - weights.amax(1, keepdim=True)).exp() * eligible
