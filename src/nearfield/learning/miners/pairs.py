"""Miners that clear cells of `Pairs`: one pair per anchor, pairs by distance, random pairs."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import normalize

from nearfield.core.types import Distance, Pairs
from nearfield.learning.distances import FAR, PairwiseDistances
from nearfield.learning.miners.base import BaseMinerSettings, Miner

# Miners of one positive and one negative for each anchor: the hardest, or another choice.
#
# Hermans et al. 2017 (batch hard); Xuan et al. 2020 (easy positives).

Choice = Literal["hard", "semihard", "easy", "all"]


class BatchHard(BaseMinerSettings):
    """Batch hard: the farthest positive and the nearest negative of each anchor."""

    kind: Literal["batch_hard"] = "batch_hard"
    distance: Distance | None = None
    """Distance of two embeddings; none: the distance of the loss."""

    hardest_only: ClassVar[bool] = True

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "ExtremesMiner":
        """Creates the miner; `distance` is that of the loss, used if none is given."""
        return ExtremesMiner("hard", "hard", self.distance or distance)


class BatchEasyHard(BaseMinerSettings):
    """One positive and one negative of each anchor, each selected by its distance."""

    kind: Literal["batch_easy_hard"] = "batch_easy_hard"
    pos_strategy: Choice = "easy"
    """The positive: the farthest (hard), the farthest that is nearer than the negative (semihard), the
    nearest
    (easy), or all."""
    neg_strategy: Choice = "semihard"
    """The negative: the nearest (hard), the nearest that is farther than the positive (semihard), the
    farthest
    (easy), or all."""
    distance: Distance | None = None
    """Distance of two embeddings; none: the distance of the loss."""

    @model_validator(mode="after")
    def _one_leads(self) -> Self:
        if self.pos_strategy == self.neg_strategy == "semihard":
            raise ValueError(
                "pos_strategy and neg_strategy cannot both be semihard, because each depends on the other. "
                "Set one of them to easy or hard."
            )
        if {self.pos_strategy, self.neg_strategy} == {"all", "semihard"}:
            raise ValueError(
                "semihard compares with one item, but all keeps many. Set one of them to easy or hard."
            )
        return self

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "ExtremesMiner":
        """Creates the miner; `distance` is that of the loss, used if none is given."""
        return ExtremesMiner(self.pos_strategy, self.neg_strategy, self.distance or distance)


@dataclass(frozen=True)
class ExtremesMiner(Miner):
    """Keeps one positive and one negative of each anchor that has both; `all` keeps all of them."""

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
        """Selects pairs in one pass over the rows."""
        points = PairwiseDistances(vectors, self.distance, ref_vectors)
        positive, negative = pairs.positive.clone(), pairs.negative.clone()
        for part in points.parts():
            self._choose(points.distances(part), positive[part], negative[part])
        return replace(pairs, positive=positive, negative=negative)

    def _choose(self, distances: Tensor, positive: Tensor, negative: Tensor) -> None:
        """Clears cells of the (R, B) masks `positive` and `negative` in place."""
        if self.positive == "semihard":
            last = self._keep_negative(distances, negative, None)
            self._keep_positive(distances, positive, last)
        else:
            last = self._keep_positive(distances, positive, None)
            self._keep_negative(distances, negative, last)
        if "all" not in (self.positive, self.negative):
            lacking = ~(positive.any(1) & negative.any(1))
            positive[lacking] = False
            negative[lacking] = False

    def _keep_positive(self, distances: Tensor, positive: Tensor, other: Tensor | None) -> Tensor | None:
        if self.positive == "all":
            return None
        if self.positive == "semihard" and other is not None:
            positive &= distances < other
        return _keep_one(distances, positive, farthest=self.positive != "easy")

    def _keep_negative(self, distances: Tensor, negative: Tensor, other: Tensor | None) -> Tensor | None:
        if self.negative == "all":
            return None
        if self.negative == "semihard" and other is not None:
            negative &= distances > other
        return _keep_one(distances, negative, farthest=self.negative == "easy")


def _keep_one(distances: Tensor, cells: Tensor, farthest: bool) -> Tensor:
    """Keeps only the farthest or nearest cell of each row; returns its distance (R, 1), FAR or -FAR for
    none."""
    hidden = torch.add(distances, ~cells, alpha=-FAR if farthest else FAR)
    found, place = hidden.max(1, keepdim=True) if farthest else hidden.min(1, keepdim=True)
    is_there = cells.gather(1, place)
    cells.zero_().scatter_(1, place, is_there)
    return found


# Miner of pairs by fixed distances: distant positives and near negatives.


class PairMargin(BaseMinerSettings):
    """Positives above one distance and negatives below another."""

    kind: Literal["pair_margin"] = "pair_margin"
    pos_margin: float = Field(0.2, ge=0)
    """Distance above which positives are kept; 0 or more."""
    neg_margin: float = Field(0.8, gt=0)
    """Distance below which negatives are kept; above 0."""
    distance: Distance | None = None
    """Distance of two embeddings; none: the distance of the loss."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "PairMarginMiner":
        """Creates the miner; `distance` is that of the loss, used if none is given."""
        return PairMarginMiner(self.pos_margin, self.neg_margin, self.distance or distance)


