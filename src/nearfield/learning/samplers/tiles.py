"""Tiles of long recordings, each with neighbors in time: batches without labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from nearfield.core.errors import DataError, RequestError
from nearfield.core.rng import stream
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Floats, Ints, Pairs
from nearfield.learning.relations.time import Across, Scenes, clear, column, reach, ticks
from nearfield.learning.samplers.base import BaseSamplerSettings, CutOrder
from nearfield.learning.samplers.batches import cut, rejection_sample

# Where the tiles of a set of recordings lie, and which are near each other.
#
# Tiles are sorted by recording and moment, so that a tile's own recording, and its neighbours within any
# range, are one run of numbers each: low <= number < high.

SLACK = 1e-3
"""Seconds that the last tile may reach past its clip: decoders and tables round lengths."""


@dataclass(frozen=True)
class Grid:
    """M tiles, sorted by recording and moment; all arrays are (M,)."""

    rows: Ints
    starts: Floats
    """Seconds inside the clip."""
    start_times: Ints
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
        clock = self.start_times - self.start_times[self.first]
        # One axis on which recordings follow each other, too far apart to touch.
        lengths = np.where(np.arange(len(self)) == self.first, clock[self.end - 1] + span + 1, 0)
        axis = clock + np.cumsum(lengths) - lengths[self.first]
        return np.searchsorted(axis, axis - span, "left"), np.searchsorted(axis, axis + span, "right")


def lay(metadata: ClipMetadata, rows: Ints, tile: float, step: float) -> Grid:
    """Tiles of `tile` seconds at 0, step, 2 step ... of each clip of `rows`, each by its own length.

    A clip shorter than a tile has one, at 0, which silence fills up. Clips of unknown recording have none.
    """
    rows = rows[metadata.recordings[rows] >= 0]
    counts = np.maximum(np.floor((metadata.seconds[rows] - tile + SLACK) / step).astype(np.int64), 0) + 1
    each = np.repeat(rows, counts)
    place = np.arange(len(each)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = place * step
    start_times = ticks(metadata.start_times[each] + starts)
    order = np.lexsort((starts, each, start_times, metadata.recordings[each]))
    each, starts, start_times = each[order], starts[order], start_times[order]
    recordings = metadata.recordings[each]
    room = np.clip(metadata.seconds[each] - tile - starts, 0.0, step)
    first = np.searchsorted(recordings, recordings, "left")
    end = np.searchsorted(recordings, recordings, "right")
    return Grid(each, starts, start_times, recordings, room, first, end)


# Neighbours of tiles: a run of the own recording, and perhaps single tiles of other recorders.


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
            first, second = scenes.runs(grid.start_times, reach(within_seconds))
            elsewhere = grid.recordings[first] != grid.recordings[second]
            first, second = first[elsewhere], second[elsewhere]
        sizes = np.bincount(first, minlength=len(grid))
        return cls(low, high, second, np.cumsum(sizes) - sizes, sizes)

    @property
    def counts(self) -> Ints:
        """(M,) how many neighbours each tile has."""
        return self.high - self.low - 1 + self.sizes

    def pick(self, tiles: Ints, count: int, rng: np.random.Generator) -> Ints:
        """(A, count) neighbours of each of A `tiles`, drawn uniformly, none twice while there are enough.

        Where there are fewer than `count`, they come round again. Each tile must have one.
        """
        picked = _distinct(self.counts[tiles], count, rng)
        run = (self.high - self.low - 1)[tiles][:, None]
        numbers = self.low[tiles][:, None] + picked
        numbers += numbers >= tiles[:, None]
        if not len(self.listed):
            return numbers
        places = np.clip(self.begins[tiles][:, None] + picked - run, 0, len(self.listed) - 1)
        return np.where(picked < run, numbers, self.listed[places])


def _distinct(have: Ints, count: int, rng: np.random.Generator) -> Ints:
    """(A, count) numbers below each of `have` (A,), drawn uniformly, none twice until all have come."""
    picked = np.empty((len(have), count), dtype=np.int64)
    for position in range(count):
        drawn = rng.integers(np.maximum(have - position, 1))
        before = np.sort(picked[:, :position], axis=1)
        for taken in before.T:  # skip what is taken, from the lowest up
            drawn += drawn >= taken
        again = picked[np.arange(len(have)), position % have] if position else drawn
        picked[:, position] = np.where(position < have, drawn, again)
    return picked


# Opposites of tiles: a tile of another recording, drawn uniformly among those that rules allow.


@dataclass(frozen=True)
class NegativeSampler:
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

    def draw(self, tiles: Ints, rng: np.random.Generator) -> Ints:
        """For each of `tiles` one that may oppose it, uniform among those that may; -1 where none may."""
        grid = self.grid

        def propose(askers: Ints) -> Ints:
            first, end = grid.first[tiles[askers]], grid.end[tiles[askers]]
            drawn = rng.integers(len(grid) - (end - first))
            return drawn + np.where(drawn >= first, end - first, 0)

        def allowed(askers: Ints, drawn: Ints) -> Bools:
            return self._oppose(tiles[askers], drawn)

        if len(grid) == 0 or grid.end[0] == len(grid):
            return np.full(len(tiles), -1, dtype=np.int64)
        return rejection_sample(len(tiles), propose, allowed, len(grid), rng)

    def draw_from(self, tiles: Ints, files: int, rng: np.random.Generator) -> Ints:
        """The same from `files` files only, drawn anew for each clip that has some of `tiles`.

        A file is drawn as often as its share of the tiles that may oppose, so that over many epochs each of
        these comes equally often. All must have an opposite, and no rule may look at moments.
        """
        clips, first, which = np.unique(self.grid.rows[tiles], return_index=True, return_inverse=True)
        askers = np.repeat(tiles[first], files)
        kept = self.grid.rows[self.draw(askers, rng)].reshape(len(clips), files)
        chosen = kept[which, rng.integers(files, size=len(tiles))]
        by_file = np.argsort(self.grid.rows, kind="stable")
        ordered = self.grid.rows[by_file]
        begins, ends = np.searchsorted(ordered, chosen, "left"), np.searchsorted(ordered, chosen, "right")
        return by_file[rng.integers(begins, ends)]

    def _oppose(self, asking: Ints, drawn: Ints) -> Bools:
        good: Bools = self.grid.recordings[asking] != self.grid.recordings[drawn]
        for numbers in self.differing:
            good &= (numbers[asking] >= 0) & (numbers[drawn] >= 0) & (numbers[asking] != numbers[drawn])
        apart = np.abs(self.grid.start_times[asking] - self.grid.start_times[drawn])
        if self.not_synchronous is not None:
            good &= apart >= clear(self.not_synchronous)
        if self.scenes is not None:
            one, other = self.scenes.clocks[asking], self.scenes.clocks[drawn]
            good &= (one < 0) | (one != other) | (apart > reach(self.near_seconds))
        return good


# Tiles of long recordings, each with company that is close in time: learning without labels.
#
# After Tile2Vec (Jean et al., AAAI 2019), on the time axis: a tile, a neighbour within range, and something
# from elsewhere.


class Tiles(BaseSamplerSettings):
    """Every tile is an anchor once an epoch; its neighbours, and perhaps its opposites, are drawn for it.

    A tile is as long as the recipe's `data.clip_seconds`. Clips of one recording share its clock, so a
    neighbour may lie in another file of the same recording.
    """

    kind: Literal["tiles"] = "tiles"
    batch_size: int = Field(32, ge=2)
    """Anchors a batch."""
    neighbors: int = Field(1, ge=1)
    """Neighbours of each anchor in its batch; they differ while there are enough in range."""
    range_seconds: float = Field(5.0, gt=0)
    """Largest time from the anchor's start to a neighbour's, in seconds; give the relation time the same."""
    hop_seconds: float | None = Field(None, gt=0)
    """Seconds from one tile's start to the next; none means the length of a tile."""
    jitter: bool = False
    """Move an anchor and its neighbours on together: a random part of a hop, as far as the clips reach."""
    mode: Literal["batch", "triplet"] = "batch"
    """Opposites: the batch's other recordings, as the relation says, or one drawn for each neighbour."""
    other_group: bool = False
    """With triplets: opposites come from another group (speaker, source, place) as well."""
    other: tuple[str, ...] = ()
    """With triplets: columns of the collection (as session, node) in which opposites differ as well."""
    not_synchronous: float | None = Field(None, gt=0)
    """With triplets: opposites start at least this many seconds before or after, on the common clock."""
    negatives_from: int | None = Field(None, ge=1)
    """With triplets: an epoch draws the opposites of a clip's tiles from so many other files only, as a
    small buffer of opened files does; none: from all."""
    across: Across | None = None
    """The same moment from another recorder of the scene is a neighbour too, and moments of one scene within
    the range oppose each other in no triplet; give the relation time the same."""

    @model_validator(mode="after")
    def _files_or_moments(self) -> Self:
        if self.negatives_from is not None and (self.not_synchronous is not None or self.across is not None):
            raise ValueError(
                "negatives_from draws whole files, and not_synchronous and across judge moments within them. "
                "Leave out negatives_from, or the other two."
            )
        return self

    needs: ClassVar[Literal["labels", "tags", "time"] | None] = "time"

    @property
    def sets_pairs(self) -> bool:
        """Whether opposites are drawn too."""
        return self.mode == "triplet"

    def windows(self) -> int:
        """Anchors, their neighbours and, with triplets, their opposites."""
        return self.batch_size * (1 + self.neighbors * (2 if self.mode == "triplet" else 1))

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "TileSampler":
        """The sampler over `rows`.

        Raises DataError where there is no sound or nothing has a neighbour, RequestError for unknown columns
        and where nothing has an opposite.
        """
        if not (metadata.seconds[rows] > 0).any():
            raise DataError(
                "sampler: tiles: the clips to train on have no length in time. It needs sound; for pictures "
                "take balanced, shuffle or views."
            )
        step = self.hop_seconds or clip_seconds
        grid = lay(metadata, rows, clip_seconds, step)
        near, far = self._company(metadata, grid)
        alone = near.counts < 1
        anchors = np.flatnonzero(~alone)
        if len(anchors) < 2:
            raise DataError(
                f"sampler: tiles: {len(anchors)} of {len(grid)} tiles have a neighbour in their recording. "
                f"A tile is {clip_seconds:g} s long, a step {step:g} s, the range {self.range_seconds:g} s. "
                "Shorten data.clip_seconds or sampler.hop_seconds, or widen sampler.range_seconds."
            )
        unopposed = 0
        if self.mode == "triplet":
            met = far.draw(anchors, stream(seed, "opposites")) >= 0
            anchors, unopposed = anchors[met], int((~met).sum())
            if not len(anchors):
                raise RequestError(
                    "sampler: tiles: no tile has an opposite: all are of one recording, one group, or "
                    "synchronous. Ease other_group, other or not_synchronous, or give more recordings."
                )
        return TileSampler(grid, near, far, anchors, seed, self, int(alone.sum()), unopposed)

    def _company(self, metadata: ClipMetadata, grid: Grid) -> tuple[Neighbours, NegativeSampler]:
        """Who may be near and who may be far, of the tiles of a grid."""
        across = self.across
        scenes = across.read(metadata, "sampler.across").take(grid.rows) if across else None
        within = across.within_seconds if across else 0.0
        near = Neighbours.of(grid, self.range_seconds, scenes, within)
        differing = [column(metadata, name, "sampler.other") for name in self.other]
        differing += [metadata.groups] if self.other_group else []
        apart = tuple(numbers[grid.rows] for numbers in differing)
        return near, NegativeSampler(
            grid, apart, self.not_synchronous, scenes, max(self.range_seconds, within)
        )


