"""Feature pictures of whole clips, made once and kept: an epoch then copies windows out of them."""

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from nearfield.core.files import replacing, write_json
from nearfield.core.nouns import Vectors
from nearfield.data.cache import cache_folder
from nearfield.data.locks import locked
from nearfield.data.signals import ArraySignals, Signals

Progress = Callable[[int, int], None]
"""Told how many clips of how many are done."""

BUDGET = 2 << 30
"""Bytes of pictures that are held in memory where no key is given."""

BLOCK = 1_000_000
"""About so many samples are turned into a picture at a time, to bound memory."""


class Cuttable(Protocol):
    """A feature without padding: frame k depends on samples from k * hop on and on nothing else."""

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""

    def frames(self, samples: int) -> int:
        """Frames that so many samples give."""

    def samples(self, frames: int) -> int:
        """Smallest number of samples that gives so many frames."""

    def __call__(self, waves: Tensor) -> Tensor:
        """(B, C, T) to (B, C, bands, frames)"""


def keep(
    signals: Signals,
    feature: Cuttable,
    least: int,
    key: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> ArraySignals:
    """Pictures (C, bands, frames) of all clips, to be cut like waves; their rate is frames a second.

    A clip of fewer than `least` samples (the window) is filled up with zeros as a wave, so that a window
    of the picture is the picture of the window. With a `key` (any name that says which clips, settings and
    feature) the pictures are kept in the cache folder under it and found again by later runs; without,
    they are held in memory, or beyond `BUDGET` in a file that goes with the process.
    """
    pictures = _Pictures(signals, feature, least)
    if key is not None:
        flat = _kept(pictures, (folder or cache_folder()) / "features" / f"{key}.npy", progress)
    elif pictures.items * 4 > BUDGET:
        flat = _unnamed(pictures, folder or cache_folder(), progress)
    else:
        flat = np.empty(pictures.items, np.float32)
        pictures.fill(flat, progress)
    return pictures.cut_up(flat)


def _kept(pictures: "_Pictures", path: Path, progress: Progress | None) -> Vectors:
    """The pictures in the file at `path`, made by one process and mapped by all."""
    facts = path.with_suffix(".json")
    with locked(path.with_suffix(".lock")):
        if not _whole(path, facts, pictures):
            with replacing(path) as temporary:
                flat = np.lib.format.open_memmap(temporary, mode="w+", dtype="<f4", shape=(pictures.items,))
                pictures.fill(flat, progress)
                flat.flush()
            write_json(facts, pictures.facts())
    return np.asarray(np.load(path, mmap_mode="r"))


def _whole(path: Path, facts: Path, pictures: "_Pictures") -> bool:
    try:
        return path.is_file() and json.loads(facts.read_text(encoding="utf-8")) == pictures.facts()
    except (OSError, ValueError):
        return False


def _unnamed(pictures: "_Pictures", folder: Path, progress: Progress | None) -> Vectors:
    """The pictures in a file without a name: the system removes it when it is no longer mapped."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        flat = np.memmap(file, np.float32, mode="w+", shape=(pictures.items,))
    pictures.fill(flat, progress)
    return np.asarray(flat)


class _Pictures:
    """Where each clip's picture lies in one flat array, and how to fill that."""

    def __init__(self, signals: Signals, feature: Cuttable, least: int) -> None:
        self.signals, self.feature = signals, feature
        least = max(least, feature.samples(1))
        self.sizes = [max(signals.length(row), least) for row in range(len(signals))]
        self.frames = [feature.frames(size) for size in self.sizes]
        nothing = torch.zeros(1, signals.channels, feature.samples(1))
        self.lead = tuple(feature(nothing).shape[1:3])
        self.items = sum(self.frames) * math.prod(self.lead)

    def facts(self) -> dict[str, Any]:
        """What must agree for a kept file to be these pictures; the key answers for the rest."""
        return {"lead": list(self.lead), "frames": self.frames, "rate": self.signals.rate}

    def cut_up(self, flat: Vectors) -> ArraySignals:
        """The flat array as one picture (C, bands, frames) a clip."""
        ends = np.cumsum([frames * math.prod(self.lead) for frames in self.frames]).tolist()
        shapes = [(*self.lead, frames) for frames in self.frames]
        arrays = [
            flat[end - math.prod(shape) : end].reshape(shape) for end, shape in zip(ends, shapes, strict=True)
        ]
        return ArraySignals(arrays, self.signals.rate / self.feature.hop, self.lead)

    @torch.no_grad()
    def fill(self, flat: Vectors, progress: Progress | None) -> None:
        """Makes every picture, a block of frames at a time."""
        most = max(1, BLOCK // self.feature.hop)
        for row, picture in enumerate(self.cut_up(np.asarray(flat)).arrays):
            for first in range(0, self.frames[row], most):
                self._block(row, first, picture[..., first : first + most])
            if progress:
                progress(row + 1, len(self.frames))

    def _block(self, row: int, first: int, out: Vectors) -> None:
        samples = self.feature.samples(out.shape[-1])
        waves = np.empty((1, *self.signals.shape(samples)), np.float32)
        self.signals.cut(row, first * self.feature.hop, samples, waves[0])
        out[...] = self.feature(torch.from_numpy(waves))[0].cpu().numpy()
