"""Arithmetic with the centroids of labels: which label lies where A - B and A + B point, beside chance.

A and B themselves are never an answer. Vectors are directions: centroids are spherical means, and the answer
is the label at the smallest angle. It is asked whether an answer was expected, where somebody said beforehand
what to expect, and whether it is the same when worked out from another half of the clips: an answer that is
not has been drawn by lot.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Bools, Floats, Ints, Vectors
from nearfield.core.seeds import stream
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.geometry import centroids
from nearfield.evaluation.neighbours import unit

Formula = tuple[int, int, int]
"""A, +1 or -1, B."""


@dataclass(frozen=True)
class Answer:
    """One sum or difference of two labels."""

    formula: str
    """"A - B" or "A + B", by name."""
    nearest: str
    """The nearest of the other labels."""
    angle: float
    """To its centroid, in radians."""
    lead: float
    """How much farther the next label is, in radians; inf where there is none."""
    stable: bool | None
    """Whether two halves of the clips give the same answer; None where a label has one clip."""
    expected: bool | None
    """Whether the answer was expected; None where nobody said."""


@dataclass(frozen=True)
class LabelAlgebra:
    """Every sum and difference of the labels of a space."""

    answers: tuple[Answer, ...]
    stable_share: float | None
    """Share of answers that both halves of the clips give."""
    stable_chance: float
    """The same for answers drawn by lot: one over the labels that are not A or B."""
    hit_rate: float | None
    """Share of the answers asked about that were expected."""
    hit_chance: float | None
    """The mean share when the names of the labels are shuffled."""
    p: float | None
    """How often shuffled names hit as often or oftener."""


def label_algebra(
    vectors: Vectors,
    labels: Ints,
    names: tuple[str, ...],
    expected: Mapping[str, Collection[str]] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> LabelAlgebra:
    """All A - B and A + B of the labels of `vectors` (N, D); `labels` (N,), -1 not known.

    `expected`: formulas ("rain - wind", "rain + wind") to the labels that would be right. Raises
    RequestError below three labels, or where `expected` holds what is no formula of them.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), labels=labels)
    whole = centroids(vectors, labels, names, spherical=True)
    if len(whole.names) < 3:
        raise RequestError(f"algebra: three labels or more are needed; given: {len(whole.names)}.")
    formulas = formulas_of(len(whole.names))
    asked = _asked(expected or {}, formulas, whole.names)
    angles, order = _answers(whole.vectors, formulas)
    halves = _halves(vectors, labels, names, formulas, seed)
    answers = tuple(
        Answer(
            formula=_named(formula, whole.names),
            nearest=whole.names[order[place, 0]],
            angle=float(angles[place, order[place, 0]]),
            lead=float(angles[place, order[place, 1]] - angles[place, order[place, 0]]),
            stable=None if halves is None else bool(halves[0][place] == halves[1][place]),
            expected=bool(asked[place, order[place, 0]]) if asked[place].any() else None,
        )
        for place, formula in enumerate(formulas)
    )
    stable = None if halves is None else float((halves[0] == halves[1]).mean())
    rate, chance, p = _hits(whole.vectors, formulas, asked, draws, seed)
    return LabelAlgebra(answers, stable, 1 / (len(whole.names) - 2), rate, chance, p)


def formulas_of(count: int) -> list[Formula]:
    """Every ordered difference and every unordered sum."""
    differences = [(a, -1, b) for a, b in permutations(range(count), 2)]
    return differences + [(a, 1, b) for a, b in combinations(range(count), 2)]


def _named(formula: Formula, names: tuple[str, ...]) -> str:
    a, sign, b = formula
    return f"{names[a]} {'+' if sign > 0 else '-'} {names[b]}"


def _answers(centres: Floats, formulas: list[Formula]) -> tuple[Floats, Ints]:
    """(F, C) angles to every centroid, inf to A and B, and the order of the labels by them."""
    a, sign, b = (np.array(part) for part in zip(*formulas, strict=True))
    points = unit(centres[a] + sign[:, None] * centres[b])
    angles = np.arccos(np.clip(points @ centres.T, -1, 1))
    every = np.arange(len(formulas))
    angles[every, a] = angles[every, b] = np.inf
    return angles, np.argsort(angles, axis=1, kind="stable")


def _halves(
    vectors: Vectors, labels: Ints, names: tuple[str, ...], formulas: list[Formula], seed: int
) -> tuple[Ints, Ints] | None:
    """The answers of either half of every label's clips; None where a label has one clip only."""
    chance, first = stream(seed, "halves of labels"), np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels[labels >= 0]).tolist():
        rows = chance.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            return None
        first[rows[: len(rows) // 2]] = True
    sides = (np.where(first, labels, -1), np.where(first, -1, labels))
    found = [_answers(centroids(vectors, side, names, True).vectors, formulas)[1][:, 0] for side in sides]
    return found[0], found[1]


def _asked(expected: Mapping[str, Collection[str]], formulas: list[Formula], names: tuple[str, ...]) -> Bools:
    """(F, C) which labels are right answers."""
    # A sum reads the same from either side.
    place = {_named((b, sign, a), names): f for f, (a, sign, b) in enumerate(formulas) if sign > 0}
    place |= {_named(formula, names): f for f, formula in enumerate(formulas)}
    right = np.zeros((len(formulas), len(names)), dtype=bool)
    for formula, labels in expected.items():
        unknown = [label for label in labels if label not in names]
        if formula not in place or unknown:
            given = formula if formula not in place else unknown[0]
            raise RequestError(f"algebra: {given!r} is no formula or label here. Labels: {', '.join(names)}.")
        right[place[formula], [names.index(label) for label in labels]] = True
    return right


def _hits(
    centres: Floats, formulas: list[Formula], right: Bools, draws: int, seed: int
) -> tuple[float | None, float | None, float | None]:
    """Rate of expected answers, its mean under shuffled names, and how often shuffling does as well."""
    asked = np.flatnonzero(right.any(axis=1))
    if not len(asked):
        return None, None, None
    chosen = [formulas[place] for place in asked]

    def rate(given: Floats) -> float:
        best = _answers(given, chosen)[1][:, 0]
        return float(right[asked, best].mean())

    observed, chance = rate(centres), stream(seed, "shuffled names")
    shuffled = np.array([rate(chance.permutation(centres)) for _ in range(draws)])
    return observed, float(shuffled.mean()), float((1 + (shuffled >= observed).sum()) / (1 + draws))
