"""Training with fixed augmented copies of the clips instead of random augmentation of each batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nearfield.core.types import BatchIndices, ClipMetadata, Ints
from nearfield.learning.samplers import Sampler, SamplerSettings


def build_sampler(
    settings: SamplerSettings, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int, copies: int
) -> Sampler:
    """Creates the sampler of a training over `rows` and `copies` copies of each; raises like `build`."""
    if not copies:
        built: Sampler = settings.build(metadata, rows, clip_seconds, seed)
        return built
    clips, each = len(metadata), np.arange(copies + 1)
    many = metadata.take(np.tile(np.arange(clips), copies + 1))
    all_rows = (rows + each[:, None] * clips).ravel()
    return CopiesSampler(settings.build(many, all_rows, clip_seconds, seed), clips, copies)


@dataclass(frozen=True)
class CopiesSampler:
    """Wraps a sampler over clips and copies; its batches contain the row of the clip and the copy."""

    inner: Sampler
    clips: int
    """Number of clips in the collection; row r + c x clips of `inner` is copy c of clip r."""
    copies: int

    @property
    def batch_size(self) -> int:
        """Number of windows in a full batch."""
        return self.inner.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """Number of windows in an epoch, of clips and of copies."""
        return self.inner.clips_per_epoch

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the labels or tags that are never drawn."""
        return self.inner.dropped

    @property
    def is_short(self) -> bool:
        """Whether all batches are smaller than the settings require."""
        return self.inner.is_short

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """Yields the batches of epoch `number`, with rows of the collection."""
        for indices in self.inner.epoch(number):
            yield replace(indices, rows=indices.rows % self.clips, copies=indices.rows // self.clips)

    def describe(self) -> str:
        """Describes batches, epochs and copies, in one line."""
        return f"{self.inner.describe()} Each clip counts {self.copies + 1} times: itself and its copies."
