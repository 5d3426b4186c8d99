"""Table of the challenge: macro F1 on the evaluation set of DCASE 2018 task 5, compared with published
results.

Conventions: macro F1 in per cent over the nine activities, one prediction per clip. Half of the evaluation
set was recorded by microphones of the development set (known nodes), half by others (unknown nodes). A gap is
the value of the run minus the published one, in points, within one column.

Sources: the results of the task (dcase.community, challenge 2018, monitoring domestic activities) for the
winner and the baseline; F. Groeger's bachelor thesis of 2020 for the frozen features."""

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
    """One system; macro F1 in per cent, None if it was not published or cannot be computed."""

    system: str
    reading: ProbePredictions
    """Whether the network was trained with labels, or a probe was trained on frozen features."""
    unknown: float | None
    """On clips of nodes that are not in the development set, by which the challenge ranked systems."""
    known: float | None
    all: float | None


PUBLISHED = (
    ChallengeRow("winner of the challenge", "supervised", 88.4, 90.4, None),
    ChallengeRow("baseline of the organisers", "supervised", 83.1, 85.0, None),
    ChallengeRow("thesis of 2020, triplets in time", "frozen features", None, None, 62.19),
)

NOTES = (
    "The 84.5 of the baseline is from cross-validation on the development set and not comparable with any "
    "column.",
    "The thesis reports one value over all nodes, which is in the column all; it is not comparable with the "
    "results of the challenge for unknown or known nodes.",
    "Supervised systems are trained with labels; frozen features are trained without, and only the probe "
    "uses labels. A gap between the two kinds shows the value of labels, not which system is better.",
)


@dataclass(frozen=True)
class ChallengeTable:
    """Results of the run, published results, and gaps in points."""

    ours: ChallengeRow
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of the results of the run, by column, for the finite set."""
    clips: dict[str, int]
    """Number of clips by column."""
    published: tuple[ChallengeRow, ...]
    gaps: dict[str, dict[str, float]]
    """Gaps by system and column, if both have a value."""
    alike: dict[str, bool]
    """By system: whether it is of the same kind (`reading`) as the run."""
    notes: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Returns the table as JSON-serializable values."""
        return asdict(self)


def challenge_table(
    predicted: Ints,
    reference: Ints,
    known_node: Bools,
    groups: Ints | None = None,
    reading: ProbePredictions = "frozen features",
    draws: int = 1000,
) -> ChallengeTable:
    """Scores predictions on the evaluation set and compares them with published results.

    Parameters
    ----------
    predicted, reference
        (N,) class numbers.
    known_node
        (N,) whether the node of the clip is in the development set.
    groups
        (N,) sessions, the unit of resampling; -1 means unknown.
    reading
        Kind of the run.
    draws
        Number of resamples of the intervals; 0: no intervals.

    Raises
    ------
    RequestError
        If lengths differ, or a label is unknown.
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
    """Computes macro F1 in per cent, and its interval."""
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
