"""Duplicates: clips with the same sound in two splits."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field
from scipy.signal import fftconvolve, lfilter

from nearfield.analysis.suspects.listing import Suspect, ranked
from nearfield.core.settings import Settings
from nearfield.core.types import Distance, Floats, Ints, Vectors
from nearfield.data import audio
from nearfield.metrics.checks import check_vectors
from nearfield.metrics.neighbors import Search, nearest, unit

# Comparison of two sounds, to find copies with another level, codec or cut.
#
# Two correlations are computed, each of the overlapping parts at the best shift:
#
# - of the waves, at `RATE`, mixed to one channel, with raised high frequencies (otherwise all drum sounds are
#   similar): the absolute correlation, which does not depend on gain or polarity;
# - of the log spectrograms with the mean of each band removed, which does not depend on gain or frequency
#   response. It
#   is high even if a codec changes the wave, but also for two strokes on one drum.

RATE = 8000
"""Sample rate of the comparison in Hz; codecs preserve frequencies below half of it."""
OVERLAP = 0.5
"""Smallest overlap as a fraction of the shorter clip."""
LONGEST = 30.0
"""Largest number of seconds of a clip that are compared."""

SAME, LIKE, SHAPE = 0.6, 0.4, 0.9
"""Two sounds are the same if the correlation of waves is at least `SAME`, or at least `LIKE` with a
correlation of spectrograms of at least `SHAPE`. Different clips of one class are below on sets of
environmental sounds and of digits; copies as MP3 at 16 kbit/s are mostly above."""

_RAISE = 0.97
_FRAME, _HOP = 256, 128
_BANDS = 32


class Likeness(NamedTuple):
    """Similarity of two sounds."""

    waves: float
    """Largest absolute correlation of the waves, 0..1."""
    spectra: float
    """Correlation of the log spectrograms at their best shift, -1..1."""
    shift: float
    """Delay of the second sound, in seconds, at which the waves correlate best."""

    @property
    def is_same(self) -> bool:
        """Whether one is a copy of the other, by both correlations."""
        return self.waves >= SAME or (self.waves >= LIKE and self.spectra >= SHAPE)

    @property
    def score(self) -> float:
        """Score in 0..1, above 0.5 for the same sound."""
        return 0.5 * self.is_same + max(0.0, self.waves + self.spectra) / 4


def compare(one: tuple[Path, float, float], other: tuple[Path, float, float]) -> Likeness:
    """Compares two clips, each a file, a start and a length in seconds. Raises Fault if one cannot be
    read."""
    return likeness(_decode(*one), _decode(*other))


def likeness(one: Floats, other: Floats) -> Likeness:
    """Compares two waves (T,) at `RATE`. Means are removed, because all clips of a recorder may have an
    offset."""
    one, other = one - one.mean(), other - other.mean()
    raised = [lfilter([1, -_RAISE], [1], wave)[None] for wave in (one, other)]
    waves, shift = _aligned(raised[0], raised[1], absolute=True)
    spectra, _ = _aligned(_spectrogram(one), _spectrogram(other), absolute=False)
    return Likeness(waves, spectra, shift / RATE)


def _aligned(one: Floats, other: Floats, absolute: bool) -> tuple[float, int]:
    """Returns the best correlation of the overlapping parts of (bands, T) and (bands, T') over shifts, and
    the shift."""
    products = fftconvolve(one, other[:, ::-1], axes=1).sum(axis=0)
    shifts = np.arange(1 - other.shape[1], one.shape[1])
    first = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    length = np.minimum(one.shape[1] - first[0], other.shape[1] - first[1])
    energies = [
        sums[begin + length] - sums[begin]
        for sums, begin in zip(map(_running_energy, (one, other)), first, strict=True)
    ]
    scale = np.sqrt(np.maximum(energies[0] * energies[1], 0))
    # If the overlap contains little energy, the correlation is determined by rounding.
    floor = 1e-3 * np.sqrt((one**2).sum() * (other**2).sum())
    allowed = (length >= OVERLAP * min(one.shape[1], other.shape[1])) & (scale > floor)
    if not allowed.any():
        return 0.0, 0
    fit = np.where(allowed, products / np.where(allowed, scale, 1), -np.inf)
    if absolute:
        fit = np.where(allowed, np.abs(fit), -np.inf)
    best = int(fit.argmax())
    return float(min(fit[best], 1.0)), int(shifts[best])


def _running_energy(values: Floats) -> Floats:
    """Returns (T + 1,) the energy before each sample."""
    return np.concatenate([[0.0], np.cumsum((values**2).sum(axis=0))])


def _spectrogram(wave: Floats) -> Floats:
    """Computes (bands, frames) in dB, down to 50 dB below the loudest cell, with the mean of each band
    removed."""
    padded = np.pad(wave, (0, max(0, _FRAME - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP] * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, 1:]) ** 2
    bands = power.reshape(len(power), _BANDS, -1).sum(axis=2).T
    decibels = 10 * np.log10(np.maximum(bands, 1e-5 * bands.max() + 1e-20))
    return np.asarray(decibels - decibels.mean(axis=1, keepdims=True))


def _decode(path: Path, start: float, seconds: float) -> Floats:
    waves, rate = audio.decode(path, start, min(seconds, LONGEST) if seconds > 0 else LONGEST)
    return np.asarray(audio.resample(audio.mix(waves, "mean"), rate, RATE)[0], np.float64)


# Nearly identical clips in two splits, which make a test easier than it seems.
#
# A pair is suspicious if its distance is small relative to the usual distance: the median over the clips of
# the
# smaller split of the distance to the nearest clip of the other split, or, if larger, the median within the
# larger
# split of the distance to the nearest other clip. The latter matters if the smaller split consists of copies.
# The
# score is 1 - distance / usual. Vectors cannot distinguish copies from very similar clips, so the sounds must
# be
# compared or listened to.

SAMPLE = 2000
"""Number of clips of the larger split, evenly spaced, from which its usual distance is computed."""


class DuplicateSettings(Settings):
    """Which pairs of clips are duplicates."""

    distance: Distance = "cosine"
    """Distance of two vectors; cosine normalizes them first."""
    share: float = Field(0.1, gt=0, le=1)
    """Largest distance of listed pairs, as a fraction of the usual distance, above 0 to 1."""
    most: int = Field(500, ge=1)
    """Largest number of listed pairs."""


def duplicate_suspects(
    vectors: Vectors, splits: Mapping[str, Ints], settings: DuplicateSettings | None = None
) -> list[Suspect]:
    """Finds near pairs across splits, closest first; each clip is paired with its nearest one.

    Parameters
    ----------
    vectors
        (N, D) vectors of the collection.
    splits
        Rows of each split by name.
    settings
        Distance and limits; None: defaults.

    Raises
    ------
    RequestError, WorkError
        If the vectors cannot be used.
    """
    settings = settings or DuplicateSettings()
    check_vectors("vectors", vectors)
    space = unit(vectors.astype(np.float64)).astype(np.float32) if settings.distance == "cosine" else vectors
    filled = {name: np.asarray(rows, dtype=np.int64) for name, rows in splits.items() if len(rows)}
    found: list[Suspect] = []
    for first, second in combinations(filled, 2):
        # Queries come from the smaller split, so that a test clip is listed once, not for each similar train
        # clip.
        smaller, larger = sorted((first, second), key=lambda name: len(filled[name]))
        found += _across(space, (smaller, filled[smaller]), (larger, filled[larger]), settings)
    return ranked(found)[: settings.most]


def _across(
    space: Vectors, smaller: tuple[str, Ints], larger: tuple[str, Ints], settings: DuplicateSettings
) -> list[Suspect]:
    index, apart = nearest(Search(space[smaller[1]], space[larger[1]], "euclidean"), 1)
    usual = max(float(np.median(apart)), _within(space[larger[1]]))
    if usual <= 0:  # all vectors are equal
        return []
    close = np.flatnonzero(apart[:, 0] <= settings.share * usual).tolist()
    return [
        Suspect(
            row=int(smaller[1][place]),
            kind="duplicate",
            score=1 - float(apart[place, 0]) / usual,
            reason=(
                f"In {smaller[0]}, at distance {apart[place, 0]:.2g} from a clip of {larger[0]}; the usual "
                f"distance to the nearest one there is {usual:.2g}."
            ),
            suggestion=(
                f"Listen to both; if they are the same sound, remove it from {smaller[0]} or {larger[0]}."
            ),
            other=int(larger[1][index[place, 0]]),
        )
        for place in close
    ]


def _within(split: Vectors) -> float:
    """Returns the median distance of a clip to the nearest other clip of its split; 0 if there is only
    one."""
    if len(split) < 2:
        return 0.0
    some = np.unique(np.linspace(0, len(split) - 1, SAMPLE).round().astype(np.int64))
    return float(np.median(nearest(Search(split[some], split, "euclidean", own=some), 1)[1]))
