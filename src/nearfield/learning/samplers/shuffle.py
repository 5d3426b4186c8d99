"""Samplers without labels: every clip once an epoch, or twice in one batch."""

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

# Every clip once an epoch, in a fresh order.


class Shuffle(BaseSamplerSettings):
    """A full permutation of the clips each epoch, cut into batches."""

    kind: Literal["shuffle"] = "shuffle"
    batch_size: int = Field(32, ge=2)
    """Clips a batch."""
    drop_last: bool = False
    """Leave out the short batch at the end of an epoch. If kept, a single clip joins the batch before."""
    mixing: Mixing | None = None
    """Some clips are heard together with another of the batch, and have the tags of both; none: every clip is
    heard alone."""

    clip_by_clip: ClassVar[bool] = True

    @property
    def mixes(self) -> bool:
        """Whether `mixing` is set."""
        return self.mixing is not None

    def without_positives(self, by: Literal["labels", "views"]) -> str | None:
        """Why no clip is twice in a batch."""
        return "sampler.kind: shuffle does not bring two views of a clip together" if by == "views" else None

    def windows(self) -> int:
        """Clips a batch."""
        return self.batch_size

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "ShuffleSampler":
        """The sampler over `rows`. Raises DataError where they do not make one batch."""
        least = self.batch_size if self.drop_last else 2
        if len(rows) < least:
            raise DataError(
                f"sampler: shuffle: a batch needs {least} clips, and there are {len(rows)} to train on. "
                "Give more clips"
                + (", a smaller batch_size, or drop_last: false." if self.drop_last else ".")
            )
        return ShuffleSampler(metadata, rows, clip_seconds, seed, self)


@dataclass(frozen=True)
class ShuffleSampler(CutOrder):
    """Permutes the rows of an epoch and cuts them."""

    metadata: ClipMetadata
    rows: Ints
    clip_seconds: float
    seed: int
    settings: Shuffle
    dropped: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int:
        """Clips a batch; the last of an epoch may hold fewer, or one more."""
        return self.settings.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """All clips; with `drop_last` those of whole batches."""
        short = len(self.rows) % self.batch_size if self.settings.drop_last else 0
        return len(self.rows) - short

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """The draws of epoch `number`; each clip is in exactly one of them."""
        rng = stream(self.seed, "batches", number)
        for rows in cut(rng.permutation(self.rows), self.batch_size, self.settings.drop_last):
            starts = random_starts(self.metadata, rows, self.clip_seconds, rng)
            mixing = self.settings.mixing
            partner = mixing.draw(self.metadata, rows, self.clip_seconds, rng) if mixing else None
            yield BatchIndices(rows, starts, partner=partner)

    def describe(self) -> str:
        """One line: batch and epoch."""
        line = (
            f"Batches of {self.batch_size} clips. One epoch uses each of {self.clips_per_epoch:,} clips once."
        )
        mixing = self.settings.mixing
        return line + (f" {mixing.share:.0%} are heard together with another." if mixing else "")


# Every clip twice in one batch, for losses that learn from two bendings of it.


class TwoViews(BaseSamplerSettings):
    """A full permutation of the clips each epoch; positions i and i + B/2 of a batch hold one clip."""

    kind: Literal["views"] = "views"
    batch_size: int = Field(64, ge=4, multiple_of=2)
    """Windows a batch: two for each of half as many clips."""
    same_window: bool = False
    """Both views start at the same moment of the clip; otherwise each starts where it likes."""

    def windows(self) -> int:
        """Two of each clip."""
        return self.batch_size

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "ViewSampler":
        """The sampler over `rows`. Raises DataError for fewer than two clips."""
        if len(rows) < 2:
            raise DataError(f"sampler: views: it needs two clips, and there are {len(rows)} to train on.")
        return ViewSampler(metadata, rows, clip_seconds, seed, self)


@dataclass(frozen=True)
class ViewSampler(CutOrder):
    """Permutes the rows of an epoch, cuts them and repeats each cut."""

    metadata: ClipMetadata
    rows: Ints
    clip_seconds: float
    seed: int
    settings: TwoViews
    dropped: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int:
        """Windows a batch; the last of an epoch may hold fewer, or two more."""
        return self.settings.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """Each clip, twice."""
        return 2 * len(self.rows)

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """The draws of epoch `number`; each clip is in exactly one of them, twice."""
        rng = stream(self.seed, "batches", number)
        for rows in cut(rng.permutation(self.rows), self.batch_size // 2):
            first = random_starts(self.metadata, rows, self.clip_seconds, rng)
            again = random_starts(self.metadata, rows, self.clip_seconds, rng)
            second = first if self.settings.same_window else again
            yield BatchIndices(np.concatenate([rows, rows]), np.concatenate([first, second]))

    def describe(self) -> str:
        """One line: batch and epoch."""
        return (
            f"Batches of {self.batch_size} windows: {self.batch_size // 2} clips, two views each. One epoch "
            f"has {self.clips_per_epoch:,} windows."
        )
