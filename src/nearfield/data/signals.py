"""Signals: clips out of which windows are cut; trimming; the loader of batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from nearfield.core.parallel import in_order
from nearfield.core.types import Batch, BatchIndices, ClipMetadata, Floats, MixPartner, Vectors
from nearfield.data.audio import Waves

# Where a clip's sound begins and ends, by loudness.

HOP, HOPS = 512, 4
"""Samples between two looks at the loudness, and how many hops one look covers."""
_FLOOR = 1e-10  # squared loudness under which all is the same silence


def sounding(waves: Waves, decibels: float) -> tuple[int, int]:
    """First sample and end of what is left when quiet margins are cut away from (C, T).

    Quiet is what stays `decibels` or more below the loudest look, in every channel; a clip of nothing but
    silence is left whole. The rule is that of `librosa.effects.trim`.
    """
    loudness = Loudness(len(waves))
    loudness.take(waves)
    return loudness.sounding(decibels)


class Loudness:
    """How loud a clip is along its time, gathered from pieces (C, T) of any length."""

    def __init__(self, channels: int) -> None:
        self._sums: list[Floats] = []
        self._rest = np.zeros((channels, 0), np.float32)
        self._samples = 0

    def take(self, waves: Waves) -> None:
        """The next piece."""
        self._samples += waves.shape[-1]
        waves = np.concatenate([self._rest, waves], axis=1) if self._rest.size else waves
        whole = waves.shape[-1] // HOP * HOP
        hops = [channel[:whole].reshape(-1, HOP) for channel in waves]
        self._sums.append(np.stack([np.einsum("ht,ht->h", own, own) for own in hops]).astype(np.float64))
        self._rest = np.array(waves[:, whole:], np.float32)

    def sounding(self, decibels: float) -> tuple[int, int]:
        """As the function of that name, for all that was taken."""
        powers = np.maximum(self._powers(), _FLOOR)
        loud = 10 * np.log10(powers / powers.max()) > -decibels
        looks = np.flatnonzero(loud.any(axis=0))
        return int(looks[0]) * HOP, min(self._samples, (int(looks[-1]) + 1) * HOP)

    def _powers(self) -> Floats:
        """(C, 1 + T // HOP) mean square around each multiple of HOP; beyond the ends there is silence."""
        rest = np.array([[float(channel @ channel)] for channel in self._rest])
        hops = np.concatenate([*self._sums, rest], axis=1)
        looks = hops.shape[1]
        sums = np.pad(hops, ((0, 0), (HOPS // 2, HOPS // 2)))
        return np.asarray(sum(sums[:, k : k + looks] for k in range(HOPS)) / (HOP * HOPS))


# `Signals`: N clips of sound or pictures out of which windows can be cut, whatever they are kept in.

Numbers = npt.NDArray[Any]
"""float32 for sounds and their pictures, uint8 for photographs."""


class Signals(Protocol):
    """What a loader cuts from.

    Rows are those of the collection; positions and lengths count samples (or frames).
    """

    @property
    def rate(self) -> float:
        """Samples (or frames) a second; 0 for photographs."""

    @property
    def channels(self) -> int:
        """C"""

    def __len__(self) -> int: ...

    def length(self, row: int) -> int:
        """Samples of the clip."""

    def shape(self, length: int) -> tuple[int, ...]:
        """Shape of a window of `length` samples, without the batch: what `cut` fills."""

    def cut(self, row: int, start: int, length: int, out: Vectors) -> None:
        """Fills `out` (float32, of `shape(length)`) from sample `start` on; zeros past the clip's end."""


@dataclass(frozen=True, eq=False)
class ArraySignals:
    """Clips as arrays (C, ..., T), in memory or mapped from disk; time is the last axis.

    Waves are (C, T), kept feature pictures (C, bands, frames).
    """

    arrays: Sequence[Numbers]
    """One a clip; all alike but for T."""
    rate: float
    lead: tuple[int, ...]
    """Shape without time: (C,) or (C, bands)."""
    trimmed: float = 0.0
    """Seconds of silence that were cut away before, over all clips."""
    begins: Floats | None = None
    """(N,) seconds of silence cut away at each clip's beginning; none: nowhere."""

    @classmethod
    def of(cls, arrays: Sequence[Numbers], rate: float) -> "ArraySignals":
        """Signals of at least one array (C, ..., T) at `rate` a second."""
        return cls(arrays, rate, arrays[0].shape[:-1])

    @property
    def channels(self) -> int:
        """C"""
        return self.lead[0]

    @property
    def seconds(self) -> Floats:
        """(N,) how long each clip is."""
        return np.array([array.shape[-1] for array in self.arrays], np.float64) / self.rate

    def corrected(self, metadata: ClipMetadata) -> ClipMetadata:
        """The facts of these clips as they are kept: so long, and beginning so much later."""
        start_times = metadata.start_times if self.begins is None else metadata.start_times + self.begins
        return replace(metadata, seconds=self.seconds, start_times=start_times)

    def __len__(self) -> int:
        return len(self.arrays)

    def length(self, row: int) -> int:
        """Samples (or frames) of the clip."""
        return int(self.arrays[row].shape[-1])

    def shape(self, length: int) -> tuple[int, ...]:
        """(C, length) or (C, bands, length)."""
        return (*self.lead, length)

    def cut(self, row: int, start: int, length: int, out: Vectors) -> None:
        """Copies samples `start` to `start + length` into `out`; zeros past the clip's end."""
        piece = self.arrays[row][..., start : start + length]
        there = piece.shape[-1]
        if there == length:
            out[...] = piece
            return
        out[..., :there] = piece
        out[..., there:] = 0.0


@dataclass(frozen=True, eq=False)
class PhotographSignals:
    """Photographs as bytes; a window is the whole photograph, whatever start and length are asked for."""

    arrays: Sequence[Numbers]
    """(C, H, W) uint8, all of one shape."""
    size: tuple[int, int, int]
    """(C, H, W)"""
    rate: float = 0.0

    @property
    def channels(self) -> int:
        """C: 1 for grey, 3 for colour."""
        return self.size[0]

    def __len__(self) -> int:
        return len(self.arrays)

    def length(self, row: int) -> int:
        """Always 1."""
        return 1

    def shape(self, length: int) -> tuple[int, ...]:
        """(C, H, W)"""
        return self.size

    def cut(self, row: int, start: int, length: int, out: Vectors) -> None:
        """Fills `out` (C, H, W) with the photograph, 0 black to 1 white."""
        np.divide(self.arrays[row], np.float32(255), out=out)


# The loader: draws in, batches out, in the order of the draws whatever the number of threads.


@dataclass(frozen=True)
class Loader:
    """Cuts the windows that draws ask for, some batches ahead of whoever reads them.

    A window starts where the draw says, but no later than lets it lie wholly in the clip; only a clip
    shorter than the window is filled up with zeros at its end. Threads share nothing but the signals, and
    each batch is one thread's work, so batches are the same for any number of them. The threads end with
    the iteration, also where it is left early. An error in one is raised where its batch was due.
    """

    signals: Signals
    draws: Iterable[BatchIndices]
    length: int
    """Samples (or frames) of a window."""
    workers: int = 1
    """Threads that cut; 0 cuts in the reader's own."""
    ahead: int = 4
    """Batches that may be finished or under way beyond the one being read."""

    def __iter__(self) -> Iterator[Batch]:
        # The reader's thread takes the memory: what other threads take is not kept for the next batch.
        shape = self.signals.shape(self.length)
        blanks = ((indices, np.empty((len(indices), *shape), np.float32)) for indices in self.draws)
        return in_order(self._batch, blanks, self.workers, self.ahead, "load")

    def _batch(self, blank: tuple[BatchIndices, Vectors]) -> Batch:
        """One batch, float32 (B, *signals.shape(length))."""
        indices, out = blank
        for item, row, start in zip(out, indices.rows.tolist(), indices.starts.tolist(), strict=True):
            self._cut(row, start, item)
        if indices.partner is not None:
            self._lay_beside(indices.partner, out)
        return Batch(torch.from_numpy(out), indices)

    def _lay_beside(self, partner: MixPartner, out: Vectors) -> None:
        """Adds the other clips' windows, each at so many decibels under the item's own; silence has no level
        to go by, and is added to as it is."""
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
        """One window, `start` seconds into its clip or as late as lets it lie within."""
        last = max(0, self.signals.length(row) - self.length)
        first = min(max(0, round(start * self.signals.rate)), last)
        self.signals.cut(row, first, self.length, out)
