"""Every clip once an epoch, in a fresh order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from nearfield.core.errors import DataError
from nearfield.core.nouns import Draw, Facts, Ints
from nearfield.core.seeds import stream
from nearfield.core.settings import Settings
from nearfield.learning.samplers.cutting import cut
from nearfield.learning.samplers.mixing import Mixing
from nearfield.learning.samplers.windows import random_starts


class Shuffle(Settings):
    """A full permutation of the clips each epoch, cut into batches."""

    kind: Literal["shuffle"] = "shuffle"
    batch_size: int = Field(32, ge=2)
    """Clips a batch."""
    drop_last: bool = False
    """Leave out the short batch at the end of an epoch. If kept, a single clip joins the batch before."""
    mixing: Mixing | None = None
    """Some clips are heard together with another of the batch, and have the tags of both; none: every clip is
    heard alone."""

    introductions: ClassVar[dict[str, str]] = {"mixing": Mixing.introduction}

    def build(self, facts: Facts, rows: Ints, clip_seconds: float, seed: int) -> "ShuffleSampler":
        """The sampler over `rows`. Raises DataError where they do not make one batch."""
        least = self.batch_size if self.drop_last else 2
        if len(rows) < least:
            raise DataError(
                f"sampler: shuffle: a batch needs {least} clips, and there are {len(rows)} to train on. "
                "Give more clips"
                + (", a smaller batch_size, or drop_last: false." if self.drop_last else ".")
            )
        return ShuffleSampler(facts, rows, clip_seconds, seed, self)


@dataclass(frozen=True)
class ShuffleSampler:
    """Permutes the rows of an epoch and cuts them."""

    facts: Facts
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
    def is_short(self) -> bool:
        """Whether all clips together are fewer than a batch was to hold."""
        return self.clips_per_epoch < self.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """All clips; with `drop_last` those of whole batches."""
        short = len(self.rows) % self.batch_size if self.settings.drop_last else 0
        return len(self.rows) - short

    def epoch(self, number: int) -> Iterator[Draw]:
        """The draws of epoch `number`; each clip is in exactly one of them."""
        chance = stream(self.seed, "batches", number)
        for rows in cut(chance.permutation(self.rows), self.batch_size, self.settings.drop_last):
            starts = random_starts(self.facts, rows, self.clip_seconds, chance)
            mixing = self.settings.mixing
            beside = mixing.draw(self.facts, rows, self.clip_seconds, chance) if mixing else None
            yield Draw(rows, starts, beside=beside)

    def describe(self) -> str:
        """One line: batch and epoch."""
        line = (
            f"Batches of {self.batch_size} clips. One epoch uses each of {self.clips_per_epoch:,} clips once."
        )
        mixing = self.settings.mixing
        return line + (f" {mixing.share:.0%} are heard together with another." if mixing else "")
