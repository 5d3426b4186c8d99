"""The windows of clips, cut while their files are being decoded: memory does not grow with a file's length.

What comes out is what `data.store` and `runs.workbench.windows` make of the whole file.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearfield.core.errors import DataError
from nearfield.data.audio import Waves, mix
from nearfield.data.decoding import sound_blocks
from nearfield.data.settings import Channels, DataSettings
from nearfield.data.trimming import sounding

_LEAST = 1e-3  # seconds: a shorter rest at a clip's end has no window of its own
_END = 1 << 62  # a sample that no file has
_KEPT = 1 << 26  # samples kept for clips that overlap; beyond them the file is decoded again


@dataclass(frozen=True)
class Piece:
    """A clip as a piece of a file."""

    start: float
    """Seconds into the file."""
    seconds: float
    """Its length; 0: to the file's end."""
    channel: int | None = None
    """The one channel that it stands for, where each is a clip of its own; None: as the settings say."""


@dataclass(frozen=True, eq=False)
class Window:
    """What the network hears at once."""

    piece: int
    """Which of the pieces it is of."""
    start: float
    """Seconds into that piece."""
    wave: Waves
    """(C, T), T no more than a window's samples."""


def cut(path: Path, pieces: Sequence[Piece], settings: DataSettings) -> Iterator[Window]:
    """The windows of some pieces of one file; pieces in the order of their starts are read in one go.

    Raises DataError where the file cannot be decoded, or a piece begins after its end.
    """
    channels: Channels = "all" if settings.channels == "views" else settings.channels
    with closing(_Stream(path, settings.sample_rate, channels)) as stream:
        for number, piece in enumerate(pieces):
            following = pieces[number + 1].start if number + 1 < len(pieces) else np.inf
            stream.keep = int(min(following * settings.sample_rate, _END))
            for start, wave in _windows(stream, path, piece, settings):
                yield Window(number, start, mix(wave, _wanted(piece, settings)))


def _wanted(piece: Piece, settings: DataSettings) -> Channels:
    """What is still to be done to a wave of the stream: of views it has all channels."""
    if piece.channel is not None:
        return piece.channel
    return "mean" if settings.channels == "views" else "all"


def _windows(
    stream: "_Stream", path: Path, piece: Piece, settings: DataSettings
) -> Iterator[tuple[float, Waves]]:
    rate, length = settings.sample_rate, round(settings.clip_seconds * settings.sample_rate)
    first = round(min(piece.start * rate, _END))
    last = round(min((piece.start + piece.seconds) * rate, _END)) if piece.seconds > 0 else _END
    stream.back = length
    if not stream.read(first, min(first + 1, last)).size:
        raise DataError(
            f"{path}: the clip from {piece.start:g} s on holds no sample. "
            "Correct start and seconds, or remove the row."
        )
    if settings.trim_db is None:
        yield from _march(lambda a, b: stream.read(first + a, first + b), last - first, length, settings)
        return
    clip = stream.read(first, last)
    begin, end = sounding(clip, settings.trim_db)
    yield from _march(lambda a, b: clip[:, begin + a : begin + b], end - begin, length, settings)


def _march(
    read: Callable[[int, int], Waves], most: int, length: int, settings: DataSettings
) -> Iterator[tuple[float, Waves]]:
    """Windows end to end, until `read` or `most` samples are at an end; the last one flush with that."""
    rate, number, start = settings.sample_rate, 0, 0
    wave = read(0, min(length, most))
    while wave.shape[1] == length:
        yield start / rate, wave
        number += 1
        start = round(number * settings.clip_seconds * rate)
        wave = read(start, max(start, min(start + length, most)))
    if number == 0:
        yield 0.0, wave
    elif wave.shape[1] > _LEAST * rate:
        begin = start + wave.shape[1] - length
        yield begin / rate, read(begin, begin + length)


class _Stream:
    """A file's samples at one rate by their numbers, of which only those still needed are in memory."""

    def __init__(self, path: Path, rate: int, channels: Channels) -> None:
        self.keep = 0
        """Samples from here on will be asked for again."""
        self.back = 0
        """How far behind the latest reading may go back."""
        self._source = (path, rate, channels)
        self._begin()

    def read(self, first: int, last: int) -> Waves:
        """Samples (C, up to last - first), fewer where the file ends."""
        if first < self._first:
            self._begin()
        while self._first + len(self._buffer) < last and not self._is_done:
            self._pull(min(self.keep, first - self.back), first - self.back)
        part = self._buffer[max(0, first - self._first) : max(0, last - self._first)]
        return np.ascontiguousarray(part.T)

    def close(self) -> None:
        """Lets go of the file."""
        close = getattr(self._blocks, "close", None)
        if close:
            close()

    def _begin(self) -> None:
        self._blocks = sound_blocks(*self._source)
        self._buffer = next(self._blocks)
        self._first, self._is_done = 0, False

    def _pull(self, wanted: int, needed: int) -> None:
        """Takes a block more and forgets what lies before `wanted`, or, where that is too much, `needed`."""
        block = next(self._blocks, None)
        if block is None:
            self._is_done = True
            return
        before = wanted if len(self._buffer) < _KEPT else needed
        dropped = min(len(self._buffer), max(0, before - self._first))
        self._buffer = np.concatenate([self._buffer[dropped:], block])
        self._first += dropped
