"""Samplers without labels: every clip once per epoch, or two views of it in one batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from nearfield.core.errors import DataError
from nearfield.core.rng import stream
from nearfield.core.types import BatchIndices, ClipMetadata, Ints
from nearfield.learning.samplers.base import BaseSamplerSettings, CutOrder
from nearfield.learning.samplers.batches import Mixing, cut, random_starts


class Shuffle(BaseSamplerSettings):
    """A random permutation of all clips in each epoch, cut into batches."""

    kind: Literal["shuffle"] = "shuffle"
    batch_size: int = Field(32, ge=2)
    """Number of clips per batch; 2 or more."""
    drop_last: bool = False
    """Whether to leave out the smaller batch at the end of an epoch. If not, a single remaining clip joins
    the
    batch before it."""
    mixing: Mixing | None = None
    """Mixes some clips with another clip of the batch, so that they have the tags of both; none: no
    mixtures."""

    clip_by_clip: ClassVar[bool] = True

    @property
    def mixes(self) -> bool:
        """Whether `mixing` is set."""
        return self.mixing is not None

    def without_positives(self, by: Literal["labels", "views"]) -> str | None:
        """Returns why batches contain no two views of a clip."""
        return "sampler.kind: shuffle draws no two views of a clip in a batch" if by == "views" else None

    def windows(self) -> int:
        """Returns the number of clips per batch."""
        return self.batch_size

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "ShuffleSampler":
        """Creates the sampler over `rows`. Raises DataError if there are too few for one batch."""
        least = self.batch_size if self.drop_last else 2
        if len(rows) < least:
            raise DataError(
                f"sampler: shuffle: a batch needs {least} clips, but there are {len(rows)} to train on. "
                "Add clips" + (", lower batch_size, or set drop_last to false." if self.drop_last else ".")
            )
        return ShuffleSampler(metadata, rows, clip_seconds, seed, self)


@dataclass(frozen=True)
class ShuffleSampler(CutOrder):
    """Cuts a random permutation of the rows into batches."""

    metadata: ClipMetadata
    rows: Ints
    clip_seconds: float
    seed: int
    settings: Shuffle
    dropped: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int:
        """Number of clips per batch; the last of an epoch may have fewer, or one more."""
        return self.settings.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """Number of clips in an epoch: all, or with `drop_last` those of full batches."""
        short = len(self.rows) % self.batch_size if self.settings.drop_last else 0
        return len(self.rows) - short

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """Yields the batches of epoch `number`; each clip is in exactly one of them."""
        rng = stream(self.seed, "batches", number)
        for rows in cut(rng.permutation(self.rows), self.batch_size, self.settings.drop_last):
            starts = random_starts(self.metadata, rows, self.clip_seconds, rng)
            mixing = self.settings.mixing
            partner = mixing.draw(self.metadata, rows, self.clip_seconds, rng) if mixing else None
            yield BatchIndices(rows, starts, partner=partner)

    def describe(self) -> str:
        """Describes batches and epochs, in one line."""
        line = (
            f"Batches of {self.batch_size} clips. One epoch uses each of {self.clips_per_epoch:,} clips once."
        )
        mixing = self.settings.mixing
        return line + (f" {mixing.share:.0%} are mixed with another clip." if mixing else "")


class TwoViews(BaseSamplerSettings):
    """Two views of each clip in a batch (positions i and i + B/2), in a random order of clips in each
    epoch."""

    kind: Literal["views"] = "views"
    batch_size: int = Field(64, ge=4, multiple_of=2)
    """Number of windows per batch, two for each clip; even, 4 or more."""
    same_window: bool = False
    """Whether both views start at the same time in the clip; if not, each starts at random."""

    def windows(self) -> int:
        """Returns the number of windows per batch."""
        return self.batch_size

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "ViewSampler":
        """Creates the sampler over `rows`. Raises DataError if there are fewer than two clips."""
        if len(rows) < 2:
            raise DataError(
                f"sampler: views: it needs two clips or more, but there are {len(rows)} to train on. Add "
                "clips."
            )
        return ViewSampler(metadata, rows, clip_seconds, seed, self)


@dataclass(frozen=True)
class ViewSampler(CutOrder):
    """Cuts a random permutation of the rows into batches and repeats the rows of each."""

    metadata: ClipMetadata
    rows: Ints
    clip_seconds: float
    seed: int
    settings: TwoViews
    dropped: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int:
        """Number of windows per batch; the last of an epoch may have fewer, or two more."""
        return self.settings.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """Number of windows in an epoch, two for each clip."""
        return 2 * len(self.rows)

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """Yields the batches of epoch `number`; each clip is in exactly one of them, twice."""
        rng = stream(self.seed, "batches", number)
        for rows in cut(rng.permutation(self.rows), self.batch_size // 2):
            first = random_starts(self.metadata, rows, self.clip_seconds, rng)
            again = random_starts(self.metadata, rows, self.clip_seconds, rng)
            second = first if self.settings.same_window else again
            yield BatchIndices(np.concatenate([rows, rows]), np.concatenate([first, second]))

    def describe(self) -> str:
        """Describes batches and epochs, in one line."""
        return (
            f"Batches of {self.batch_size} windows: {self.batch_size // 2} clips, two views each. One epoch "
            f"has {self.clips_per_epoch:,} windows."
        )
