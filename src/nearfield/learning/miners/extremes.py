"""Miners of one alike and one unlike item for each anchor: the hardest, or another choice.

Hermans et al. 2017 (batch hard); Xuan et al. 2020 (easy alike items).
"""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from nearfield.core.nouns import Distance, Pairs
from nearfield.core.settings import Settings
from nearfield.learning.distances import FAR, Points
from nearfield.learning.miners.base import Miner

Choice = Literal["hard", "semihard", "easy", "all"]


class BatchHard(Settings):
    """For each anchor its farthest alike and its nearest unlike item."""

    kind: Literal["batch_hard"] = "batch_hard"
    distance: Distance | None = None
    """What is compared; not given: as the loss."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "ExtremesMiner":
        """The miner; `distance` is the loss's, for where none is given."""
        return ExtremesMiner("hard", "hard", self.distance or distance)


class BatchEasyHard(Settings):
    """For each anchor one alike and one unlike item, each chosen by how hard it is."""

    kind: Literal["batch_easy_hard"] = "batch_easy_hard"
    alike: Choice = "easy"
    """The alike item: the farthest (hard), the farthest of those nearer than the unlike one (semihard), the
    nearest (easy), or all."""
    unlike: Choice = "semihard"
    """The unlike item: the nearest (hard), the nearest of those farther than the alike one (semihard), the
    farthest (easy), or all."""
    distance: Distance | None = None
    """What is compared; not given: as the loss."""

    @model_validator(mode="after")
    def _one_leads(self) -> Self:
        if self.alike == self.unlike == "semihard":
            raise ValueError(
                "alike and unlike cannot both be semihard: each would wait for the other. "
                "Take easy or hard for one of them."
            )
        if {self.alike, self.unlike} == {"all", "semihard"}:
            raise ValueError(
                "semihard compares with one item, and all keeps many. Take easy or hard for one."
            )
        return self

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "ExtremesMiner":
        """The miner; `distance` is the loss's, for where none is given."""
        return ExtremesMiner(self.alike, self.unlike, self.distance or distance)


@dataclass(frozen=True)
class ExtremesMiner(Miner):
    """Keeps one alike and one unlike cell an anchor, where it has both; `all` keeps the cells of its side."""

    alike: Choice
    unlike: Choice
    distance: Distance

    def mine(self, vectors: Tensor, pairs: Pairs, generator: torch.Generator | None) -> Pairs:
        """One pass over the rows."""
        points = Points(vectors, self.distance)
        alike, unlike = pairs.alike.clone(), pairs.unlike.clone()
        for part in points.parts():
            self._choose(points.distances(part), alike[part], unlike[part])
        return replace(pairs, alike=alike, unlike=unlike)

    def _choose(self, distances: Tensor, alike: Tensor, unlike: Tensor) -> None:
        """Clears cells of a part's `alike` and `unlike` (R, B) in place."""
        if self.alike == "semihard":
            last = self._keep_unlike(distances, unlike, None)
            self._keep_alike(distances, alike, last)
        else:
            last = self._keep_alike(distances, alike, None)
            self._keep_unlike(distances, unlike, last)
        if "all" not in (self.alike, self.unlike):
            lacking = ~(alike.any(1) & unlike.any(1))
            alike[lacking] = False
            unlike[lacking] = False

    def _keep_alike(self, distances: Tensor, alike: Tensor, other: Tensor | None) -> Tensor | None:
        if self.alike == "all":
            return None
        if self.alike == "semihard" and other is not None:
            alike &= distances < other
        return _keep_one(distances, alike, farthest=self.alike != "easy")

    def _keep_unlike(self, distances: Tensor, unlike: Tensor, other: Tensor | None) -> Tensor | None:
        if self.unlike == "all":
            return None
        if self.unlike == "semihard" and other is not None:
            unlike &= distances > other
        return _keep_one(distances, unlike, farthest=self.unlike == "easy")


def _keep_one(distances: Tensor, cells: Tensor, farthest: bool) -> Tensor:
    """Leaves the farthest or nearest of each row's cells; gives its distance (R, 1), FAR for none."""
    hidden = torch.add(distances, ~cells, alpha=-FAR if farthest else FAR)
    found, place = hidden.max(1, keepdim=True) if farthest else hidden.min(1, keepdim=True)
    is_there = cells.gather(1, place)
    cells.zero_().scatter_(1, place, is_there)
    return found
