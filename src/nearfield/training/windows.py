"""Windows of clips: the rule by which a clip is cut, for files, waves and decoded signals.

A clip is cut into windows of `data.clip_seconds`, end to end. The last window is flush with the end of the
clip. A rest of at most `LEAST` seconds gets no window of its own, and a clip that is shorter than a window is
one window with zeros at its end. With `data.trim_db`, silence at both ends is left out first.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, count, islice
from math import ceil
from os import PathLike
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from nearfield.core.errors import DataError
from nearfield.core.machine import usable_cores
from nearfield.core.parallel import in_order
from nearfield.core.types import BatchIndices, Floats, Ints, Vectors
from nearfield.data.arrays import Input, as_sounds
from nearfield.data.audio import Waves, describe, mix
from nearfield.data.clips import CHANNEL
from nearfield.data.settings import Channels, DataSettings
from nearfield.data.signals import Loader, Loudness, Signals, sounding
from nearfield.data.store import BLOCK, sound_blocks, square

BATCH = 64
"""Number of windows in a batch."""

LEAST = 1e-3
"""Seconds of sound after the last whole window that do not get a window of their own."""

# The rule.


def window_starts(reach: Callable[[int], int], settings: DataSettings) -> Iterator[int]:
    """Yields the first sample of each window of a clip.

    The length of the clip need not be known: it is asked for window by window.

    Parameters
    ----------
    reach
        Takes a number of samples, and returns it, or the number of samples in the clip if that is smaller.
    settings
        Sample rate, and length of a window.

    Examples
    --------
    >>> settings = DataSettings(sample_rate=8000, clip_seconds=1.0)
    >>> list(window_starts(lambda end: min(end, 20000), settings))
    [0, 8000, 12000]
    """
    rate, length = settings.sample_rate, window_samples(settings)
    number = start = 0
    while (end := reach(start + length)) == start + length:
        yield start
        number += 1
        start = round(number * settings.clip_seconds * rate)
    if number == 0:
        yield 0
    elif end / rate - number * settings.clip_seconds > LEAST:  # in seconds, since rounding decides at 1 ms
        yield end - length


def starts_in(seconds: float, settings: DataSettings) -> list[float]:
    """Returns the starts of the windows of a clip of `seconds` (0 for an image), in seconds."""
    samples = round(seconds * settings.sample_rate)
    starts = window_starts(lambda end: min(end, samples), settings)
    return [start / settings.sample_rate for start in starts]


def window_samples(settings: DataSettings) -> int:
    """Returns the number of samples in a window."""
    return round(settings.clip_seconds * settings.sample_rate)


# Batches of windows, and their two sources: inputs that are not decoded yet, and decoded signals.


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """Up to `BATCH` windows, as the network takes them."""

    signal: Tensor
    """(B, C, T) waves, (B, C, bands, frames) cached spectrograms or (B, C, H, W) images; float32."""
    rows: Ints
    """(B,) row of the clip of each window."""
    starts: Floats
    """(B,) start of each window in its clip, in seconds; of trimmed signals, in what is left of the clip."""
    seconds: Floats
    """(B,) length of each window without the zeros at its end, in seconds; 0 for images."""


class WindowSource(Protocol):
    """The windows of some clips, in batches."""

    def __iter__(self) -> Iterator[WindowBatch]: ...

    def count(self) -> int:
        """Returns the number of windows. For files it is an estimate from their headers."""


@dataclass(frozen=True, eq=False)
class SignalWindows:
    """The windows of decoded signals; for cached spectrograms, windows of those."""

    signals: Signals
    """The signals of N clips, already trimmed if the recipe trims."""
    length: int
    """Length of a window in samples (or frames) of the signals."""
    seconds: Floats
    """(N,) length of each clip in seconds; 0 for images."""
    settings: DataSettings
    rows: Ints | None = None
    """The clips that are cut, in this order; None: all."""

    def count(self) -> int:
        """Returns the number of windows."""
        return len(self._plan[0])

    def __iter__(self) -> Iterator[WindowBatch]:
        rows, starts = self._plan
        for batch in Loader(self.signals, index_batches(rows, starts), self.length):
            own = batch.indices
            lengths = np.minimum(self.seconds[own.rows], self.settings.clip_seconds)
            yield WindowBatch(batch.signal, own.rows, own.starts, lengths)

    @cached_property
    def _plan(self) -> tuple[Ints, Floats]:
        """(W,) row, and (W,) start in seconds, of each window."""
        rows = np.arange(len(self.seconds)) if self.rows is None else self.rows
        starts = [starts_in(float(self.seconds[row]), self.settings) for row in rows]
        counts = np.array([len(each) for each in starts], np.int64)
        return np.repeat(rows, counts), np.array([start for each in starts for start in each], np.float64)


def index_batches(rows: Ints, starts: Floats) -> Iterator[BatchIndices]:
    """Yields windows, given by row and start in seconds, in batches of up to `BATCH`, in order."""
    for first in range(0, len(rows), BATCH):
        yield BatchIndices(rows[first : first + BATCH], starts[first : first + BATCH])


@dataclass(frozen=True)
class FileClip:
    """A clip as a part of a file, or a whole file."""

    path: Path
    start: float = 0.0
    """Start of the clip in the file, in seconds."""
    seconds: float = 0.0
    """Length in seconds; 0: to the end of the file."""
    channel: int | None = None
    """With `data.channels: views`, the channel that is the clip; None: the mean of all."""


Clip = FileClip | Waves
"""A part of a file, or a wave (C, T) at the sample rate of the recipe."""


def as_clips(inputs: Iterable[Input] | str | PathLike[str]) -> list[Clip]:
    """Converts files and waves, as `Run.encode` takes them. Raises DataError like `as_sounds`."""
    return [FileClip(each) if isinstance(each, Path) else each for each in as_sounds(inputs)]


def table_clips(table: pd.DataFrame, settings: DataSettings) -> list[FileClip]:
    """Returns the clips of a table with the columns path, start, seconds and, for views, channel."""
    is_views = settings.channels == "views" and CHANNEL in table
    channels = table[CHANNEL] if is_views else [None] * len(table)
    cells = zip(table["path"], table["start"], table["seconds"], channels, strict=True)
    return [
        FileClip(Path(str(path)), float(start), float(seconds), None if channel is None else int(channel))
        for path, start, seconds, channel in cells
    ]


@dataclass(frozen=True)
class Unusable:
    """Clips of a file that cannot be used, and why."""

    rows: tuple[int, ...]
    error: DataError


@dataclass(frozen=True, eq=False)
class InputWindows:
    """The windows of files and waves, cut while files are being decoded.

    Threads decode several files in advance. Of a file, only the samples of a few windows are in memory at a
    time, so memory does not grow with its length. Only clips that overlap, such as the channels of a file,
    keep more of it, at most `_KEPT` samples. The windows are those that `SignalWindows` cuts from the
    same clips in the store.
    """

    clips: Sequence[Clip]
    """Clips of one file are cut in the order of their starts, when the first of them is due."""
    settings: DataSettings
    channels: int
    """Number of channels that the network takes."""
    is_image: bool = False
    """Whether the clips are images."""
    unusable: list[Unusable] | None = None
    """Clips that cannot be used are added to this list. Windows of them may have been cut before the damaged
    part of their file. None: the first such clip raises its DataError."""

    def count(self) -> int:
        """Returns the number of windows according to the headers of files: damaged or trimmed files have
        fewer."""
        if self.is_image:
            return len(self.clips)
        lengths = cache(_length)  # a file may have many clips
        return sum(self._windows_of(clip, lengths) for clip in self.clips)

    def __iter__(self) -> Iterator[WindowBatch]:
        windows = self._windows()
        # The consumer's thread allocates, because malloc does not reuse memory of other threads.
        blanks = (np.empty((BATCH, *self._shape), np.float32) for _ in count())
        try:
            for batch in in_order(lambda blank: self._filled(blank, windows), blanks, 1, 3, "batch"):
                if batch is None:
                    return
                yield batch
        finally:
            windows.close()

    @property
    def _shape(self) -> tuple[int, ...]:
        """Shape of one window."""
        size = self.settings.image_size
        inner = (size, size) if self.is_image else (window_samples(self.settings),)
        return (self.channels, *inner)

    def _windows_of(self, clip: Clip, lengths: Callable[[Path], float | None]) -> int:
        if not isinstance(clip, FileClip):
            return len(starts_in(clip.shape[1] / self.settings.sample_rate, self.settings))
        length = lengths(clip.path)
        if length is None:
            return 0
        rest = max(0.0, length - clip.start)
        return len(starts_in(min(rest, clip.seconds) if clip.seconds > 0 else rest, self.settings))

    def _filled(self, blank: Vectors, windows: Iterator["_Window | Unusable"]) -> WindowBatch | None:
        """The next batch in the memory of `blank`; None if there are no further windows."""
        found: list[tuple[int, float, float]] = []
        for window in windows:
            if isinstance(window, Unusable):
                if self.unusable is None:
                    raise window.error
                self.unusable.append(window)
                continue
            place, samples = blank[len(found)], window.signal.shape[-1]
            place[..., :samples] = window.signal
            place[..., samples:] = 0.0
            found.append((window.row, window.start, window.seconds))
            if len(found) == BATCH:
                break
        if not found:
            return None
        rows, starts, seconds = zip(*found, strict=True)
        signal = torch.from_numpy(blank[: len(found)])
        return WindowBatch(signal, np.array(rows, np.int64), np.array(starts), np.array(seconds))

    def _windows(self) -> Generator["_Window | Unusable", None, None]:
        cores = usable_cores()
        for some in in_order(self._of_source, self._sources(), cores, 2 * cores, "decode"):
            yield from some

    def _sources(self) -> list[list[int]]:
        """The rows of each file in the order of their starts, and the row of each wave alone."""
        rows: dict[object, list[int]] = {}
        for row, clip in enumerate(self.clips):
            key = clip.path if isinstance(clip, FileClip) and not self.is_image else row
            rows.setdefault(key, []).append(row)
        return [sorted(own, key=self._start) if len(own) > 1 else own for own in rows.values()]

    def _start(self, row: int) -> float:
        clip = self.clips[row]
        return clip.start if isinstance(clip, FileClip) else 0.0

    def _of_source(self, rows: list[int]) -> Iterable["_Window | Unusable"]:
        """The windows of one file or wave; those after the first `AHEAD` seconds are cut on demand."""
        windows = self._guarded(rows)
        most = ceil(AHEAD / self.settings.clip_seconds)
        first = list(islice(windows, most))
        return first if len(first) < most else chain(first, windows)

    def _guarded(self, rows: list[int]) -> Iterator["_Window | Unusable"]:
        """Windows of one file or wave; after an error, the clips that are not complete."""
        at = 0
        try:
            if isinstance(clip := self.clips[rows[0]], FileClip) and not self.is_image:
                with closing(_FileSamples(clip.path, self.settings)) as samples:
                    for at in range(len(rows)):
                        following = self._start(rows[at + 1]) if at + 1 < len(rows) else np.inf
                        samples.keep = round(min(following * self.settings.sample_rate, _END))
                        yield from self._of_clip(rows[at], samples)
            elif isinstance(clip, FileClip):
                yield self._image(rows[0], clip.path)
            else:
                yield from self._of_wave(rows[0], clip)
        except DataError as error:
            name = self._name(rows[at])
            named = error if name in str(error) else DataError(f"{name}: {error}")
            yield Unusable(tuple(rows[at:]), named)

    def _name(self, row: int) -> str:
        clip = self.clips[row]
        return str(clip.path) if isinstance(clip, FileClip) else f"sound {row}"

    def _of_clip(self, row: int, samples: "_FileSamples") -> Iterator["_Window"]:
        clip, settings = self.clips[row], self.settings
        assert isinstance(clip, FileClip)
        rate, length = settings.sample_rate, window_samples(settings)
        first = round(min(clip.start * rate, _END))
        last = round(min((clip.start + clip.seconds) * rate, _END)) if clip.seconds > 0 else _END
        if samples.reach(min(first + 1, last), first) <= first:
            raise DataError(
                f"{clip.path}: the clip from {clip.start:g} s on has no samples. "
                "Correct start and seconds, or remove the row."
            )
        begin, end = first, last
        if settings.trim_db is not None:
            begin, end = samples.sounding(first, last, settings.trim_db)

        def reach(wanted: int) -> int:
            place = min(begin + wanted, end)
            return samples.reach(place, max(begin, place - 2 * length)) - begin

        for start in window_starts(reach, settings):
            wave = samples.read(begin + start, min(begin + start + length, end))
            wave = mix(wave, _rest_of_mix(settings, clip.channel))
            yield self._window(row, (begin - first + start) / rate, wave)

    def _of_wave(self, row: int, wave: Waves) -> Iterator["_Window"]:
        if self.is_image:
            raise DataError("Images are given as files. Given: an array. Save it as PNG and give its path.")
        rate, length = self.settings.sample_rate, window_samples(self.settings)
        whole, begin = prepared(wave, self.settings)
        for start in window_starts(lambda end: min(end, whole.shape[1]), self.settings):
            yield self._window(row, (begin + start) / rate, whole[:, start : start + length])

    def _window(self, row: int, start: float, wave: Waves) -> "_Window":
        if len(wave) != self.channels:
            raise DataError(
                f"{self._name(row)} has {len(wave)} channels, and this run reads sounds of {self.channels} "
                "(data.channels: all). Give sounds with the number of channels that the run was trained on."
            )
        return _Window(row, start, wave.shape[1] / self.settings.sample_rate, wave)

    def _image(self, row: int, path: Path) -> "_Window":
        pixels = square(path, self.settings.image_size, self.settings.image_channels)
        return _Window(row, 0.0, 0.0, pixels.astype(np.float32) / np.float32(255))


AHEAD = 120.0
"""Seconds of a file that are decoded in advance of their use."""


@dataclass(frozen=True, eq=False)
class _Window:
    row: int
    start: float
    seconds: float
    signal: Vectors
    """(C, T) with T of at most a window, or (C, H, W)."""


def _length(path: Path) -> float | None:
    """Seconds of a file by its header; None for one that is reported, or raises, when it is decoded."""
    try:
        return describe(path).seconds
    except DataError:
        return None


def prepared(wave: Waves, settings: DataSettings, channel: int | None = None) -> tuple[Waves, int]:
    """Mixes and trims a wave (C, T) as the store does with a file; `channel` as in `FileClip`.

    Returns
    -------
    wave : ndarray
        (C, T) float32.
    begin : int
        Number of samples that were trimmed from the beginning.
    """
    mixed = mix(wave, _channels_to_trim(settings))
    begin, end = (0, mixed.shape[1]) if settings.trim_db is None else sounding(mixed, settings.trim_db)
    return mix(mixed[:, begin:end], _rest_of_mix(settings, channel)), begin


def _channels_to_trim(settings: DataSettings) -> Channels:
    """The channels that are trimmed together: with views all, so that views of a clip have the same times."""
    return "all" if settings.channels == "views" else settings.channels


def _rest_of_mix(settings: DataSettings, channel: int | None) -> Channels:
    """What is still to be mixed after trimming."""
    if settings.channels != "views":
        return "all"
    return "mean" if channel is None else channel


# The samples of a file by their numbers, decoded as a stream.

_END = 1 << 62  # a sample number after the end of any file
_KEPT = 1 << 25  # samples of all channels kept for further clips; with more, the file is decoded again


class _FileSamples:
    """The samples of a file at the recipe's rate; only those that are still needed are in memory."""

    def __init__(self, path: Path, settings: DataSettings) -> None:
        self.keep = 0
        """Samples from here on will be read again."""
        self._path, self._rate, self._channels = path, settings.sample_rate, _channels_to_trim(settings)
        self._blocks: Generator[Waves, None, None] | None = None
        self._buffer: Waves = np.empty((0, 1), np.float32)  # (T, C)
        self._first, self._is_done = _END, True

    def reach(self, end: int, needed: int) -> int:
        """Decodes up to sample `end`, and keeps the samples from `needed` on.

        Returns `end`, or the number of samples in the file if that is smaller.
        """
        if needed < self._first:
            self._open(needed)
        while self._first + len(self._buffer) < end and not self._is_done:
            self._pull(needed)
        return min(end, self._first + len(self._buffer))

    def read(self, first: int, last: int) -> Waves:
        """Returns samples (C, last - first) that `reach` has decoded."""
        return np.ascontiguousarray(self._buffer[first - self._first : last - self._first].T)

    def sounding(self, first: int, last: int, decibels: float) -> tuple[int, int]:
        """Returns the first sample and the end of the clip from `first` to `last` without silence."""
        following, self.keep = self.keep, min(first, self.keep)
        loudness, place = None, first
        while (end := self.reach(min(place + BLOCK, last), place)) > place:
            block = self.read(place, end)
            loudness = loudness or Loudness(len(block))
            loudness.take(block)
            place = end
        assert loudness is not None
        begin, end = loudness.sounding(decibels)
        self.keep = following
        return first + begin, first + end

    def close(self) -> None:
        """Closes the file."""
        if self._blocks is not None:
            self._blocks.close()

    def _open(self, first: int) -> None:
        self.close()
        self._blocks = sound_blocks(self._path, self._rate, self._channels, first=first)
        self._buffer, self._first, self._is_done = self._buffer[:0], first, False

    def _pull(self, needed: int) -> None:
        """Decodes the next block, and drops samples that will not be read again."""
        assert self._blocks is not None
        block = next(self._blocks, None)
        if block is None:
            self._is_done = True
            return
        before = needed if self._buffer.size >= _KEPT else min(self.keep, needed)
        dropped = min(len(self._buffer), max(0, before - self._first))
        kept = self._buffer[dropped:]
        self._buffer = np.concatenate([kept, block]) if len(kept) else block
        self._first += dropped