@dataclass(frozen=True)
class PairMarginMiner(Miner):
    """Keeps positives with d > pos_margin and negatives with d < neg_margin."""

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
        """Selects pairs in one pass over the rows."""
        points = PairwiseDistances(vectors, self.distance, ref_vectors)
        positive, negative = torch.empty_like(pairs.positive), torch.empty_like(pairs.negative)
        for part in points.parts():
            distances = points.distances(part)
            torch.gt(distances, self.pos_margin, out=positive[part])
            torch.lt(distances, self.neg_margin, out=negative[part])
        return pairs.keep(positive, negative)


# Miner of pairs by comparison with the hardest negative or positive of the anchor.
#
# Wang et al. 2019, equations 11 and 12.


class MultiSimilarityPairs(BaseMinerSettings):
    """Positives that are not nearer than the nearest negative by more than epsilon, and negatives that are
    not farther than the farthest positive by more than epsilon."""

    kind: Literal["multi_similarity"] = "multi_similarity"
    epsilon: float = Field(0.1, ge=0)
    """Tolerance in units of the distance; 0 or more. Larger keeps more pairs."""
    distance: Distance = "cosine"
    """Distance of two embeddings; the epsilon of the paper is in cosines."""

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "MultiSimilarityMiner":
        """Creates the miner; it uses neither `distance` nor `margin` of the loss."""
        return MultiSimilarityMiner(self.epsilon, self.distance)


@dataclass(frozen=True)
class MultiSimilarityMiner(Miner):
    """Keeps positives with d + epsilon > the smallest d of negatives, and negatives with d - epsilon < the
    largest d of positives of the anchor.

    Anchors without a positive or without a negative keep nothing.
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
        """Selects pairs in one pass over the rows."""
        points = PairwiseDistances(vectors, self.distance, ref_vectors)
        positive, negative = torch.empty_like(pairs.positive), torch.empty_like(pairs.negative)
        for part in points.parts():
            distances = points.distances(part)
            nearest = torch.add(distances, ~pairs.negative[part], alpha=FAR).amin(1, keepdim=True)
            farthest = torch.add(distances, ~pairs.positive[part], alpha=-FAR).amax(1, keepdim=True)
            torch.gt(distances + self.epsilon, nearest, out=positive[part])
            torch.lt(distances - self.epsilon, farthest, out=negative[part])
        return pairs.keep(positive, negative)


# Miner that draws negatives uniformly over distances.
#
# Wu et al. 2017, section 4. On the unit sphere in D dimensions, nearly all distances are close to the square
# root
# of 2. Drawing with the inverse of their density q, log q(d) = (D - 2) log d + (D - 3) / 2 log(1 - d^2 / 4),
# makes all distances equally likely.


class DistanceWeighted(BaseMinerSettings):
    """Negatives drawn at random, uniformly over distances; all positives are kept. Requires vectors of unit
    length."""

    kind: Literal["distance_weighted"] = "distance_weighted"
    cutoff: float = Field(0.5, gt=0, lt=2)
    """Negatives below this Euclidean distance are drawn as if they were at it, because the nearest are noisy;
    between 0 and 2."""
    farthest: float = Field(1.4, gt=0, le=2)
    """Negatives at this Euclidean distance or more are never drawn, because their loss is 0; at most 2."""

    needs_unit_length: ClassVar[bool] = True

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.cutoff >= self.farthest:
            raise ValueError(
                f"cutoff must be smaller than farthest, otherwise nothing can be drawn. "
                f"Given: {self.cutoff:g} and {self.farthest:g}."
            )
        return self

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "DistanceWeightedMiner":
        """Creates the miner; it uses neither `distance` nor `margin` of the loss."""
        return DistanceWeightedMiner(self.cutoff, self.farthest)


@dataclass(frozen=True)
class DistanceWeightedMiner(Miner):
    """Draws for each anchor as many negatives as it has positives, with replacement.

    An anchor without eligible negatives keeps no pairs. The result depends on the generator and on the batch,
    but not on the size of blocks.
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
        """Selects pairs in one pass over the rows."""
        points = PairwiseDistances(
            _unit(vectors), "euclidean", None if ref_vectors is None else _unit(ref_vectors)
        )
        draws = pairs.positive.sum(1)
        most = int(draws.max()) if len(draws) else 0
        uniform = torch.rand(len(draws), most, generator=generator, dtype=torch.float64).to(points.places)
        wanted = torch.arange(most, device=vectors.device) < draws[:, None]
        negative = torch.zeros_like(pairs.negative)
        for part in points.parts():
            edges = self._weights(points.distances(part), pairs.negative[part], vectors.shape[1]).cumsum(1)
            total = edges[:, -1:]
            marks = (uniform[part] * total).minimum(total.nextafter(torch.zeros_like(total)))
            place = torch.searchsorted(edges, marks, right=True)
            drawn = wanted[part] & (total > 0)
            rows, slots = drawn.nonzero(as_tuple=True)
            negative[part][rows, place[rows, slots]] = True
        return pairs.keep(negative.any(1, keepdim=True), negative)

    def _weights(self, distances: Tensor, negative: Tensor, dimensions: int) -> Tensor:
        """Computes (R, B) weights of the draw; the largest of a row is 1, unless all are 0."""
        near = distances.clamp_min(self.cutoff)
        eligible = negative & (near < self.farthest)
        near = near.clamp_max(1.999)  # keeps the logarithm finite
        weights = (2 - dimensions) * near.log() - (dimensions - 3) / 2 * torch.log1p(-near.square() / 4)
        weights = weights.where(eligible, -FAR)
        return (weights - weights.amax(1, keepdim=True)).exp() * eligible


def _unit(vectors: Tensor) -> Tensor:
    return normalize(vectors if vectors.dtype == torch.float64 else vectors.float())
