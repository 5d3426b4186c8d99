"""Duplicates: clips that hold the same sound on two sides of a split."""

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

# Whether two clips hold the same sound: copies at another level, from another codec, cut elsewhere.
#
# Two looks, each at the shift that fits best, by what then overlaps:
#
# - the waves, at `RATE`, one channel, highs raised (else the thuds of any drum are alike): their absolute
#   correlation, 1 for any gain or polarity;
# - their log spectrograms, every band's mean taken away, so that neither gain nor colour counts: what stays
#   alike when a codec keeps the sound and not the wave, but also two blows on one drum.

RATE = 8000
"""To which sounds are brought, in hertz: codecs keep what lies below its half."""
OVERLAP = 0.5
"""Least share of the shorter clip that must meet the other."""
LONGEST = 30.0
"""Of longer clips so many seconds are compared."""

SAME, LIKE, SHAPE = 0.6, 0.4, 0.9
"""The same sound: waves that correlate by `SAME`, or by `LIKE` where spectrograms do by `SHAPE`. Pairs of
one class stay below on sets of environmental sounds and of digits; MP3 at 16 kbit/s mostly stays above."""

_RAISE = 0.97
_FRAME, _HOP = 256, 128
_BANDS = 32


class Likeness(NamedTuple):
    """How alike two sounds are."""

    waves: float
    """Largest absolute correlation of the waves, 0..1."""
    spectra: float
    """Correlation of the log spectrograms at their best shift, -1..1."""
    shift: float
    """Seconds by which the second must be moved later so that the waves fit best."""

    @property
    def is_same(self) -> bool:
        """Whether one is a copy of the other, by both looks."""
        return self.waves >= SAME or (self.waves >= LIKE and self.spectra >= SHAPE)

    @property
    def score(self) -> float:
        """0..1, above 0.5 for the same sound."""
        return 0.5 * self.is_same + max(0.0, self.waves + self.spectra) / 4


def compare(one: tuple[Path, float, float], other: tuple[Path, float, float]) -> Likeness:
    """Of two clips, each a file, a start and a length in seconds. Raises Fault where one cannot be read."""
    return likeness(_heard(*one), _heard(*other))


def likeness(one: Floats, other: Floats) -> Likeness:
    """Of two waves (T,) at `RATE`. Means do not count: a recorder's offset is in all that it heard."""
    one, other = one - one.mean(), other - other.mean()
    raised = [lfilter([1, -_RAISE], [1], wave)[None] for wave in (one, other)]
    waves, shift = _aligned(raised[0], raised[1], absolute=True)
    spectra, _ = _aligned(_spectrogram(one), _spectrogram(other), absolute=False)
    return Likeness(waves, spectra, shift / RATE)


def _aligned(one: Floats, other: Floats, absolute: bool) -> tuple[float, int]:
    """Best correlation of (bands, T) and (bands, T') over shifts, and the shift; by what overlaps alone."""
    products = fftconvolve(one, other[:, ::-1], axes=1).sum(axis=0)
    shifts = np.arange(1 - other.shape[1], one.shape[1])
    first = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    length = np.minimum(one.shape[1] - first[0], other.shape[1] - first[1])
    energies = [
        sums[begin + length] - sums[begin]
        for sums, begin in zip(map(_running_energy, (one, other)), first, strict=True)
    ]
    scale = np.sqrt(np.maximum(energies[0] * energies[1], 0))
    # Where little of a sound is left in the overlap, rounding would correlate.
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
    """(T + 1,) the energy before each sample."""
    return np.concatenate([[0.0], np.cumsum((values**2).sum(axis=0))])


def _spectrogram(wave: Floats) -> Floats:
    """(bands, frames) in logarithms down to 50 dB below the loudest cell, each band's mean taken away."""
    padded = np.pad(wave, (0, max(0, _FRAME - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP] * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, 1:]) ** 2
    bands = power.reshape(len(power), _BANDS, -1).sum(axis=2).T
    decibels = 10 * np.log10(np.maximum(bands, 1e-5 * bands.max() + 1e-20))
    return np.asarray(decibels - decibels.mean(axis=1, keepdims=True))


