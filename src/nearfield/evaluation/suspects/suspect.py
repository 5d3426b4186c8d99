"""One thing in a collection that somebody should listen to."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from nearfield.core.nouns import Floats, Ints

Kind = Literal[
    "label", "tag_wrong", "tag_missing", "duplicate", "silent", "clipped", "offset", "channel", "swapped"
]


@dataclass(frozen=True)
class Suspect:
    """A clip, what seems wrong with it, how sure that is, why, and what to do."""

    row: int
    """Row of the collection."""
    kind: Kind
    score: float
    """0..1: of labels and tags the estimated chance that they are wrong (`chance.py`); of other kinds larger
    is more suspicious, to be compared within a kind."""
    reason: str
    """A sentence, with the figures that speak against the clip."""
    suggestion: str
    """A sentence: what to do where the ear agrees."""
    proposed: str | None = None
    """The label that would fit better, or the tag that seems wrong or missing."""
    other: int | None = None
    """The other clip, where two are concerned."""
    rank: float = 0.0
    """Of labels and tags, the share of planted errors that are less suspicious: it orders equal scores."""

    def plain(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def ranked(suspects: list[Suspect]) -> list[Suspect]:
    """The most suspicious first, equals in order of row and of what is proposed."""
    return sorted(
        suspects, key=lambda each: (-each.score, -each.rank, each.row, each.kind, each.proposed or "")
    )


def descending(scores: Floats) -> Ints:
    """Positions by falling score, equals in order."""
    return np.asarray(np.argsort(-scores, kind="stable"), dtype=np.int64)


def per_cent(share: float) -> str:
    """A share in words: 0.004 is "under 1 %"."""
    return "under 1 %" if share < 0.01 else "over 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def beyond(rank: float, what: str) -> str:
    """A sentence on how a suspicion stands among planted ones."""
    return f"It is more suspicious than {per_cent(rank)} of wrong {what} planted here."
