"""Clips on two sides of a split that are all but the same: what makes a test easier than it looks.

A pair is suspicious where its distance is small beside what is usual: the median, over the clips of the
smaller side, of the distance to the nearest clip of the other side; or, where that is larger, the median
within the larger side of the distance to the nearest other clip, so that a smaller side of nothing but
copies does not pass for usual. The score is 1 - distance / usual. Vectors cannot tell a copy from a good
likeness: listen, or compare the sound itself.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from pydantic import Field

from nearfield.core.nouns import Distance, Ints, Vectors
from nearfield.core.settings import Settings
from nearfield.evaluation.checks import check_vectors
from nearfield.evaluation.neighbours import Search, nearest, unit
from nearfield.evaluation.suspects.suspect import Suspect, ranked

ASKED = 2000
"""Clips of the larger side, evenly spread over it, that are asked how near its own clips lie."""


class DuplicateSettings(Settings):
    """When two clips are taken for one."""

    distance: Distance = "cosine"
    """`cosine` measures between unit vectors, the others between vectors as they are."""
    share: float = Field(0.1, gt=0, le=1)
    """Largest distance of a pair that is listed, as a share of the usual distance."""
    most: int = Field(500, ge=1)
    """Longest list."""


def duplicate_suspects(
    vectors: Vectors, splits: Mapping[str, Ints], settings: DuplicateSettings | None = None
) -> list[Suspect]:
    """Pairs across any two of `splits` (name to rows), closest first; each clip goes with its nearest.

    `vectors` (N, D). Raises RequestError or WorkError for vectors that cannot be used.
    """
    settings = settings or DuplicateSettings()
    check_vectors("vectors", vectors)
    space = unit(vectors.astype(np.float64)).astype(np.float32) if settings.distance == "cosine" else vectors
    filled = {name: np.asarray(rows, dtype=np.int64) for name, rows in splits.items() if len(rows)}
    found: list[Suspect] = []
    for first, second in combinations(filled, 2):
        # The smaller side asks, so that a test clip is named once rather than by every likeness in train.
        asks, told = sorted((first, second), key=lambda name: len(filled[name]))
        found += _across(space, (asks, filled[asks]), (told, filled[told]), settings)
    return ranked(found)[: settings.most]


def _across(
    space: Vectors, asks: tuple[str, Ints], told: tuple[str, Ints], settings: DuplicateSettings
) -> list[Suspect]:
    index, apart = nearest(Search(space[asks[1]], space[told[1]], "euclidean"), 1)
    usual = max(float(np.median(apart)), _within(space[told[1]]))
    if usual <= 0:
        # A collapsed space: everything is where everything is.
        return []
    close = np.flatnonzero(apart[:, 0] <= settings.share * usual).tolist()
    return [
        Suspect(
            row=int(asks[1][place]),
            kind="duplicate",
            score=1 - float(apart[place, 0]) / usual,
            reason=(
                f"In {asks[0]}, at {apart[place, 0]:.2g} from a clip of {told[0]}; the usual distance to the "
                f"nearest one there is {usual:.2g}."
            ),
            suggestion=f"Listen to both; if they are one sound, keep it out of {asks[0]} or of {told[0]}.",
            other=int(told[1][index[place, 0]]),
        )
        for place in close
    ]


def _within(side: Vectors) -> float:
    """Median distance of a clip of one side to the nearest other clip there; 0 where there is no other."""
    if len(side) < 2:
        return 0.0
    some = np.unique(np.linspace(0, len(side) - 1, ASKED).round().astype(np.int64))
    return float(np.median(nearest(Search(side[some], side, "euclidean", own=some), 1)[1]))
