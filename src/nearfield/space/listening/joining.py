"""Clips joined into one sound: each brought to the same level, faded in and out, no seam to be heard.

Conventions: waves are (C, T) float32; levels are root mean square in dB of full scale. Where clips overlap
they fade by a sine and a cosine, whose powers add up to one, as two sounds do not correlate; elsewhere by the
raised cosine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nearfield.core.files import replacing
from nearfield.core.nouns import Floats
from nearfield.data.audio import Waves, decode, resample
from nearfield.data.writing import check_name, write_sound

LEVEL = -23.0
"""Level to which every clip is brought."""
PEAK = 0.89
"""No sample goes beyond it: -1 dB of full scale."""
MOST_GAIN = 30.0
"""Decibels by which a quiet clip is raised at most: silence stays silence."""
LONG = 60.0
"""Seconds from which a clip is not searched for its loudest part."""
FADE = 0.015
"""Seconds in which a clip comes up and goes down where nothing overlaps."""


@dataclass(frozen=True)
class Seam:
    """What comes between two clips."""

    gap: float = 0.3
    """Seconds of silence."""
    crossfade: float = 0.0
    """Seconds for which one clip sounds into the next, instead of a gap."""


@dataclass(frozen=True)
class Piece:
    """A part of a file."""

    path: Path
    start: float
    """Seconds into the file."""
    seconds: float


@dataclass(frozen=True, eq=False)
class Joined:
    """One sound made of several."""

    wave: Waves
    """(C, T)"""
    rate: int
    """Samples a second, in hertz."""
    begins: Floats
    """(n,) seconds at which each piece begins in it."""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return float(self.wave.shape[1] / self.rate)

    def write(self, path: Path) -> Path:
        """Writes .wav, .flac (16 bits) or .ogg, whole or not at all. RequestError for other names."""
        check_name(path)
        with replacing(path) as temporary, temporary.open("wb") as file:
            write_sound(file, self.wave, self.rate, path.suffix)
        return path


def pieces_of(clips: pd.DataFrame, most: float) -> list[Piece]:
    """The part of each clip that is played: its loudest `most` seconds, the middle ones of a long clip, or
    all of a shorter one. Raises DataError for files that cannot be read."""
    rows = zip(clips["path"], clips["start"], clips["seconds"], strict=True)
    return [_part(Path(str(path)), float(start), float(seconds), most) for path, start, seconds in rows]


def _part(path: Path, start: float, seconds: float, most: float) -> Piece:
    spare = seconds - most
    if spare <= 0:
        return Piece(path, start, seconds)
    if seconds > LONG:
        return Piece(path, start + spare / 2, most)
    # The middle of a short clip may be the silence that it was filled up with.
    waves, rate = decode(path, start, seconds)
    power = np.concatenate([[0.0], np.cumsum(np.square(waves, dtype=np.float64).mean(axis=0))])
    length = min(round(most * rate), waves.shape[1])
    first = int(np.argmax(np.round(power[length:] - power[: len(power) - length], 9)))
    return Piece(path, start + first / rate, most)


def join(pieces: Sequence[Piece], seam: Seam | None = None) -> Joined:
    """Joins at least one piece, at the highest rate among the files, resampling the others.

    All of one or two channels stay so; else they are mixed to one. Raises DataError for files that cannot be
    read.
    """
    heard = [decode(piece.path, piece.start, piece.seconds) for piece in pieces]
    rate = max(each for _, each in heard)
    channels = {len(wave) for wave, _ in heard}
    mono = len(channels) > 1 or max(channels) > 2
    waves = [evened(resample(_mono(wave) if mono else wave, own, rate)) for wave, own in heard]
    return lay(waves, rate, seam or Seam())


def lay(waves: Sequence[Waves], rate: int, seam: Seam) -> Joined:
    """Lays waves (C, T) of one rate one behind the other."""
    shortest = min(wave.shape[1] for wave in waves)
    overlap = min(round(seam.crossfade * rate), shortest // 2) if len(waves) > 1 else 0
    gap = 0 if overlap else round(seam.gap * rate)
    edge = min(round(FADE * rate), shortest // 2)
    begins, place = [], 0
    for wave in waves:
        begins.append(place)
        place += wave.shape[1] + gap - overlap
    out = np.zeros((len(waves[0]), begins[-1] + waves[-1].shape[1]), np.float32)
    for number, (wave, begin) in enumerate(zip(waves, begins, strict=True)):
        inward = overlap if number and overlap else edge
        outward = overlap if number < len(waves) - 1 and overlap else edge
        shaped = wave.copy()
        shaped[:, :inward] *= _rise(inward, bool(number and overlap))
        if outward:
            shaped[:, -outward:] *= _rise(outward, bool(number < len(waves) - 1 and overlap))[::-1]
        out[:, begin : begin + wave.shape[1]] += shaped
    peak = float(np.abs(out).max(initial=0.0))
    if peak > PEAK:  # two clips may add up where they overlap
        out *= PEAK / peak
    return Joined(out, rate, np.array(begins, np.float64) / rate)


def evened(wave: Waves) -> Waves:
    """The wave at `LEVEL`, or as near to it as its peaks and `MOST_GAIN` allow."""
    power = float(np.square(wave, dtype=np.float64).mean()) if wave.size else 0.0
    peak = float(np.abs(wave).max(initial=0.0))
    if power <= 0:
        return wave
    gain = min(10 ** (LEVEL / 20) / np.sqrt(power), 10 ** (MOST_GAIN / 20), PEAK / peak)
    return (wave * np.float32(gain)).astype(np.float32)


def _rise(samples: int, overlapping: bool) -> Any:
    """(samples,) from 0 to 1."""
    phase = (np.arange(samples) + 0.5) / max(samples, 1) * np.pi / 2
    return (np.sin(phase) if overlapping else np.sin(phase) ** 2).astype(np.float32)


def _mono(wave: Waves) -> Waves:
    mixed: Waves = wave.mean(axis=0, keepdims=True, dtype=np.float32)
    return mixed
