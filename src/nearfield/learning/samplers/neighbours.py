"""Neighbours of tiles: a run of the own recording, and perhaps single tiles of other recorders."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.nouns import Ints
from nearfield.learning.relations.across import Scenes
from nearfield.learning.relations.time import reach
from nearfield.learning.samplers.grid import Grid


@dataclass(frozen=True)
class Neighbours:
    """For each of M tiles the run low <= number < high, itself left out, and a stretch of a list."""

    low: Ints
    high: Ints
    listed: Ints
    """Tiles of other recordings, those of one tile after those of the one before it."""
    begins: Ints
    sizes: Ints
    """(M,) where a tile's stretch of `listed` begins, and how long it is."""

    @classmethod
    def of(
        cls, grid: Grid, range_seconds: float, scenes: Scenes | None, within_seconds: float
    ) -> "Neighbours":
        """The tiles of the own recording in range; with `scenes` also other recorders' at the same moment."""
        low, high = grid.near(range_seconds)
        first = second = low[:0]
        if scenes is not None:
            first, second = scenes.runs(grid.moments, reach(within_seconds))
            elsewhere = grid.recordings[first] != grid.recordings[second]
            first, second = first[elsewhere], second[elsewhere]
        sizes = np.bincount(first, minlength=len(grid))
        return cls(low, high, second, np.cumsum(sizes) - sizes, sizes)

    @property
    def counts(self) -> Ints:
        """(M,) how many neighbours each tile has."""
        return self.high - self.low - 1 + self.sizes

    def pick(self, tiles: Ints, count: int, chance: np.random.Generator) -> Ints:
        """(A, count) neighbours of each of A `tiles`, drawn uniformly, none twice while there are enough.

        Where there are fewer than `count`, they come round again. Each tile must have one.
        """
        picked = _distinct(self.counts[tiles], count, chance)
        run = (self.high - self.low - 1)[tiles][:, None]
        numbers = self.low[tiles][:, None] + picked
        numbers += numbers >= tiles[:, None]
        if not len(self.listed):
            return numbers
        places = np.clip(self.begins[tiles][:, None] + picked - run, 0, len(self.listed) - 1)
        return np.where(picked < run, numbers, self.listed[places])


def _distinct(have: Ints, count: int, chance: np.random.Generator) -> Ints:
    """(A, count) numbers below each of `have` (A,), drawn uniformly, none twice until all have come."""
    picked = np.empty((len(have), count), dtype=np.int64)
    for position in range(count):
        drawn = chance.integers(np.maximum(have - position, 1))
        before = np.sort(picked[:, :position], axis=1)
        for column in before.T:  # skip what is taken, from the lowest up
            drawn += drawn >= column
        again = picked[np.arange(len(have)), position % have] if position else drawn
        picked[:, position] = np.where(position < have, drawn, again)
    return picked
