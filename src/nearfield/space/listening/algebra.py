"""Arithmetic with centroids of labels and tags, beside chance."""

import csv
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.geometry import centroids
from nearfield.metrics.neighbors import unit
from nearfield.space.listening.library import ClipLibrary

# Arithmetic with the centroids of labels: which label lies where A - B and A + B point, beside chance.
#
# A and B themselves are never an answer. Vectors are directions: centroids are spherical means, and the
# answer is the label at the smallest angle. It is asked whether an answer was expected, where somebody said
# beforehand what to expect, and whether it is the same when worked out from another half of the clips: an
# answer that is not has been drawn by lot.

Formula = tuple[int, int, int]
"""A, +1 or -1, B."""


@dataclass(frozen=True)
class AlgebraAnswer:
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

    answers: tuple[AlgebraAnswer, ...]
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
        AlgebraAnswer(
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


# Arithmetic with the centroids of tags: do the clips at A + B carry both, and those at A - B A without B?
#
# It needs nobody's opinion, for the clips' own tags say what is right. The centroid of a tag is the spherical
# mean of its clips, after the mean of all clips is taken off, so that what all sounds share does not answer.


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


# Arithmetic with the centroids of labels and of tags, as a table beside chance.

LEAST = 3
"""Labels, or two tags, below which there is no arithmetic."""


@dataclass(frozen=True)
class Arithmetic:
    """What was found; None where there are too few labels, or tags."""

    labels: LabelAlgebra | None
    tags: TagAlgebra | None

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return {
            "labels": None if self.labels is None else _plain_labels(self.labels),
            "tags": None if self.tags is None else _plain_tags(self.tags),
        }


def arithmetic(library: ClipLibrary, expected: Path | None = None, nearest: int = 5) -> Arithmetic:
    """A - B and A + B of all labels, and of all tags.

    `expected`: a CSV with the columns `formula` ("rain - wind") and `labels` (`|` between them), written down
    before looking: which labels would be right. Raises RequestError where there are neither three labels nor
    two tags, or the file is not understood.
    """
    asked = read_expected(expected) if expected is not None else {}
    labels = tags = None
    if len(library.label_names) >= LEAST:
        labels = label_algebra(library.vectors, library.labels, library.label_names, asked)
    elif asked:
        raise RequestError(f"--expected: {library.name} has fewer than {LEAST} labels to calculate with.")
    if len(library.tag_names) >= 2:
        tags = tag_algebra(library.vectors, library.tags, nearest)
    if labels is None and tags is None:
        raise RequestError(
            f"{library.name} has neither three labels nor two tags: nothing to calculate with."
        )
    return Arithmetic(labels, tags)


def read_expected(path: Path) -> dict[str, list[str]]:
    """Formulas to the labels that would be right. Raises RequestError where the file is not such a table."""
    if not path.is_file():
        raise RequestError(f"--expected: there is no file {path}.")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"formula", "labels"} <= rows[0].keys():
        raise RequestError(f"--expected: {path} needs the columns formula and labels, and a row at least.")
    return {row["formula"].strip(): [name.strip() for name in row["labels"].split("|")] for row in rows}


def _plain_labels(found: LabelAlgebra) -> dict[str, Any]:
    plain = asdict(found)
    for answer in plain["answers"]:
        if answer["lead"] == float("inf"):  # with three labels there is no other answer
            answer["lead"] = None
    return plain


def _plain_tags(found: TagAlgebra) -> dict[str, Any]:
    """A rate is not a number where no sum, or no difference, could be asked."""
    return {name: None if np.isnan(value) else value for name, value in asdict(found).items()}
