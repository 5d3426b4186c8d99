"""One moment heard by several recorders: windows of one scene that start together are alike.

What such a pair shares is the sound; what sets it apart is the microphone and its place. Without it time
alone may learn to tell rooms and recorders.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field

from nearfield.core.nouns import Bools, Facts, Ints
from nearfield.core.settings import Settings
from nearfield.learning.relations.columns import column, other, same


class Across(Settings):
    """The same moment of one scene, from another recorder."""

    column: str = "node"
    """Column that names the recorder; the two windows differ in it."""
    clock: str = "session"
    """Column that names the scene: recordings with one value of it have their moments on one clock."""
    within_seconds: float = Field(0.5, ge=0)
    """Largest time between two starts that counts as the same moment, in seconds."""

    def read(self, facts: Facts, where: str) -> "Scenes":
        """Recorders and scenes of `facts`; RequestError, with the key `where`, for unknown columns."""
        recorders = column(facts, self.column, f"{where}.column")
        return Scenes(recorders, column(facts, self.clock, f"{where}.clock"))


@dataclass(frozen=True)
class Scenes:
    """Which recorder and which scene each item is of; -1 where not known."""

    recorders: Ints
    clocks: Ints

    def take(self, rows: Ints) -> Self:
        """The same for some rows."""
        return type(self)(self.recorders[rows], self.clocks[rows])

    def together(self) -> Bools:
        """(B, B) whether two items are of one scene."""
        return same(self.clocks)

    def across(self) -> Bools:
        """(B, B) whether two items are of one scene and of two recorders."""
        return self.together() & other(self.recorders)

    def runs(self, moments: Ints, span: int) -> tuple[Ints, Ints]:
        """(first, second): all pairs of the M items whose recorders differ and that start within `span`.

        `moments` (M,) and `span` in ticks. Both orders of a pair are given, sorted by the first.
        """
        known = np.flatnonzero((self.clocks >= 0) & (self.recorders >= 0))
        order = known[np.lexsort((moments[known], self.clocks[known]))]
        if not len(order):
            return order, order
        # One axis on which scenes follow each other, too far apart to touch.
        begun = np.flatnonzero(np.diff(self.clocks[order], prepend=-1))
        scene = np.repeat(np.arange(len(begun)), np.diff(begun, append=len(order)))
        clock = moments[order] - moments[order[begun]][scene]
        lengths = np.maximum.reduceat(clock, begun) + span + 1
        axis = clock + (np.cumsum(lengths) - lengths)[scene]
        low, high = np.searchsorted(axis, axis - span, "left"), np.searchsorted(axis, axis + span, "right")
        sizes = high - low
        places = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - low, sizes)
        first, second = np.repeat(order, sizes), order[places]
        differ = self.recorders[first] != self.recorders[second]
        first, second = first[differ], second[differ]
        by_first = np.lexsort((second, first))
        return first[by_first], second[by_first]
