"""Opposites of tiles: a tile of another recording, drawn uniformly among those that rules allow."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.nouns import Bools, Ints
from nearfield.learning.relations.across import Scenes
from nearfield.learning.relations.time import clear, reach
from nearfield.learning.samplers.grid import Grid
from nearfield.learning.samplers.refusal import draw_allowed


@dataclass(frozen=True)
class Opposites:
    """What may oppose a tile of the grid; every opposite is of another recording."""

    grid: Grid
    differing: tuple[Ints, ...] = ()
    """(M,) each: class numbers in which anchor and opposite must differ too; -1 is nobody's other."""
    not_synchronous: float | None = None
    """Seconds that must lie between the two starts at least, on the common clock."""
    scenes: Scenes | None = None
    """Recorders and scenes of the tiles, where windows of one scene must not oppose each other ..."""
    near_seconds: float = 0.0
    """... if they start within so many seconds."""

    def draw(self, tiles: Ints, chance: np.random.Generator) -> Ints:
        """For each of `tiles` one that may oppose it, uniform among those that may; -1 where none may."""
        grid = self.grid

        def propose(askers: Ints) -> Ints:
            first, end = grid.first[tiles[askers]], grid.end[tiles[askers]]
            drawn = chance.integers(len(grid) - (end - first))
            return drawn + np.where(drawn >= first, end - first, 0)

        def allowed(askers: Ints, drawn: Ints) -> Bools:
            return self._oppose(tiles[askers], drawn)

        if len(grid) == 0 or grid.end[0] == len(grid):
            return np.full(len(tiles), -1, dtype=np.int64)
        return draw_allowed(len(tiles), propose, allowed, len(grid), chance)

    def draw_from(self, tiles: Ints, files: int, chance: np.random.Generator) -> Ints:
        """The same from `files` files only, drawn anew for each clip that has some of `tiles`.

        A file is drawn as often as its share of the tiles that may oppose, so that over many epochs each of
        these comes equally often. All must have an opposite, and no rule may look at moments.
        """
        clips, first, which = np.unique(self.grid.rows[tiles], return_index=True, return_inverse=True)
        askers = np.repeat(tiles[first], files)
        kept = self.grid.rows[self.draw(askers, chance)].reshape(len(clips), files)
        chosen = kept[which, chance.integers(files, size=len(tiles))]
        by_file = np.argsort(self.grid.rows, kind="stable")
        ordered = self.grid.rows[by_file]
        begins, ends = np.searchsorted(ordered, chosen, "left"), np.searchsorted(ordered, chosen, "right")
        return by_file[chance.integers(begins, ends)]

    def _oppose(self, asking: Ints, drawn: Ints) -> Bools:
        good: Bools = self.grid.recordings[asking] != self.grid.recordings[drawn]
        for numbers in self.differing:
            good &= (numbers[asking] >= 0) & (numbers[drawn] >= 0) & (numbers[asking] != numbers[drawn])
        apart = np.abs(self.grid.moments[asking] - self.grid.moments[drawn])
        if self.not_synchronous is not None:
            good &= apart >= clear(self.not_synchronous)
        if self.scenes is not None:
            one, other = self.scenes.clocks[asking], self.scenes.clocks[drawn]
            good &= (one < 0) | (one != other) | (apart > reach(self.near_seconds))
        return good