def _heard(path: Path, start: float, seconds: float) -> Floats:
    waves, rate = audio.decode(path, start, min(seconds, LONGEST) if seconds > 0 else LONGEST)
    return np.asarray(audio.resample(audio.mix(waves, "mean"), rate, RATE)[0], np.float64)


# Clips on two sides of a split that are all but the same: what makes a test easier than it looks.
#
# A pair is suspicious where its distance is small beside what is usual: the median, over the clips of the
# smaller side, of the distance to the nearest clip of the other side; or, where that is larger, the median
# within the larger side of the distance to the nearest other clip, so that a smaller side of nothing but
# copies does not pass for usual. The score is 1 - distance / usual. Vectors cannot tell a copy from a good
# likeness: listen, or compare the sound itself.

ASKED = 2000
"""Clips of the larger side, evenly spread over it, that are asked how near its own clips lie."""


class DuplicateSettings(Settings):
    """When two clips are taken for one."""

    distance: Distance = "cosine"
    """`cosine` measures between unit vectors, the others between vectors as they are."""
    share: float = Field(0.1, gt=0, le=1)
    """Largest distance of a pair that is listed, as a share of the usual distance."""
    most: int = Field(500, ge=1)
    """Longest list."""


def duplicate_suspects(
    vectors: Vectors, splits: Mapping[str, Ints], settings: DuplicateSettings | None = None
) -> list[Suspect]:
    """Pairs across any two of `splits` (name to rows), closest first; each clip goes with its nearest.

    `vectors` (N, D). Raises RequestError or WorkError for vectors that cannot be used.
    """
    settings = settings or DuplicateSettings()
    check_vectors("vectors", vectors)
    space = unit(vectors.astype(np.float64)).astype(np.float32) if settings.distance == "cosine" else vectors
    filled = {name: np.asarray(rows, dtype=np.int64) for name, rows in splits.items() if len(rows)}
    found: list[Suspect] = []
    for first, second in combinations(filled, 2):
        # The smaller side asks, so that a test clip is named once rather than by every likeness in train.
        asks, told = sorted((first, second), key=lambda name: len(filled[name]))
        found += _across(space, (asks, filled[asks]), (told, filled[told]), settings)
    return ranked(found)[: settings.most]


def _across(
    space: Vectors, asks: tuple[str, Ints], told: tuple[str, Ints], settings: DuplicateSettings
) -> list[Suspect]:
    index, apart = nearest(Search(space[asks[1]], space[told[1]], "euclidean"), 1)
    usual = max(float(np.median(apart)), _within(space[told[1]]))
    if usual <= 0:
        # A collapsed space: everything is where everything is.
        return []
    close = np.flatnonzero(apart[:, 0] <= settings.share * usual).tolist()
    return [
        Suspect(
            row=int(asks[1][place]),
            kind="duplicate",
            score=1 - float(apart[place, 0]) / usual,
            reason=(
                f"In {asks[0]}, at {apart[place, 0]:.2g} from a clip of {told[0]}; the usual distance to the "
                f"nearest one there is {usual:.2g}."
            ),
            suggestion=f"Listen to both; if they are one sound, keep it out of {asks[0]} or of {told[0]}.",
            other=int(told[1][index[place, 0]]),
        )
        for place in close
    ]


def _within(split: Vectors) -> float:
    """Median distance of a clip of one side to the nearest other clip there; 0 where there is no other."""
    if len(split) < 2:
        return 0.0
    some = np.unique(np.linspace(0, len(split) - 1, ASKED).round().astype(np.int64))
    return float(np.median(nearest(Search(split[some], split, "euclidean", own=some), 1)[1]))
