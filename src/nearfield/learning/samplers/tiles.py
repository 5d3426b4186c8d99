"""Sampler of tiles of long recordings, each with neighbors in time; needs no labels."""

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

# The grid of tiles of a set of recordings.
#
# Tiles are sorted by recording and start time, so the tiles of one recording, and the neighbors of a tile
# within a range, have consecutive numbers: low <= number < high.

SLACK = 1e-3
"""Seconds by which the last tile may exceed its clip, because decoders and tables round lengths."""


@dataclass(frozen=True)
class Grid:
    """M tiles, sorted by recording and start time; all arrays are (M,)."""

    rows: Ints
    starts: Floats
    """Start of the tile in the clip, in seconds."""
    start_times: Ints
    """Start of the tile on the clock of its recording, in `ticks`."""
    recordings: Ints
    room: Floats
    """Seconds by which the tile can be shifted within its clip, at most a step of the grid."""
    first: Ints
    """Number of the first tile of the same recording."""
    end: Ints
    """Number of the last tile of the same recording, plus 1."""

    def __len__(self) -> int:
        return len(self.rows)

    def near(self, range_seconds: float) -> tuple[Ints, Ints]:
        """Returns (M,) `low` and `high`: tiles low <= number < high start within the range of each tile."""
        span = reach(range_seconds)
        clock = self.start_times - self.start_times[self.first]
        # Recordings are placed one after another on one axis, more than `span` apart.
        lengths = np.where(np.arange(len(self)) == self.first, clock[self.end - 1] + span + 1, 0)
        axis = clock + np.cumsum(lengths) - lengths[self.first]
        return np.searchsorted(axis, axis - span, "left"), np.searchsorted(axis, axis + span, "right")


def lay(metadata: ClipMetadata, rows: Ints, tile: float, step: float) -> Grid:
    """Creates tiles of `tile` seconds at 0, step, 2 step, ... in each clip of `rows`.

    A clip shorter than a tile has one tile at 0, padded with silence. Clips of unknown recording have none.
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


# Neighbors of tiles: consecutive tiles of the same recording, and optionally tiles of other recorders.


@dataclass(frozen=True)
class Neighbors:
    """Neighbors of each of M tiles: low <= number < high without the tile itself, and a segment of
    `listed`."""

    low: Ints
    high: Ints
    listed: Ints
    """Neighbors from other recordings, in the order of the tiles."""
    begins: Ints
    """(M,) first position of each tile in `listed`."""
    sizes: Ints
    """(M,) number of neighbors of each tile in `listed`."""

    @classmethod
    def of(
        cls, grid: Grid, range_seconds: float, scenes: Scenes | None, within_seconds: float
    ) -> "Neighbors":
        """Finds tiles of the same recording in the range and, with `scenes`, simultaneous ones of other
        recorders."""
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
        """(M,) number of neighbors of each tile."""
        return self.high - self.low - 1 + self.sizes

    def pick(self, tiles: Ints, count: int, rng: np.random.Generator) -> Ints:
        """Draws (A, count) neighbors of A `tiles` uniformly, without replacement while there are enough.

        If a tile has fewer than `count` neighbors, they are repeated. Each tile must have at least one.
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
    """Draws (A, count) numbers below `have` (A,) uniformly, without replacement until all are drawn."""
    picked = np.empty((len(have), count), dtype=np.int64)
    for position in range(count):
        drawn = rng.integers(np.maximum(have - position, 1))
        before = np.sort(picked[:, :position], axis=1)
        for taken in before.T:  # skip the numbers drawn before, in ascending order
            drawn += drawn >= taken
        again = picked[np.arange(len(have)), position % have] if position else drawn
        picked[:, position] = np.where(position < have, drawn, again)
    return picked


# Negatives of tiles: tiles of another recording, drawn uniformly among those allowed.


