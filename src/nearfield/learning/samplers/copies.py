"""Fixed augmented copies beside the clips: a larger training set, in place of chance in each batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nearfield.core.types import BatchIndices, ClipMetadata, Ints
from nearfield.learning.samplers import Sampler, SamplerSettings


def build_sampler(
    settings: SamplerSettings, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int, copies: int
) -> Sampler:
    """The schedule of a training over `rows` and `copies` copies of each; errors as of the settings' own."""
    if not copies:
        built: Sampler = settings.build(metadata, rows, clip_seconds, seed)
        return built
    clips, each = len(metadata), np.arange(copies + 1)
    many = metadata.take(np.tile(np.arange(clips), copies + 1))
    all_rows = (rows + each[:, None] * clips).ravel()
    return CopiesSampler(settings.build(many, all_rows, clip_seconds, seed), clips, copies)


@dataclass(frozen=True)
class CopiesSampler:
    """The schedule of another sampler over clips and their copies; its draws name the clip and the copy."""

    inner: Sampler
    clips: int
    """Clips of the collection: row r + c x clips of `inner` is copy c of clip r."""
    copies: int

    @property
    def batch_size(self) -> int:
        """Windows in a full batch."""
        return self.inner.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """Windows drawn in an epoch, of clips and of copies."""
        return self.inner.clips_per_epoch

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the labels or tags that never come."""
        return self.inner.dropped

    @property
    def is_short(self) -> bool:
        """Whether every batch is smaller than the settings ask."""
        return self.inner.is_short

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """The draws of epoch `number`, with rows of the collection."""
        for indices in self.inner.epoch(number):
            yield replace(indices, rows=indices.rows % self.clips, copies=indices.rows // self.clips)

    def describe(self) -> str:
        """One line: batch, epoch, copies."""
        return f"{self.inner.describe()} Each clip counts {self.copies + 1} times: itself and its copies."
