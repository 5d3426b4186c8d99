"""Clips to vectors as a stream in bounded memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from nearfield.core.errors import DataError
from nearfield.core.machine import usable_cores
from nearfield.core.parallel import in_order
from nearfield.core.types import Floats, Ints, Vectors
from nearfield.data.audio import Waves, mix
from nearfield.data.clips import CHANNEL
from nearfield.data.settings import Channels, DataSettings
from nearfield.data.signals import sounding
from nearfield.data.store import sound_blocks, square
from nearfield.training.encode import BATCH, mean_by_clip
from nearfield.training.run import Run

# The windows of clips, cut while their files are being decoded: memory does not grow with a file's length.
#
# What comes out is what `data.store` and `training.setup.windows` make of the whole file.

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
            f"{path}: the clip from {piece.start:g} s on has no samples. "
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


# Clips to vectors as a stream, in bounded memory: threads decode ahead while the network reads.

Windows = Literal["clip", "all"]
"""`clip`: a vector for each clip, the mean of its windows; `all`: a vector for each window."""

_BEYOND = (
    "the network gives no finite numbers of it: its samples are far too large. Write it again with samples "
    "within -1 and 1."
)

LONG = 120.0
"""Seconds of sound from which a file is not decoded whole before it is read."""

Heard = tuple[int, float, float, Vectors]
"""A row of the table, seconds into its clip, seconds of sound, and the signal as the network wants it."""


@dataclass(frozen=True, eq=False)
class Part:
    """Vectors of some rows of a table, and what is wrong with rows that have none."""

    rows: Ints
    """(W,) the row that each vector is of."""
    starts: Floats
    """(W,) seconds into the clip at which it begins."""
    seconds: Floats
    """(W,) how much of it was heard; 0 for pictures."""
    vectors: Vectors
    """(W, D) float32."""
    faults: tuple[str, ...] = field(default=())


def hear(run: Run, table: pd.DataFrame, windows: Windows) -> Part:
    """Vectors of every row of a collection's table; a row whose file cannot be used is left out and said."""
    faults: list[str] = []
    signals = _pictures(table, run, faults) if _is_picture(run) else _sounds(table, run.recipe.data, faults)
    heard = list(_embedded(run, signals))
    rows = np.array([row for part in heard for row in part[0]], np.int64)
    starts, seconds = (np.array([x for part in heard for x in part[at]], np.float64) for at in (1, 2))
    size = run.embedder.size
    vectors = torch.cat([part[3] for part in heard]) if heard else torch.empty(0, size)
    beyond = np.unique(rows[~torch.isfinite(vectors).all(dim=1).numpy()])
    if len(beyond):
        faults += [f"{table['path'].iloc[row]}: {_BEYOND}" for row in beyond]
        kept = ~np.isin(rows, beyond)
        rows, starts, seconds = rows[kept], starts[kept], seconds[kept]
        vectors = vectors[torch.from_numpy(kept)]
    if windows == "clip" and len(rows):
        unique, place = np.unique(rows, return_inverse=True)
        normalize = run.recipe.embedding.normalize
        means = mean_by_clip(vectors, torch.from_numpy(place), len(unique), normalize)
        lengths = table["seconds"].to_numpy(np.float64)[unique]
        return Part(unique, np.zeros(len(unique)), lengths, means, tuple(faults))
    return Part(rows, starts, seconds, vectors.numpy(), tuple(faults))


def _is_picture(run: Run) -> bool:
    return run.recipe.modality == "image"


def _embedded(
    run: Run, signals: Iterable[Heard]
) -> Iterator[tuple[list[int], list[float], list[float], Tensor]]:
    """Rows, starts, seconds and vectors of each batch; the network runs in fp32 as `Run.encode` does."""
    embedder, device = run.reader(), next(run.embedder.parameters()).device
    signals = iter(signals)

    def batch(_: int) -> tuple[list[Heard], Tensor]:
        some = list(islice(signals, BATCH))
        return some, torch.from_numpy(_together([signal for *_, signal in some], run))

    with torch.no_grad():
        for some, together in in_order(batch, count(), workers=1, ahead=3, name="hear"):
            if not some:
                return
            image = embedder.feature(together.to(device))
            rows, starts, seconds, _ = zip(*some, strict=True)
            yield list(rows), list(starts), list(seconds), embedder.embed_picture(image).float().cpu()


def _together(signals: Sequence[Vectors], run: Run) -> Vectors:
    """Waves (C, up to T) as (B, C, T), zeros behind what is shorter; pictures as they are."""
    if not signals or _is_picture(run):
        return np.stack(signals) if signals else np.empty(0, np.float32)
    length = round(run.recipe.data.clip_seconds * run.recipe.data.sample_rate)
    out = np.zeros((len(signals), len(signals[0]), length), np.float32)
    for place, signal in zip(out, signals, strict=True):
        place[:, : signal.shape[1]] = signal
    return out


def _sounds(table: pd.DataFrame, settings: DataSettings, faults: list[str]) -> Iterator[Heard]:
    """The windows of every row, file by file; short files by several threads, long ones as they stream."""
    starts, seconds = (table[name].to_numpy(np.float64) for name in ("start", "seconds"))
    channels = list(table[CHANNEL]) if settings.channels == "views" else [None] * len(table)
    paths = table["path"].to_numpy(object)

    def work(rows: Ints) -> Iterable[Heard]:
        pieces = [Piece(float(starts[row]), float(seconds[row]), channels[row]) for row in rows]
        heard = _file(Path(str(paths[rows[0]])), rows, pieces, settings, faults)
        return heard if float(seconds[rows].sum()) > LONG else list(heard)

    return chain.from_iterable(in_order(work, _by_file(paths, starts), usable_cores(), 2 * BATCH, "decode"))


def _by_file(paths: npt.NDArray[Any], starts: Floats) -> list[Ints]:
    """The rows of each file in the order of their starts, files as they come in the table."""
    numbers = pd.factorize(paths)[0]
    order = np.lexsort((starts, numbers))
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _file(
    path: Path, rows: Ints, pieces: Sequence[Piece], settings: DataSettings, faults: list[str]
) -> Iterator[Heard]:
    """The windows of some pieces of one file. Where it breaks, the rows that were not whole are not heard."""
    waiting, at = list[Heard](), 0
    try:
        for window in cut(path, pieces, settings):
            if window.piece != at or len(waiting) > BATCH:
                yield from waiting
                waiting, at = [], window.piece
            heard = window.wave.shape[1] / settings.sample_rate
            waiting.append((int(rows[window.piece]), window.start, heard, window.wave))
    except DataError as fault:
        faults.append(str(fault))
        return
    yield from waiting


def _pictures(table: pd.DataFrame, run: Run, faults: list[str]) -> Iterator[Heard]:
    settings = run.recipe.data

    def work(item: tuple[int, str]) -> list[Heard]:
        try:
            pixels = square(Path(item[1]), settings.image_size, settings.image_channels)
        except DataError as fault:
            faults.append(str(fault))
            return []
        return [(item[0], 0.0, 0.0, pixels.astype(np.float32) / np.float32(255))]

    items = zip(table.index.to_numpy().tolist(), table["path"], strict=True)
    read: Callable[[tuple[int, str]], list[Heard]] = work
    return chain.from_iterable(in_order(read, items, usable_cores(), 2 * BATCH, "decode"))
