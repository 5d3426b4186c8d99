"""The challenge table: macro F1 on the DCASE 2018 task 5 evaluation set, beside what was published.

Conventions: macro F1 in per cent over the nine activities, one prediction a clip. Half of the evaluation set
was recorded by microphones that stand in the development set too (known nodes), half by others (unknown).
A gap is ours less theirs, in points, and is taken within one column only.

Sources: the task's result page (dcase.community, challenge 2018, monitoring domestic activities) for the
winner and the baseline; F. Groeger's bachelor thesis of 2020 for the frozen features.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from nearfield.core.types import Bools, Floats, Ints
from nearfield.metrics.checks import check_lengths
from nearfield.metrics.classification import classification_scores
from nearfield.metrics.intervals import Resamples, share_interval

ProbePredictions = Literal["supervised", "frozen features"]

COLUMNS = ("unknown", "known", "all")


@dataclass(frozen=True)
class ChallengeRow:
    """One system; macro F1 in per cent, None where it was not published or cannot be scored."""

    system: str
    reading: ProbePredictions
    """Whether the network was trained on the labels, or a reader was put on frozen features."""
    unknown: float | None
    """On clips of nodes that the development set does not hold: what the challenge ranked by."""
    known: float | None
    all: float | None


PUBLISHED = (
    ChallengeRow("winner of the challenge", "supervised", 88.4, 90.4, None),
    ChallengeRow("baseline of the organisers", "supervised", 83.1, 85.0, None),
    ChallengeRow("thesis of 2020, triplets in time", "frozen features", None, None, 62.19),
)

NOTES = (
    "The baseline's 84.5 is of cross-validation on the development set: no column here is like it.",
    "The thesis gives one figure over all nodes: it stands in the column of all, and the challenge's "
    "figures of unknown or known nodes must not be set against it.",
    "Supervised systems learnt their network from the labels; frozen features were learnt without, and only "
    "a reader saw labels. A gap between the two sorts says what labels are worth, not which is better.",
)


@dataclass(frozen=True)
class ChallengeTable:
    """Our figures, the published ones, and the gaps in points."""

    ours: ChallengeRow
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of our figures, by column, for the finite set."""
    clips: dict[str, int]
    """How many clips each of our figures is of."""
    published: tuple[ChallengeRow, ...]
    gaps: dict[str, dict[str, float]]
    """By system and column; only where both have a figure."""
    alike: dict[str, bool]
    """By system: whether it reads as ours does."""
    notes: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self)


def challenge_table(
    predicted: Ints,
    reference: Ints,
    known_node: Bools,
    groups: Ints | None = None,
    reading: ProbePredictions = "frozen features",
    draws: int = 1000,
) -> ChallengeTable:
    """Scores predictions of the evaluation set's clips by column, beside the published figures.

    `predicted`, `reference` (N,) class numbers; `known_node` (N,) whether the clip's microphone stands in
    the development set; `groups` (N,) sessions, resampled whole, -1 not known. Raises RequestError where
    lengths differ or a label is not known.
    """
    check_lengths(len(reference), predicted=predicted, known_node=known_node, groups=groups)
    sources = np.full(len(reference), -1) if groups is None else groups
    figures: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    clips: dict[str, int] = {}
    for column, kept in zip(COLUMNS, (~known_node, known_node, np.ones_like(known_node)), strict=True):
        rows = np.flatnonzero(kept)
        clips[column] = len(rows)
        if not len(rows):
            continue
        figures[column], ends = _macro_f1(predicted[rows], reference[rows], sources[rows], draws)
        if ends is not None:
            intervals[column] = ends
    ours = ChallengeRow("this run", reading, *(figures.get(column) for column in COLUMNS))
    return ChallengeTable(
        ours=ours,
        intervals=intervals,
        clips=clips,
        published=PUBLISHED,
        gaps={row.system: _gaps(ours, row) for row in PUBLISHED},
        alike={row.system: row.reading == reading for row in PUBLISHED},
        notes=NOTES,
    )


def _macro_f1(
    predicted: Ints, reference: Ints, groups: Ints, draws: int
) -> tuple[float, tuple[float, float] | None]:
    """Macro F1 in per cent, and its interval."""
    figure = float(classification_scores(reference, predicted)["macro_f1"][0])
    if not draws:
        return 100 * figure, None
    resamples = Resamples.of(groups, draws)

    def redrawn(weights: Floats) -> Floats:
        return classification_scores(reference, predicted, weights)["macro_f1"]

    ends = share_interval(figure, resamples.apply(redrawn), resamples.groups)
    return 100 * figure, None if ends is None else (100 * ends[0], 100 * ends[1])


def _gaps(ours: ChallengeRow, theirs: ChallengeRow) -> dict[str, float]:
    pairs = {column: (getattr(ours, column), getattr(theirs, column)) for column in COLUMNS}
    return {column: a - b for column, (a, b) in pairs.items() if a is not None and b is not None}
