"""Arithmetic with the centroids of labels and tags, compared with chance."""

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

# Arithmetic with the centroids of labels: the nearest label to A - B and A + B, compared with chance.
#
# A and B themselves are excluded. Centroids are spherical means, and the answer is the label at the smallest
# angle. Two checks: whether the answer is among the expected labels, if these were written down beforehand,
# and whether two disjoint halves of the clips give the same answer; if not, the answer is random.

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
    """How much farther the next label is, in radians; inf if there is none."""
    stable: bool | None
    """Whether two halves of the clips give the same answer; None if a label has only one clip."""
    expected: bool | None
    """Whether the answer was expected; None without expected labels."""


@dataclass(frozen=True)
class LabelAlgebra:
    """Every sum and difference of the labels of a space."""

    answers: tuple[AlgebraAnswer, ...]
    stable_share: float | None
    """Share of answers that are equal in both halves of the clips."""
    stable_chance: float
    """The same for random answers: one over the number of labels other than A and B."""
    hit_rate: float | None
    """Share of expected answers among the formulas with expected labels."""
    hit_chance: float | None
    """Mean of `hit_rate` with shuffled names of labels."""
    p: float | None
    """Share of shuffles with a `hit_rate` at least as high (permutation test)."""


def label_algebra(
    vectors: Vectors,
    labels: Ints,
    names: tuple[str, ...],
    expected: Mapping[str, Collection[str]] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> LabelAlgebra:
    """All A - B and A + B of the labels of `vectors` (N, D); `labels` (N,), -1 for unknown.

    `expected` maps formulas ("rain - wind", "rain + wind") to the correct labels. Raises RequestError for
    fewer than three labels, or if `expected` has an unknown formula or label.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), labels=labels)
    whole = centroids(vectors, labels, names, spherical=True)
    if len(whole.names) < 3:
        raise RequestError(f"algebra: it needs at least three labels. Given: {len(whole.names)}.")
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


def _answers(centers: Floats, formulas: list[Formula]) -> tuple[Floats, Ints]:
    """(F, C) angles to every centroid, inf to A and B, and the order of the labels by them."""
    a, sign, b = (np.array(part) for part in zip(*formulas, strict=True))
    points = unit(centers[a] + sign[:, None] * centers[b])
    angles = np.arccos(np.clip(points @ centers.T, -1, 1))
    every = np.arange(len(formulas))
    angles[every, a] = angles[every, b] = np.inf
    return angles, np.argsort(angles, axis=1, kind="stable")


def _halves(
    vectors: Vectors, labels: Ints, names: tuple[str, ...], formulas: list[Formula], seed: int
) -> tuple[Ints, Ints] | None:
    """The answers from two random halves of the clips of each label; None if a label has only one clip."""
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
    # A sum is commutative.
    place = {_named((b, sign, a), names): f for f, (a, sign, b) in enumerate(formulas) if sign > 0}
    place |= {_named(formula, names): f for f, formula in enumerate(formulas)}
    right = np.zeros((len(formulas), len(names)), dtype=bool)
    for formula, labels in expected.items():
        unknown = [label for label in labels if label not in names]
        if formula not in place or unknown:
            given = formula if formula not in place else unknown[0]
            raise RequestError(f"algebra: unknown formula or label {given!r}. Labels: {', '.join(names)}.")
        right[place[formula], [names.index(label) for label in labels]] = True
    return right


def _hits(
    centers: Floats, formulas: list[Formula], right: Bools, draws: int, seed: int
) -> tuple[float | None, float | None, float | None]:
    """The rate of expected answers, its mean with shuffled names, and the p value of the permutation."""
    asked = np.flatnonzero(right.any(axis=1))
    if not len(asked):
        return None, None, None
    chosen = [formulas[place] for place in asked]

    def rate(given: Floats) -> float:
        best = _answers(given, chosen)[1][:, 0]
        return float(right[asked, best].mean())

    observed, chance = rate(centers), stream(seed, "shuffled names")
    shuffled = np.array([rate(chance.permutation(centers)) for _ in range(draws)])
    return observed, float(shuffled.mean()), float((1 + (shuffled >= observed).sum()) / (1 + draws))


# Arithmetic with the centroids of tags: do the clips nearest to A + B have both tags, and those nearest to
# A - B the tag A without B?
#
# The tags of the clips decide what is correct. The centroid of a tag is the spherical mean of its clips after
# the mean of all clips is subtracted, so that the common part of all sounds has no influence.


@dataclass(frozen=True)
class TagAlgebra:
    """How often the clips nearest to a sum or difference of two tags have the tags that it states."""

    pairs: int
    """Number of formulas that enough clips satisfy."""
    sum_rate: float
    """Share of the clips nearest to A + B that have both tags."""
    sum_chance: float
    """Share of all clips that have both tags."""
    difference_rate: float
    """Share of the clips nearest to A - B that have A and not B."""
    difference_chance: float
    p: float
    """Share of shuffles of the vectors with a mean rate at least as high (permutation test)."""


def tag_algebra(
    vectors: Vectors, tags: Bools, nearest: int = 5, draws: int = 200, seed: int = 0
) -> TagAlgebra:
    """Sums and differences of the centroids of tags: `vectors` (N, D), `tags` (N, K).

    A formula is evaluated if at least `nearest` clips satisfy it. Raises RequestError if there is none.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), tags=tags)
    space = unit(vectors.astype(np.float64))
    space = unit(space - space.mean(axis=0))
    formulas = [formula for formula in formulas_of(tags.shape[1]) if _carry(tags, formula).sum() >= nearest]
    if not formulas:
        raise RequestError(
            f"algebra: no sum or difference of two tags has {nearest} clips. Ask for fewer nearest clips."
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
    """(N,) which clips satisfy a formula."""
    a, sign, b = formula
    return np.asarray(tags[:, a] & (tags[:, b] if sign > 0 else ~tags[:, b]))


def _carried(space: Floats, tags: Bools, formulas: list[Formula], right: Bools, nearest: int) -> Floats:
    """(F,) share of the clips nearest to the point of each formula that satisfy it."""
    counts = np.maximum(tags.sum(axis=0), 1)
    centers = unit((tags.T.astype(np.float64) @ space) / counts[:, None])
    a, sign, b = (np.array(part) for part in zip(*formulas, strict=True))
    likeness = space @ unit(centers[a] + sign[:, None] * centers[b]).T
    best = np.argsort(-likeness, axis=0, kind="stable")[:nearest]
    return np.asarray(np.take_along_axis(right, best, axis=0).mean(axis=0))


# Both for a library of clips.

LEAST = 3
"""Smallest number of labels; of tags it is two."""


@dataclass(frozen=True)
class Arithmetic:
    """The results; None if there are too few labels, or tags."""

    labels: LabelAlgebra | None
    tags: TagAlgebra | None

    def plain(self) -> dict[str, Any]:
        """The fields as values for JSON."""
        return {
            "labels": None if self.labels is None else _plain_labels(self.labels),
            "tags": None if self.tags is None else _plain_tags(self.tags),
        }


def arithmetic(library: ClipLibrary, expected: Path | None = None, nearest: int = 5) -> Arithmetic:
    """A - B and A + B of all labels, and of all tags.

    `expected`: a CSV with the columns `formula` ("rain - wind") and `labels` (separated by `|`), the correct
    labels, written down before the results are known. Raises RequestError if there are neither three labels
    nor two tags, or the file is invalid.
    """
    asked = read_expected(expected) if expected is not None else {}
    labels = tags = None
    if len(library.label_names) >= LEAST:
        labels = label_algebra(library.vectors, library.labels, library.label_names, asked)
    elif asked:
        raise RequestError(
            f"--expected: {library.name} has fewer than {LEAST} labels. Omit --expected, or give other clips."
        )
    if len(library.tag_names) >= 2:
        tags = tag_algebra(library.vectors, library.tags, nearest)
    if labels is None and tags is None:
        raise RequestError(f"{library.name} has neither three labels nor two tags, which arithmetic needs.")
    return Arithmetic(labels, tags)


def read_expected(path: Path) -> dict[str, list[str]]:
    """Reads formulas with their correct labels. Raises RequestError if the file is not such a table."""
    if not path.is_file():
        raise RequestError(f"--expected: there is no file {path}.")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"formula", "labels"} <= rows[0].keys():
        raise RequestError(f"--expected: {path} needs the columns formula and labels and at least one row.")
    return {row["formula"].strip(): [name.strip() for name in row["labels"].split("|")] for row in rows}


def _plain_labels(found: LabelAlgebra) -> dict[str, Any]:
    plain = asdict(found)
    for answer in plain["answers"]:
        if answer["lead"] == float("inf"):  # three labels: no other answer exists
            answer["lead"] = None
    return plain


def _plain_tags(found: TagAlgebra) -> dict[str, Any]:
    """Replaces NaN, the rate without any sum or difference, by None."""
    return {name: None if np.isnan(value) else value for name, value in asdict(found).items()}