@dataclass(frozen=True)
class NegativeSampler:
    """Draws negatives for the tiles of a grid; a negative always comes from another recording."""

    grid: Grid
    differing: tuple[Ints, ...] = ()
    """(M,) each: class numbers in which anchor and negative must also differ; a tile with -1 has no
    negatives."""
    not_synchronous: float | None = None
    """Smallest difference of the start times of anchor and negative on the common clock, in seconds."""
    scenes: Scenes | None = None
    """Recorders and scenes of the tiles, if tiles of one scene are no negatives of each other ..."""
    near_seconds: float = 0.0
    """... when they start within this many seconds."""

    def draw(self, tiles: Ints, rng: np.random.Generator) -> Ints:
        """Draws one negative for each of `tiles`, uniformly among those allowed; -1 if none is allowed."""
        grid = self.grid

        def propose(anchors: Ints) -> Ints:
            first, end = grid.first[tiles[anchors]], grid.end[tiles[anchors]]
            drawn = rng.integers(len(grid) - (end - first))
            return drawn + np.where(drawn >= first, end - first, 0)

        def allowed(anchors: Ints, drawn: Ints) -> Bools:
            return self._is_negative(tiles[anchors], drawn)

        if len(grid) == 0 or grid.end[0] == len(grid):
            return np.full(len(tiles), -1, dtype=np.int64)
        return rejection_sample(len(tiles), propose, allowed, len(grid), rng)

    def draw_from(self, tiles: Ints, files: int, rng: np.random.Generator) -> Ints:
        """Draws negatives like `draw`, but for each clip of `tiles` from `files` random files only.

        The probability of a file is proportional to its number of allowed tiles, so over many epochs each
        allowed tile is drawn equally often. All tiles must have a negative, and no condition may depend on
        start times."""
        clips, first, which = np.unique(self.grid.rows[tiles], return_index=True, return_inverse=True)
        anchors = np.repeat(tiles[first], files)
        kept = self.grid.rows[self.draw(anchors, rng)].reshape(len(clips), files)
        chosen = kept[which, rng.integers(files, size=len(tiles))]
        by_file = np.argsort(self.grid.rows, kind="stable")
        ordered = self.grid.rows[by_file]
        begins, ends = np.searchsorted(ordered, chosen, "left"), np.searchsorted(ordered, chosen, "right")
        return by_file[rng.integers(begins, ends)]

    def _is_negative(self, anchors: Ints, drawn: Ints) -> Bools:
        good: Bools = self.grid.recordings[anchors] != self.grid.recordings[drawn]
        for numbers in self.differing:
            good &= (numbers[anchors] >= 0) & (numbers[drawn] >= 0) & (numbers[anchors] != numbers[drawn])
        apart = np.abs(self.grid.start_times[anchors] - self.grid.start_times[drawn])
        if self.not_synchronous is not None:
            good &= apart >= clear(self.not_synchronous)
        if self.scenes is not None:
            one, other = self.scenes.clocks[anchors], self.scenes.clocks[drawn]
            good &= (one < 0) | (one != other) | (apart > reach(self.near_seconds))
        return good


# Training on tiles with neighbors in time, without labels.
#
# Tile2Vec (Jean et al., AAAI 2019) on the time axis: a tile, a neighbor within a range, and a distant tile.


