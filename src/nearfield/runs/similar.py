"""How alike two sound files are when one may go faster than the other: MFCC frames, time warped."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats
from nearfield.data.audio import decode, mix, resample
from nearfield.evaluation.dtw import FrameDistance, warp
from nearfield.models.features.mfcc import MFCCSettings

MOST_CELLS = 4e7
"""Pairs of frames up to which the way is sought: about a gigabyte."""


@dataclass(frozen=True)
class Similarity:
    """Two files, aligned."""

    first: str
    second: str
    seconds: tuple[float, float]
    """How much of each was heard."""
    frames: tuple[int, int]
    steps: int
    """Of the cheapest way through both."""
    cost: float
    """Sum of the frame distances along it."""
    per_step: float
    """Mean frame distance along it: comparable between files of unlike length."""
    similarity: float
    """1 / (1 + per_step): 1 for the same sound, towards 0 for others."""
    diagonal: float
    """Share of steps that go on in both files: 1 where neither has to wait for the other."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self)


def similar(
    first: str | Path,
    second: str | Path,
    seconds: float | None = None,
    sample_rate: int = 16000,
    distance: FrameDistance = "l2",
    settings: MFCCSettings | None = None,
) -> Similarity:
    """Aligns the MFCC frames of two files, mixed to one channel, at `sample_rate` hertz.

    `seconds`: how much of each to hear from its beginning on; None for all. Raises DataError for files that
    cannot be read or are shorter than a frame, RequestError where both are too long together.
    """
    for path in (first, second):
        if not isinstance(path, str | os.PathLike):
            raise RequestError(f"similar aligns two sound files. Given: a {type(path).__name__}.")
    heard = [_wave(Path(path).expanduser(), seconds, sample_rate) for path in (first, second)]
    feature = (settings or usual_mfcc(sample_rate)).build(sample_rate, 1)
    frames = [feature.frames(wave.shape[1]) for wave in heard]
    if frames[0] * (frames[0] + frames[1]) > MOST_CELLS:
        lengths = " and ".join(f"{wave.shape[1] / sample_rate:.0f} s" for wave in heard)
        raise RequestError(f"{lengths} are too long to be aligned. Hear less of them: --seconds 30.")
    pictures: list[Floats] = []
    with torch.no_grad():
        for wave in heard:
            pictures.append(feature(torch.from_numpy(wave[None]))[0, 0].double().numpy())
    found = warp(pictures[0], pictures[1], distance)
    steps = np.diff(found.path, axis=0)
    return Similarity(
        first=str(first),
        second=str(second),
        seconds=(heard[0].shape[1] / sample_rate, heard[1].shape[1] / sample_rate),
        frames=(frames[0], frames[1]),
        steps=len(found.path),
        cost=found.cost,
        per_step=found.per_step,
        similarity=1 / (1 + found.per_step),
        diagonal=float((steps.sum(axis=1) == 2).mean()) if len(steps) else 1.0,
    )


def usual_mfcc(sample_rate: int) -> MFCCSettings:
    """13 cosines over 26 bands of frames of 25 ms, every 10 ms."""
    fft = 256 if sample_rate <= 8000 else 1 << (round(0.025 * sample_rate) - 1).bit_length()
    return MFCCSettings(window_ms=25.0, hop_ms=10.0, fft=fft, bands=26, low=0, coefficients=13)


def _wave(path: Path, seconds: float | None, sample_rate: int) -> Any:
    waves, rate = decode(path, 0.0, seconds)
    return resample(mix(waves, "mean"), rate, sample_rate)
