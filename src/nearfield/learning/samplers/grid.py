"""Where the tiles of a set of recordings lie, and which are near each other.

Tiles are sorted by recording and moment, so that a tile's own recording, and its neighbours within any
range, are one run of numbers each: low <= number < high.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.nouns import Facts, Floats, Ints
from nearfield.learning.relations.time import reach, ticks

SLACK = 1e-3
"""Seconds that the last tile may reach past its clip: decoders and tables round lengths."""


@dataclass(frozen=True)
class Grid:
    """M tiles, sorted by recording and moment; all arrays are (M,)."""

    rows: Ints
    starts: Floats
    """Seconds inside the clip."""
    moments: Ints
    """When the tile starts on its recording's clock, in `ticks`."""
    recordings: Ints
    room: Floats
    """Seconds by which the tile can be moved on, less than a step of the grid, without leaving its clip."""
    first: Ints
    """Number of the first tile of the own recording."""
    end: Ints
    """One past the number of the last tile of the own recording."""

    def __len__(self) -> int:
        return len(self.rows)

    def near(self, range_seconds: float) -> tuple[Ints, Ints]:
        """(low, high): the run of tiles that start within the range of each tile, itself among them."""
        span = reach(range_seconds)
        clock = self.moments - self.moments[self.first]
        # One axis on which recordings follow each other, too far apart to touch.
        lengths = np.where(np.arange(len(self)) == self.first, clock[self.end - 1] + span + 1, 0)
        axis = clock + np.cumsum(lengths) - lengths[self.first]
        return np.searchsorted(axis, axis - span, "left"), np.searchsorted(axis, axis + span, "right")


def lay(facts: Facts, rows: Ints, tile: float, step: float) -> Grid:
    """Tiles of `tile` seconds at 0, step, 2 step ... of each clip of `rows`, each by its own length.

    A clip shorter than a tile has one, at 0, which silence fills up. Clips of unknown recording have none.
    """
    rows = rows[facts.recordings[rows] >= 0]
    counts = np.maximum(np.floor((facts.seconds[rows] - tile + SLACK) / step).astype(np.int64), 0) + 1
    each = np.repeat(rows, counts)
    place = np.arange(len(each)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = place * step
    moments = ticks(facts.moments[each] + starts)
    order = np.lexsort((starts, each, moments, facts.recordings[each]))
    each, starts, moments = each[order], starts[order], moments[order]
    recordings = facts.recordings[each]
    room = np.clip(facts.seconds[each] - tile - starts, 0.0, step)
    first = np.searchsorted(recordings, recordings, "left")
    end = np.searchsorted(recordings, recordings, "right")
    return Grid(each, starts, moments, recordings, room, first, end)