class Tiles(BaseSamplerSettings):
    """Tiles of long recordings: each tile is an anchor once per epoch, with random neighbors in time and, in
    mode triplet, random negatives.

    A tile is as long as `data.clip_seconds` of the recipe. Clips of one recording share its clock, so a
    neighbor
    may be in another file of the recording.
    """

    kind: Literal["tiles"] = "tiles"
    batch_size: int = Field(32, ge=2)
    """Number of anchors per batch; 2 or more."""
    neighbors: int = Field(1, ge=1)
    """Number of neighbors drawn for each anchor, 1 or more; different ones if enough are in the range."""
    range_seconds: float = Field(5.0, gt=0)
    """Largest difference of the start times of anchor and neighbor, in seconds; above 0. Use the same value
    in the
    relation time."""
    hop_seconds: float | None = Field(None, gt=0)
    """Difference of the start times of successive tiles, in seconds; none: the length of a tile."""
    jitter: bool = False
    """Whether to shift an anchor and its neighbors by the same random fraction of a hop, within their
    clips."""
    mode: Literal["batch", "triplet"] = "batch"
    """Negatives: other recordings in the batch, as the relation determines (batch), or one random tile for
    each
    neighbor (triplet)."""
    other_group: bool = False
    """In mode triplet: whether negatives must also come from another group (speaker, source, place)."""
    other: tuple[str, ...] = ()
    """In mode triplet: columns of the collection (such as session, node) in which negatives must also
    differ."""
    not_synchronous: float | None = Field(None, gt=0)
    """In mode triplet: smallest difference of the start times of anchor and negative on the common clock, in
    seconds; none: no such condition."""
    negatives_from: int | None = Field(None, ge=1)
    """In mode triplet: number of other files from which the negatives of a clip are drawn in an epoch, like a
    small
    buffer of open files; none: all files."""
    across: Across | None = None
    """Tiles of one scene from another recorder at the same time are neighbors, too, and tiles of one scene
    within range_seconds are no negatives of each other; none: neighbors come from one recording. Use the same
    value in the relation time."""

    @model_validator(mode="after")
    def _files_or_moments(self) -> Self:
        if self.negatives_from is not None and (self.not_synchronous is not None or self.across is not None):
            raise ValueError(
                "negatives_from draws whole files, but not_synchronous and across depend on times within "
                "them. Leave out negatives_from, or the other two."
            )
        return self

    needs: ClassVar[Literal["labels", "tags", "time"] | None] = "time"

    @property
    def sets_pairs(self) -> bool:
        """Whether negatives are drawn, too."""
        return self.mode == "triplet"

    def windows(self) -> int:
        """Returns the number of anchors, neighbors and, in mode triplet, negatives per batch."""
        return self.batch_size * (1 + self.neighbors * (2 if self.mode == "triplet" else 1))

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "TileSampler":
        """Creates the sampler over `rows`.

        Raises DataError for images or if fewer than two tiles have a neighbor, and RequestError if a column
        is
        unknown or no tile has a negative.
        """
        if not (metadata.seconds[rows] > 0).any():
            raise DataError(
                "sampler: tiles: the clips to train on have no duration; this sampler needs sound. For "
                "images, use balanced, shuffle or views."
            )
        step = self.hop_seconds or clip_seconds
        grid = lay(metadata, rows, clip_seconds, step)
        near, far = self._candidates(metadata, grid)
        alone = near.counts < 1
        anchors = np.flatnonzero(~alone)
        if len(anchors) < 2:
            raise DataError(
                f"sampler: tiles: {len(anchors)} of {len(grid)} tiles have a neighbor in their recording. "
                f"A tile is {clip_seconds:g} s long, a hop {step:g} s, the range {self.range_seconds:g} s. "
                "Lower data.clip_seconds or sampler.hop_seconds, or increase sampler.range_seconds."
            )
        unopposed = 0
        if self.mode == "triplet":
            met = far.draw(anchors, stream(seed, "opposites")) >= 0
            anchors, unopposed = anchors[met], int((~met).sum())
            if not len(anchors):
                raise RequestError(
                    "sampler: tiles: no tile has a negative: all tiles belong to one recording or one "
                    "group, or are synchronous. Relax other_group, other or not_synchronous, or add "
                    "recordings."
                )
        return TileSampler(grid, near, far, anchors, seed, self, int(alone.sum()), unopposed)

    def _candidates(self, metadata: ClipMetadata, grid: Grid) -> tuple[Neighbors, NegativeSampler]:
        """Returns the candidates for neighbors and negatives of the tiles of a grid."""
        across = self.across
        scenes = across.read(metadata, "sampler.across").take(grid.rows) if across else None
        within = across.within_seconds if across else 0.0
        near = Neighbors.of(grid, self.range_seconds, scenes, within)
        differing = [column(metadata, name, "sampler.other") for name in self.other]
        differing += [metadata.groups] if self.other_group else []
        apart = tuple(numbers[grid.rows] for numbers in differing)
        return near, NegativeSampler(
            grid, apart, self.not_synchronous, scenes, max(self.range_seconds, within)
        )


