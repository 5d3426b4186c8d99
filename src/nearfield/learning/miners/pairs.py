"""Miners that clear cells: one pair an anchor, pairs by their distances, drawn pairs."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import normalize

from nearfield.core.types import Distance, Pairs
from nearfield.learning.distances import FAR, PairwiseDistances
from nearfield.learning.miners.base import BaseMinerSettings, Miner

# Miners of one alike and one unlike item for each anchor: the hardest, or another choice.
#
# Hermans et al. 2017 (batch hard); Xuan et al. 2020 (easy alike items).

Choice = Literal["hard", "semihard", "easy", "all"]


class BatchHard(BaseMinerSettings):
    """For each anchor its farthest alike and its nearest unlike item."""

    kind: Literal["batch_hard"] = "batch_hard"
    distance: Distance | None = None
    """What is compared; not given: as the loss."""

    hardest_only: ClassVar[bool] = True

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "ExtremesMiner":
        """The miner; `distance` is the loss's, for where none is given."""
        return ExtremesMiner("hard", "hard", self.distance or distance)


class BatchEasyHard(BaseMinerSettings):
    """For each anchor one alike and one unlike item, each chosen by how hard it is."""

    kind: Literal["batch_easy_hard"] = "batch_easy_hard"
    pos_strategy: Choice = "easy"
    """The alike item: the farthest (hard), the farthest of those nearer than the unlike one (semihard), the
    nearest (easy), or all."""
    neg_strategy: Choice = "semihard"
    """The unlike item: the nearest (hard), the nearest of those farther than the alike one (semihard), the
    farthest (easy), or all."""
    distance: Distance | None = None
    """What is compared; not given: as the loss."""

    @model_validator(mode="after")
    def _one_leads(self) -> Self:
        if self.pos_strategy == self.neg_strategy == "semihard":
            raise ValueError(
                "pos_strategy and neg_strategy cannot both be semihard: each would wait for the other. "
                "Take easy or hard for one of them."
            )
        if {self.pos_strategy, self.neg_strategy} == {"all", "semihard"}:
            raise ValueError(
                "semihard compares with one item, and all keeps many. Take easy or hard for one."
            )
        return self

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "ExtremesMiner":
        """The miner; `distance` is the loss's, for where none is given."""
        return ExtremesMiner(self.pos_strategy, self.neg_strategy, self.distance or distance)


@dataclass(frozen=True)
class ExtremesMiner(Miner):
    """Keeps one alike and one unlike cell an anchor, where it has both; `all` keeps the cells of its side."""

    positive: Choice
    negative: Choice
    distance: Distance

    def mine(
        self,
        vectors: Tensor,
        pairs: Pairs,
        generator: torch.Generator | None = None,
        ref_vectors: Tensor | None = None,
    ) -> Pairs:
        """One pass over the rows."""
        points = PairwiseDistances(vectors, self.distance, ref_vectors)
        positive, negative = pairs.positive.clone(), pairs.negative.clone()
        for part in points.parts():
            self._choose(points.distances(part), positive[part], negative[part])
        return replace(pairs, positive=positive, negative=negative)

    def _choose(self, distances: Tensor, positive: Tensor, negative: Tensor) -> None:
        """Clears cells of a part's `positive` and `negative` (R, B) in place."""
        if self.positive == "semihard":
            last = self._keep_unlike(distances, negative, None)
            self._keep_alike(distances, positive, last)
        else:
            last = self._keep_alike(distances, positive, None)
            self._keep_unlike(distances, negative, last)
        if "all" not in (self.positive, self.negative):
            lacking = ~(positive.any(1) & negative.any(1))
            positive[lacking] = False
            negative[lacking] = False

    def _keep_alike(self, distances: Tensor, positive: Tensor, other: Tensor | None) -> Tensor | None:
        if self.positive == "all":
            return None
        if self.positive == "semihard" and other is not None:
            positive &= distances < other
        return _keep_one(distances, positive, farthest=self.positive != "easy")

    def _keep_unlike(self, distances: Tensor, negative: Tensor, other: Tensor | None) -> Tensor | None:
        if self.negative == "all":
            return None
        if self.negative == "semihard" and other is not None:
            negative &= distances > other
        return _keep_one(distances, negative, farthest=self.negative == "easy")


def _keep_one(distances: Tensor, cells: Tensor, farthest: bool) -> Tensor:
    """Leaves the farthest or nearest of each row's cells; gives its distance (R, 1), FAR for none."""
    hidden = torch.add(distances, ~cells, alpha=-FAR if farthest else FAR)
    found, place = hidden.max(1, keepdim=True) if farthest else hidden.min(1, keepdim=True)
    is_there = cells.gather(1, place)
    cells.zero_().scatter_(1, place, is_there)
    return found


