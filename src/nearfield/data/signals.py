"""Signals from which windows are cut, trimming of silence, and the loader of batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from nearfield.core.parallel import in_order
from nearfield.core.types import Batch, BatchIndices, ClipMetadata, Floats, MixPartner, Vectors
from nearfield.data.audio import Waves

# Trimming of silence.

HOP, HOPS = 512, 4
"""Hop in samples, and number of hops in a frame."""
_FLOOR = 1e-10  # mean square below which everything counts as silence


def sounding(waves: Waves, decibels: float) -> tuple[int, int]:
    """Returns the first sample and the end of (C, T) without silence at its beginning and end.

    Frames are silent if all channels are `decibels` or more below the loudest frame, as in
    `librosa.effects.trim`. A clip that is entirely silent is not trimmed.
    """
    loudness = Loudness(len(waves))
    loudness.take(waves)
    return loudness.sounding(decibels)


class Loudness:
    """Loudness of a clip over time, accumulated from blocks (C, T) of any length."""

    def __init__(self, channels: int) -> None:
        self._sums: list[Floats] = []
        self._rest = np.zeros((channels, 0), np.float32)
        self._samples = 0

    def take(self, waves: Waves) -> None:
        """Adds the next block."""
        self._samples += waves.shape[-1]
        waves = np.concatenate([self._rest, waves], axis=1) if self._rest.size else waves
        whole = waves.shape[-1] // HOP * HOP
        hops = [channel[:whole].reshape(-1, HOP) for channel in waves]
        self._sums.append(np.stack([np.einsum("ht,ht->h", own, own) for own in hops]).astype(np.float64))
        self._rest = np.array(waves[:, whole:], np.float32)

    def sounding(self, decibels: float) -> tuple[int, int]:
        """Returns first sample and end like the function of this name, for all blocks."""
        powers = np.maximum(self._powers(), _FLOOR)
        loud = 10 * np.log10(powers / powers.max()) > -decibels
        looks = np.flatnonzero(loud.any(axis=0))
        return int(looks[0]) * HOP, min(self._samples, (int(looks[-1]) + 1) * HOP)

    def _powers(self) -> Floats:
        """(C, 1 + T // HOP) mean square around each multiple of HOP, with zero padding."""
        rest = np.array([[float(channel @ channel)] for channel in self._rest])
        hops = np.concatenate([*self._sums, rest], axis=1)
        looks = hops.shape[1]
        sums = np.pad(hops, ((0, 0), (HOPS // 2, HOPS // 2)))
        return np.asarray(sum(sums[:, k : k + looks] for k in range(HOPS)) / (HOP * HOPS))


# Signals: sounds, spectrograms or images from which windows are cut.

Numbers = npt.NDArray[Any]
"""float32 for waves and spectrograms, uint8 for images."""


class Signals(Protocol):
    """The data of N clips, as the loader uses them.

    Rows are those of the collection; positions and lengths are in samples (or frames).
    """

    @property
    def rate(self) -> float:
        """Samples (or frames) per second; 0 for images."""

    @property
    def channels(self) -> int:
        """Number of channels C."""

    def __len__(self) -> int: ...

    def length(self, row: int) -> int:
        """Returns the length of a clip in samples."""

    def shape(self, length: int) -> tuple[int, ...]:
        """Returns the shape of a window of `length` samples, without batch dimension."""

    def cut(self, row: int, start: int, length: int, out: Vectors) -> None:
        """Copies a window from sample `start` on to `out` (float32, `shape(length)`), padded with zeros."""


@dataclass(frozen=True, eq=False)
class ArraySignals:
    """Clips as arrays (C, ..., T), in memory or mapped from disk; time is the last axis.

    Waves are (C, T), cached spectrograms (C, bands, frames).
    """

    arrays: Sequence[Numbers]
    """One array per clip; shapes are equal except for T."""
    rate: float
    lead: tuple[int, ...]
    """Shape without time: (C,) or (C, bands)."""
    trimmed: float = 0.0
    """Total silence trimmed from all clips, in seconds."""
    begins: Floats | None = None
    """(N,) silence trimmed from the beginning of each clip, in seconds; None: no trimming."""

    @classmethod
    def of(cls, arrays: Sequence[Numbers], rate: float) -> "ArraySignals":
        """Creates signals from at least one array (C, ..., T) at `rate` samples per second."""
        return cls(arrays, rate, arrays[0].shape[:-1])

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return self.lead[0]

    @property
    def seconds(self) -> Floats:
        """(N,) length of each clip in seconds."""
        return np.array([array.shape[-1] for array in self.arrays], np.float64) / self.rate

    def corrected(self, metadata: ClipMetadata) -> ClipMetadata:
        """Returns the metadata with lengths and start times after trimming."""
        start_times = metadata.start_times if self.begins is None else metadata.start_times + self.begins
        return replace(metadata, seconds=self.seconds, start_times=start_times)

    def __len__(self) -> int:
        return len(self.arrays)

    def length(self, row: int) -> int:
        """Returns the length of a clip in samples (or frames)."""
        return int(self.arrays[row].shape[-1])

    def shape(self, length: int) -> tuple[int, ...]:
        """Returns (C, length) or (C, bands, length)."""
        return (*self.lead, length)

    def cut(self, row: int, start: int, length: int, out: Vectors) -> None:
        """Copies samples `start` to `start + length` to `out`, padded with zeros."""
        piece = self.arrays[row][..., start : start + length]
        there = piece.shape[-1]
        if there == length:
            out[...] = piece
            return
        out[..., :there] = piece
        out[..., there:] = 0.0


@dataclass(frozen=True, eq=False)
class PhotographSignals:
    """Images as bytes; a window is the whole image for any start and length."""

    arrays: Sequence[Numbers]
    """(C, H, W) uint8, all with the same shape."""
    size: tuple[int, int, int]
    """(C, H, W)"""
    rate: float = 0.0

    @property
    def channels(self) -> int:
        """Number of channels C: 1 for gray, 3 for RGB."""
        return self.size[0]

    def __len__(self) -> int:
        return len(self.arrays)

    def length(self, row: int) -> int:
        """Returns 1."""
        return 1

    def shape(self, length: int) -> tuple[int, ...]:
        """Returns (C, H, W)."""
        return self.size

    def cut(self, row: int, start: int, length: int, out: Vectors) -> None:
        """Copies the image to `out` (C, H, W), with values from 0 to 1."""
        np.divide(self.arrays[row], np.float32(255), out=out)


# The loader: converts batch indices to batches, in order, for any number of threads.


@dataclass(frozen=True)
class Loader:
    """Cuts the windows of batches in threads, some batches in advance.

    A window starts where the indices say, or earlier so that it lies within the clip. Clips shorter than the
    window are padded with zeros at the end. Threads share only the signals, and each batch is made by one
    thread, so batches do not depend on the number of threads. The threads end with the iteration, also if it
    is abandoned. An error in one is raised in place of its batch.
    """

    signals: Signals
    draws: Iterable[BatchIndices]
    length: int
    """Length of a window in samples (or frames)."""
    workers: int = 1
    """Number of threads; 0 uses the thread of the consumer."""
    ahead: int = 4
    """Number of batches made in advance."""

    def __iter__(self) -> Iterator[Batch]:
        # The consumer's thread allocates, because malloc does not reuse memory of other threads.
        shape = self.signals.shape(self.length)
        blanks = ((indices, np.empty((len(indices), *shape), np.float32)) for indices in self.draws)
        return in_order(self._batch, blanks, self.workers, self.ahead, "load")

    def _batch(self, blank: tuple[BatchIndices, Vectors]) -> Batch:
        """Makes a batch, float32 (B, *signals.shape(length))."""
        indices, out = blank
        for item, row, start in zip(out, indices.rows.tolist(), indices.starts.tolist(), strict=True):
            self._cut(row, start, item)
        if indices.partner is not None:
            self._add_partners(indices.partner, out)
        return Batch(torch.from_numpy(out), indices)

    def _add_partners(self, partner: MixPartner, out: Vectors) -> None:
        """Mixes in the windows of other clips at the given power ratios. If one of both is silent, they are
        added without scaling."""
        other = np.empty(out.shape[1:], np.float32)
        each = (partner.rows.tolist(), partner.starts.tolist(), partner.decibels.tolist())
        for item, row, start, decibels in zip(out, *each, strict=True):
            if row < 0:
                continue
            self._cut(row, start, other)
            own, theirs = float(np.square(item).mean()), float(np.square(other).mean())
            if own > 0 and theirs > 0:
                other *= np.float32((own / theirs * 10 ** (-decibels / 10)) ** 0.5)
            item += other

    def _cut(self, row: int, start: float, out: Vectors) -> None:
        """Cuts a window `start` seconds into its clip, or earlier so that it lies within the clip."""
        last = max(0, self.signals.length(row) - self.length)
        first = min(max(0, round(start * self.signals.rate)), last)
        self.signals.cut(row, first, self.length, out)