@dataclass(frozen=True)
class TileSampler(CutOrder):
    """Orders the anchors of an epoch so that each batch mixes recordings; draws neighbors and negatives."""

    grid: Grid
    near: Neighbors
    far: NegativeSampler
    anchors: Ints
    """Numbers of the tiles that can be anchors."""
    seed: int
    settings: Tiles
    alone: int
    """Number of tiles that are no anchors because they have no neighbor."""
    unopposed: int
    """Number of tiles that are no anchors because they have no negative (mode triplet only)."""
    dropped: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int:
        """Number of windows per batch; the last of an epoch may have fewer, or those of one more anchor."""
        return self.settings.batch_size * self._windows_per_anchor

    @property
    def clips_per_epoch(self) -> int:
        """Number of windows in an epoch."""
        return len(self.anchors) * self._windows_per_anchor

    @property
    def _windows_per_anchor(self) -> int:
        return 1 + self.settings.neighbors * (2 if self.settings.mode == "triplet" else 1)

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """Yields the batches of epoch `number`: A anchors, then the first neighbor of each, the second, ...

        In mode triplet, the negatives follow in the same order, and `pairs` is set: the neighbors of an
        anchor
        are its positives.
        """
        rng = stream(self.seed, "batches", number)
        order = self.anchors[spread(self.grid.recordings[self.anchors], rng)]
        near = self.near.pick(order, self.settings.neighbors, rng)
        shift = self._shift(order, near, rng)
        far, far_shift = self._negatives(order, rng)
        for part in cut(np.arange(len(order)), self.settings.batch_size):
            tiles = np.concatenate([order[part], near[part].T.ravel(), far[part].T.ravel()])
            moved = np.tile(shift[part], 1 + self.settings.neighbors)
            starts = self.grid.starts[tiles] + np.concatenate([moved, far_shift[part].T.ravel()])
            pairs = self._triplets(len(part)) if self.settings.mode == "triplet" else None
            yield BatchIndices(self.grid.rows[tiles], starts, pairs)

    def describe(self) -> str:
        """Describes batches, epochs and tiles left out, in one line."""
        kind = "triplet" if self.settings.mode == "triplet" else "neighbor"
        kind += "s" if self.settings.neighbors > 1 else ""
        line = (
            f"Batches of {self.batch_size} windows: {self.settings.batch_size} anchors with "
            f"{self.settings.neighbors} {kind} each. One epoch uses each of {len(self.anchors):,} tiles "
            "once as anchor."
        )
        if self.settings.across is not None:
            recorded = int((self.near.sizes[self.anchors] > 0).sum())
            line += f" {recorded:,} anchors have a tile of another recorder at the same time."
        left = f" Left out: {self.alone:,} of {len(self.grid):,} tiles without a neighbor in the range."
        line += left if self.alone else ""
        return line + (f" Left out: {self.unopposed:,} without a negative." if self.unopposed else "")

    def _shift(self, anchors: Ints, near: Ints, rng: np.random.Generator) -> Floats:
        """Draws (A,) seconds, the same for an anchor and its neighbors, so that their distance is
        unchanged."""
        if not self.settings.jitter:
            return np.zeros(len(anchors))
        room: Floats = np.minimum(self.grid.room[anchors], self.grid.room[near].min(axis=1))
        shift: Floats = rng.random(len(anchors)) * room
        return shift

    def _negatives(self, anchors: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """Draws (A, n) negatives and the seconds by which each is shifted; (A, 0) in mode batch."""
        count = self.settings.neighbors if self.settings.mode == "triplet" else 0
        repeated = np.repeat(anchors, count)
        files = self.settings.negatives_from
        far = self.far.draw_from(repeated, files, rng) if files and count else self.far.draw(repeated, rng)
        moved = rng.random(len(far)) * self.grid.room[far] if self.settings.jitter else np.zeros(len(far))
        return far.reshape(len(anchors), count), moved.reshape(len(anchors), count)

    def _triplets(self, anchors: int) -> Pairs:
        count = self.settings.neighbors
        repeated = torch.arange(anchors).repeat(count)
        near = anchors + torch.arange(anchors * count)
        return Pairs.from_triplets(repeated, near, near + anchors * count, anchors * (1 + 2 * count))


def spread(recordings: Ints, rng: np.random.Generator) -> Ints:
    """Returns a random permutation that distributes the tiles of each recording evenly over the epoch.

    Each batch then contains recordings in about the same proportion as the whole set.
    """
    shuffled = rng.permutation(len(recordings))
    grouped = shuffled[np.argsort(recordings[shuffled], kind="stable")]
    _, begins, which, sizes = np.unique(
        recordings[grouped], return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.arange(len(grouped)) - begins[which]
    return grouped[np.argsort((rank + rng.random(len(grouped))) / sizes[which])]