# Miner of pairs by fixed distances: alike ones that are still far, unlike ones that are still near.


class PairMargin(BaseMinerSettings):
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

    def mine(
        self,
        vectors: Tensor,
        pairs: Pairs,
        generator: torch.Generator | None = None,
        ref_vectors: Tensor | None = None,
    ) -> Pairs:
        """One pass over the rows."""
        points = PairwiseDistances(vectors, self.distance, ref_vectors)
        positive, negative = torch.empty_like(pairs.positive), torch.empty_like(pairs.negative)
        for part in points.parts():
            distances = points.distances(part)
            torch.gt(distances, self.pos_margin, out=positive[part])
            torch.lt(distances, self.neg_margin, out=negative[part])
        return pairs.keep(positive, negative)


# Miner of pairs that stand out against the anchor's hardest of the other sort.
#
# Wang et al. 2019, equations 11 and 12.


class MultiSimilarityPairs(BaseMinerSettings):
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

    def mine(
        self,
        vectors: Tensor,
        pairs: Pairs,
        generator: torch.Generator | None = None,
        ref_vectors: Tensor | None = None,
    ) -> Pairs:
        """One pass over the rows."""
        points = PairwiseDistances(vectors, self.distance, ref_vectors)
        positive, negative = torch.empty_like(pairs.positive), torch.empty_like(pairs.negative)
        for part in points.parts():
            distances = points.distances(part)
            nearest = torch.add(distances, ~pairs.negative[part], alpha=FAR).amin(1, keepdim=True)
            farthest = torch.add(distances, ~pairs.positive[part], alpha=-FAR).amax(1, keepdim=True)
            torch.gt(distances + self.epsilon, nearest, out=positive[part])
            torch.lt(distances - self.epsilon, farthest, out=negative[part])
        return pairs.keep(positive, negative)


# Miner that draws unlike items so that all distances come up, not only the commonest.
#
# Wu et al. 2017, section 4. On the unit sphere in D dimensions nearly all distances lie near the square root
# of 2. A draw with the inverse of their density, log q(d) = (D - 2) log d + (D - 3) / 2 log(1 - d^2 / 4),
# evens that out.


class DistanceWeighted(BaseMinerSettings):
    """Unlike items drawn evenly over distances; every alike one stays. For vectors of unit length."""

    kind: Literal["distance_weighted"] = "distance_weighted"
    cutoff: float = Field(0.5, gt=0, lt=2)
    """Nearer items are drawn as if they were at this Euclidean distance: the nearest are noise."""
    farthest: float = Field(1.4, gt=0, le=2)
    """Items at this Euclidean distance or farther are never drawn: they would add no loss."""

    needs_unit_length: ClassVar[bool] = True

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

    def mine(
        self,
        vectors: Tensor,
        pairs: Pairs,
        generator: torch.Generator | None = None,
        ref_vectors: Tensor | None = None,
    ) -> Pairs:
        """One pass over the rows."""
        points = PairwiseDistances(
            _unit(vectors), "euclidean", None if ref_vectors is None else _unit(ref_vectors)
        )
        draws = pairs.positive.sum(1)
        most = int(draws.max()) if len(draws) else 0
        chance = torch.rand(len(draws), most, generator=generator, dtype=torch.float64).to(points.places)
        wanted = torch.arange(most, device=vectors.device) < draws[:, None]
        negative = torch.zeros_like(pairs.negative)
        for part in points.parts():
            edges = self._weights(points.distances(part), pairs.negative[part], vectors.shape[1]).cumsum(1)
            total = edges[:, -1:]
            marks = (chance[part] * total).minimum(total.nextafter(torch.zeros_like(total)))
            place = torch.searchsorted(edges, marks, right=True)
            drawn = wanted[part] & (total > 0)
            rows, slots = drawn.nonzero(as_tuple=True)
            negative[part][rows, place[rows, slots]] = True
        return pairs.keep(negative.any(1, keepdim=True), negative)

    def _weights(self, distances: Tensor, negative: Tensor, dimensions: int) -> Tensor:
        """(R, B) what each cell weighs in the draw; the largest of a row is 1, unless all are 0."""
        near = distances.clamp_min(self.cutoff)
        eligible = negative & (near < self.farthest)
        near = near.clamp_max(1.999)  # keeps the logarithm finite where nothing is drawn anyway
        weights = (2 - dimensions) * near.log() - (dimensions - 3) / 2 * torch.log1p(-near.square() / 4)
        weights = weights.where(eligible, -FAR)
        return (weights - weights.amax(1, keepdim=True)).exp() * eligible


def _unit(vectors: Tensor) -> Tensor:
    return normalize(vectors if vectors.dtype == torch.float64 else vectors.float())
