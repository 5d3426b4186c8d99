"""Arithmetic with the centroids of tags: do the clips at A + B carry both, and those at A - B A without B?

It needs nobody's opinion, for the clips' own tags say what is right. The centroid of a tag is the spherical
mean of its clips, after the mean of all clips is taken off, so that what all sounds share does not answer.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Bools, Floats, Vectors
from nearfield.core.seeds import stream
from nearfield.evaluation.algebra import Formula, formulas_of
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.neighbours import unit


@dataclass(frozen=True)
class TagAlgebra:
    """How often the clips at a sum or difference of two tags carry what it says."""

    pairs: int
    """Formulas that could be asked: some clip carries what they say."""
    sum_rate: float
    """Share of the clips nearest to A + B that carry both."""
    sum_chance: float
    """Share of all clips that do."""
    difference_rate: float
    """Share of the clips nearest to A - B that carry A and not B."""
    difference_chance: float
    p: float
    """How often both rates together were reached with clips at shuffled vectors."""


def tag_algebra(
    vectors: Vectors, tags: Bools, nearest: int = 5, draws: int = 200, seed: int = 0
) -> TagAlgebra:
    """Sums and differences of the centroids of tags: `vectors` (N, D), `tags` (N, K).

    A formula is asked where `nearest` clips carry what it says. Raises RequestError where none can be.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), tags=tags)
    space = unit(vectors.astype(np.float64))
    space = unit(space - space.mean(axis=0))
    formulas = [formula for formula in formulas_of(tags.shape[1]) if _carry(tags, formula).sum() >= nearest]
    if not formulas:
        raise RequestError(
            f"algebra: no two tags are on {nearest} clips together or apart. Ask for fewer nearest clips."
        )
    right = np.stack([_carry(tags, formula) for formula in formulas], axis=1)
    sums = np.array([sign > 0 for _, sign, _ in formulas])
    observed = _carried(space, tags, formulas, right, nearest)
    chance = stream(seed, "tag algebra")
    both = observed.mean()
    shuffled = [
        _carried(chance.permutation(space), tags, formulas, right, nearest).mean() for _ in range(draws)
    ]
    shares = right.mean(axis=0)

    def mean(values: Floats, which: Bools) -> float:
        return float(values[which].mean()) if which.any() else float("nan")

    return TagAlgebra(
        pairs=len(formulas),
        sum_rate=mean(observed, sums),
        sum_chance=mean(shares, sums),
        difference_rate=mean(observed, ~sums),
        difference_chance=mean(shares, ~sums),
        p=(1 + sum(value >= both for value in shuffled)) / (1 + draws),
    )


def _carry(tags: Bools, formula: Formula) -> Bools:
    """(N,) the clips that carry what a formula says."""
    a, sign, b = formula
    return np.asarray(tags[:, a] & (tags[:, b] if sign > 0 else ~tags[:, b]))


def _carried(space: Floats, tags: Bools, formulas: list[Formula], right: Bools, nearest: int) -> Floats:
    """(F,) share of the clips nearest to each formula's point that carry what it says."""
    counts = np.maximum(tags.sum(axis=0), 1)
    centres = unit((tags.T.astype(np.float64) @ space) / counts[:, None])
    a, sign, b = (np.array(part) for part in zip(*formulas, strict=True))
    likeness = space @ unit(centres[a] + sign[:, None] * centres[b]).T
    best = np.argsort(-likeness, axis=0, kind="stable")[:nearest]
    return np.asarray(np.take_along_axis(right, best, axis=0).mean(axis=0))
