"""Cache of spectrograms of whole clips: they are computed once, and epochs copy windows from them."""

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nearfield.core.files import locked
from nearfield.core.machine import usable_cores
from nearfield.core.parallel import in_order, one_torch_thread
from nearfield.core.types import Vectors
from nearfield.data.packs import Packs, Tell, cache_folder, keep_within, limit, taking, writing_to
from nearfield.data.signals import ArraySignals, Signals

Progress = Callable[[int, int], None]
"""Called with the number of clips done and the number of all clips."""

BLOCK = 1_000_000
"""Approximate number of samples per computation, which limits memory."""


class Croppable(Protocol):
    """A feature without padding: frame k depends only on samples from k * hop on."""

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""

    def frames(self, samples: int) -> int:
        """Returns the number of frames of a number of samples."""

    def samples(self, frames: int) -> int:
        """Returns the smallest number of samples that gives a number of frames."""

    def __call__(self, waves: Tensor) -> Tensor:
        """Computes (B, C, bands, frames) from waves (B, C, T)."""


def cache_features(
    signals: Signals,
    feature: Croppable,
    least: int,
    key: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> ArraySignals:
    """Computes spectrograms (C, bands, frames) of all clips, from which windows are cut like from waves.

    Parameters
    ----------
    signals
        Waves of the clips.
    feature
        The feature to compute.
    least
        Length of a window in samples. Shorter clips are padded with zeros before the feature is computed, so
        that a window of the spectrogram equals the spectrogram of the window.
    key
        Name that identifies clips, settings and feature. With it, spectrograms are stored in the cache
        folder and used by later runs; without, they are held in memory.
    folder
        Cache folder.
    progress
        Progress callback.
    tell
        Called with a message when older data are removed to make room.

    Returns
    -------
    ArraySignals
        Spectrograms; their rate is frames per second.

    Raises
    ------
    WorkError
        If the disk is full.
    """
    spectrograms = _Pictures(signals, feature, least)
    if key is None:
        arrays = list(spectrograms.made(progress))
    else:
        arrays = _kept(spectrograms, (folder or cache_folder()) / "features", key, progress, tell)
    return ArraySignals(arrays, signals.rate / feature.hop, spectrograms.lead)


def _kept(
    spectrograms: "_Pictures", folder: Path, key: str, progress: Progress | None, tell: Tell | None
) -> list[Vectors]:
    """The spectrograms under `key`, computed by one process and memory-mapped by all."""
    limit()  # raises for an invalid limit before the work
    packs = Packs(folder / key, np.float32)
    size = 4 * sum(map(math.prod, spectrograms.shapes))
    with writing_to(folder, size), locked(folder / f"{key}.lock"):
        if not _fits(packs, spectrograms):
            shutil.rmtree(packs.folder, ignore_errors=True)
            with packs.writing() as writer:
                for row, spectrogram in enumerate(spectrograms.made(progress)):
                    writer.add(str(row), [spectrogram])
        with taking(folder.parent) as take:
            places = packs.places()
            take(place.pack for place in places.values())
    keep_within(folder.parent, tell)
    return packs.views(places[str(row)] for row in range(len(spectrograms.shapes)))


def _fits(packs: Packs, spectrograms: "_Pictures") -> bool:
    """Whether stored data have the right shapes and are unchanged; the key identifies everything else."""
    places = packs.places()
    shapes = {key: place.shape for key, place in places.items()}
    wanted = {str(row): shape for row, shape in enumerate(spectrograms.shapes)}
    return shapes == wanted and not packs.damaged(places.values())


class _Pictures:
    """Shapes and computation of the spectrograms."""

    def __init__(self, signals: Signals, feature: Croppable, least: int) -> None:
        self.signals, self.feature = signals, feature
        least = max(least, feature.samples(1))
        with torch.no_grad():
            frame = feature(torch.zeros(1, signals.channels, feature.samples(1)))
        self.lead: tuple[int, ...] = tuple(frame.shape[1:3])
        sizes = [max(signals.length(row), least) for row in range(len(signals))]
        self.shapes = [(*self.lead, feature.frames(size)) for size in sizes]

    def made(self, progress: Progress | None) -> Iterator[Vectors]:
        """Yields the spectrograms in the order of the clips; several clips are computed in parallel."""
        workers, done = usable_cores(), 0
        with one_torch_thread():  # parallel clips are faster than parallel operations, up to tenfold
            for spectrograms in in_order(self._together, self._groups(), workers, 2 * workers, "keep"):
                for spectrogram in spectrograms:
                    done += 1
                    if progress:
                        progress(done, len(self.shapes))
                    yield spectrogram

    def _groups(self) -> Iterator[list[int]]:
        """Consecutive rows grouped to blocks; a clip longer than a block is its own group."""
        group: list[int] = []
        total = 0
        for row in range(len(self.shapes)):
            room = self._room(row)
            if group and total + room > BLOCK:
                yield group
                group, total = [], 0
            group.append(row)
            total += room
        if group:
            yield group

    def _room(self, row: int) -> int:
        """Number of samples of a clip that others follow: whole hops that include its last frame."""
        return math.ceil(self.feature.samples(self.shapes[row][-1]) / self.feature.hop) * self.feature.hop

    @torch.no_grad()
    def _together(self, rows: list[int]) -> list[Vectors]:
        """Spectrograms of some clips, concatenated to one call: for short clips, calls dominate the cost."""
        if len(rows) == 1:
            return [self._picture(rows[0])]
        rooms = [self._room(row) for row in rows]
        waves = np.zeros((1, *self.signals.shape(sum(rooms))), np.float32)
        first = 0
        for row, room in zip(rows, rooms, strict=True):
            self.signals.cut(row, 0, room, waves[0, ..., first : first + room])
            first += room
        whole = self.feature(torch.from_numpy(waves))[0].cpu().numpy()
        frames = np.cumsum([0, *rooms]) // self.feature.hop
        return [
            np.ascontiguousarray(whole[..., frame : frame + self.shapes[row][-1]])
            for row, frame in zip(rows, frames[:-1].tolist(), strict=True)
        ]

    @torch.no_grad()
    def _picture(self, row: int) -> Vectors:
        """The spectrogram of one clip, computed in blocks of frames."""
        spectrogram = np.empty(self.shapes[row], np.float32)
        most = max(1, BLOCK // self.feature.hop)
        for first in range(0, spectrogram.shape[-1], most):
            out = spectrogram[..., first : first + most]
            samples = self.feature.samples(out.shape[-1])
            waves = np.empty((1, *self.signals.shape(samples)), np.float32)
            self.signals.cut(row, first * self.feature.hop, samples, waves[0])
            out[...] = self.feature(torch.from_numpy(waves))[0].cpu().numpy()
        return spectrogram