@dataclass(frozen=True)
class TileSampler(CutOrder):
    """Orders the anchors of an epoch so that recordings mix, and draws their company."""

    grid: Grid
    near: Neighbours
    far: NegativeSampler
    anchors: Ints
    """Numbers of the tiles that can be anchors."""
    seed: int
    settings: Tiles
    alone: int
    """Tiles that are no anchor because nothing is their neighbour."""
    unopposed: int
    """Tiles that are no anchor because nothing may be their opposite (triplets only)."""
    dropped: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int:
        """Windows a batch: anchors and company. The last of an epoch may hold fewer, or one anchor more."""
        return self.settings.batch_size * self._company

    @property
    def clips_per_epoch(self) -> int:
        """Windows drawn in an epoch."""
        return len(self.anchors) * self._company

    @property
    def _company(self) -> int:
        return 1 + self.settings.neighbors * (2 if self.settings.mode == "triplet" else 1)

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """The draws of epoch `number`, laid out as A anchors, the first neighbour of each, the second ...

        With triplets the opposites follow in the same order, and `pairs` is set: an anchor's neighbours are
        alike to it, its opposites unlike.
        """
        rng = stream(self.seed, "batches", number)
        order = self.anchors[spread(self.grid.recordings[self.anchors], rng)]
        near = self.near.pick(order, self.settings.neighbors, rng)
        shift = self._shift(order, near, rng)
        far, far_shift = self._opposites(order, rng)
        for part in cut(np.arange(len(order)), self.settings.batch_size):
            tiles = np.concatenate([order[part], near[part].T.ravel(), far[part].T.ravel()])
            moved = np.tile(shift[part], 1 + self.settings.neighbors)
            starts = self.grid.starts[tiles] + np.concatenate([moved, far_shift[part].T.ravel()])
            pairs = self._triplets(len(part)) if self.settings.mode == "triplet" else None
            yield BatchIndices(self.grid.rows[tiles], starts, pairs)

    def describe(self) -> str:
        """One line: batch, epoch, and how many tiles are no anchors."""
        kind = "triplet" if self.settings.mode == "triplet" else "neighbour"
        kind += "s" if self.settings.neighbors > 1 else ""
        line = (
            f"Batches of {self.batch_size} windows: {self.settings.batch_size} anchors with "
            f"{self.settings.neighbors} {kind} each. One epoch uses each of {len(self.anchors):,} tiles "
            "once as anchor."
        )
        if self.settings.across is not None:
            heard = int((self.near.sizes[self.anchors] > 0).sum())
            line += f" {heard:,} anchors are heard by another recorder at the same moment."
        left = f" Left out: {self.alone:,} of {len(self.grid):,} tiles without a neighbour in range."
        line += left if self.alone else ""
        return line + (f" Left out: {self.unopposed:,} without an opposite." if self.unopposed else "")

    def _shift(self, anchors: Ints, near: Ints, rng: np.random.Generator) -> Floats:
        """(A,) seconds; the same for an anchor and its neighbours, so that their distance stays."""
        if not self.settings.jitter:
            return np.zeros(len(anchors))
        room: Floats = np.minimum(self.grid.room[anchors], self.grid.room[near].min(axis=1))
        shift: Floats = rng.random(len(anchors)) * room
        return shift

    def _opposites(self, anchors: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """(A, n) tiles and the seconds by which each is moved; (A, 0) where the batch itself serves."""
        count = self.settings.neighbors if self.settings.mode == "triplet" else 0
        askers = np.repeat(anchors, count)
        files = self.settings.negatives_from
        far = self.far.draw_from(askers, files, rng) if files and count else self.far.draw(askers, rng)
        moved = rng.random(len(far)) * self.grid.room[far] if self.settings.jitter else np.zeros(len(far))
        return far.reshape(len(anchors), count), moved.reshape(len(anchors), count)

    def _triplets(self, anchors: int) -> Pairs:
        count = self.settings.neighbors
        asking = torch.arange(anchors).repeat(count)
        near = anchors + torch.arange(anchors * count)
        return Pairs.from_triplets(asking, near, near + anchors * count, anchors * (1 + 2 * count))


def spread(recordings: Ints, rng: np.random.Generator) -> Ints:
    """A permutation in which the tiles of each recording come evenly over the epoch, in random order.

    So every batch mixes recordings as the whole does, long ones and short ones.
    """
    shuffled = rng.permutation(len(recordings))
    grouped = shuffled[np.argsort(recordings[shuffled], kind="stable")]
    _, begins, which, sizes = np.unique(
        recordings[grouped], return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.arange(len(grouped)) - begins[which]
    return grouped[np.argsort((rank + rng.random(len(grouped))) / sizes[which])]
