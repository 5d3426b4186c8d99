"""`Signals`: N clips of sound or pictures out of which windows can be cut, whatever they are kept in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nearfield.core.nouns import Facts, Floats, Vectors

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

    def corrected(self, facts: Facts) -> Facts:
        """The facts of these clips as they are kept: so long, and beginning so much later."""
        moments = facts.moments if self.begins is None else facts.moments + self.begins
        return replace(facts, seconds=self.seconds, moments=moments)

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
