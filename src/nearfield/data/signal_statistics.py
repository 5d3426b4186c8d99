"""What the samples of every clip say, channel by channel: level, clipping, offset, correlation, colour.

Each file is decoded once, in blocks, at its own rate and with all its channels, whatever a recipe makes of
them later. C is the largest number of channels; cells of channels that a clip does not have are NaN.
"""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearfield.core.machine import usable_cores
from nearfield.core.nouns import Floats, Ints
from nearfield.data import audio
from nearfield.data.collection import Collection
from nearfield.data.faults import Fault, Problem
from nearfield.data.listening import standing_at_full_scale
from nearfield.data.probing import Progress

LOWEST = 60.0
"""Where the spectrum begins to count, in hertz: below it is rumble, which says little of a microphone."""
HIGHEST = 0.45
"""Where it ends, as a share of the rate: above it is the filter of the recorder."""

_BLOCK_SECONDS = 30.0
_FRAME_SECONDS = 0.064
_FAINT = 1e-14  # power of a band that holds nothing; far below 24 bits


@dataclass(frozen=True)
class ChannelStatistics:
    """(N, C) each, but for `channels`; NaN where a clip has no such channel, or could not be decoded."""

    channels: Ints
    """(N,) of each clip; 0 where it could not be decoded."""
    levels: Floats
    """Root mean square in dB of full scale; -inf for digital silence."""
    clipped: Floats
    """Share of samples that stand at full scale, three or more on end."""
    offsets: Floats
    """Mean of the samples, -1..1."""
    tilts: Floats
    """Slope of the spectrum in dB per octave, from thirds of octaves between `LOWEST` and `HIGHEST`."""
    correlations: Floats
    """Mean correlation with the clip's other channels, -1..1; 0 for a channel that does not move, NaN where
    there is but one channel."""
    peaks: Floats
    """Largest sample in dB of full scale; -inf for digital silence."""
    problems: tuple[Problem, ...]
    """Clips that could not be decoded."""


def measure_channels(collection: Collection, progress: Progress | None = None) -> ChannelStatistics:
    """Listens to every clip; `progress` gets how many of how many are done."""
    table = collection.table
    rows: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(table["path"]):
        rows[path].append(row)
    spans = list(zip(table["start"], table["seconds"], strict=True))
    work = [(Path(path), [spans[row] for row in own]) for path, own in rows.items()]
    found: dict[int, Floats | Fault] = {}
    with ThreadPoolExecutor(usable_cores()) as pool:
        for own, results in zip(rows.values(), pool.map(lambda job: _listen(*job), work), strict=True):
            found |= zip(own, results, strict=True)
            if progress:
                progress(len(found), len(table))
    ids = list(table["id"])
    told = {row: each for row, each in found.items() if not isinstance(each, Fault)}
    faults = tuple(each.problem(ids[row]) for row, each in sorted(found.items()) if isinstance(each, Fault))
    counts = np.array([told[row].shape[1] if row in told else 0 for row in range(len(ids))], np.int64)
    cells = np.full((6, len(ids), max(1, counts.max(initial=0))), np.nan)
    for row, each in told.items():
        cells[:, row, : each.shape[1]] = each
    levels, clipped, offsets, tilts, correlations, peaks = cells
    return ChannelStatistics(counts, levels, clipped, offsets, tilts, correlations, peaks, faults)


def _listen(path: Path, spans: Sequence[tuple[float, float]]) -> list[Floats | Fault]:
    """(6, C) for each clip of a file, each a start and a length in seconds; or why it cannot be told."""
    try:
        facts = audio.describe(path)
        clips = [_Clip(facts, start, seconds) for start, seconds in spans]
        place = min(clip.first for clip in clips)
        whole = max(clip.last for clip in clips) - place
        pieces = audio.blocks(path, place / facts.rate, whole / facts.rate, _BLOCK_SECONDS)
        for waves in pieces:
            for clip in clips:
                clip.take(waves[:, max(0, clip.first - place) : max(0, clip.last - place)])
            place += waves.shape[1]
    except Fault as fault:
        return [fault] * len(spans)
    return [clip.statistics() for clip in clips]


class _Clip:
    """Sums over the samples of one clip, which come in pieces."""

    def __init__(self, facts: audio.SoundFacts, start: float, seconds: float) -> None:
        self.first = round(start * facts.rate)
        self.last = min(facts.frames, round((start + seconds) * facts.rate)) if seconds > 0 else facts.frames
        self._rate, self._floating, channels = facts.rate, facts.floating, facts.channels
        self._frame = 1 << round(np.log2(_FRAME_SECONDS * facts.rate))
        self._samples = 0
        self._full, self._sums, self._largest = np.zeros((3, channels))
        self._products = np.zeros((channels, channels))
        self._power = np.zeros((channels, self._frame // 2 + 1))

    def take(self, piece: audio.Waves) -> None:
        """(C, T) of the clip, where there is some of it in the block."""
        if not piece.shape[1]:
            return
        waves = np.where(audio.is_usable(piece), piece, 0).astype(np.float64)
        self._samples += waves.shape[1]
        self._full += standing_at_full_scale(np.abs(waves), self._floating).sum(axis=1)
        self._sums += waves.sum(axis=1)
        self._largest = np.maximum(self._largest, np.abs(waves).max(axis=1))
        self._products += waves @ waves.T
        self._power += _power(waves, self._frame)

    def statistics(self) -> Floats:
        """(6, C): level, clipped share, offset, tilt, correlation, peak."""
        samples = max(self._samples, 1)
        means = self._sums / samples
        with np.errstate(divide="ignore"):
            levels = 10 * np.log10(np.diag(self._products) / samples)
            peaks = 20 * np.log10(self._largest)
        tilts = spectral_tilts(self._power, self._rate)
        correlations = _correlations(self._products / samples - np.outer(means, means))
        return np.stack([levels, self._full / samples, means, tilts, correlations, peaks])


def spectral_tilts(power: Floats, rate: float) -> Floats:
    """(C,) slope in dB per octave of power spectra (C, F) from 0 to half the rate, by least squares over
    thirds of octaves; 0 where the rate leaves none."""
    frequencies = np.linspace(0, rate / 2, power.shape[1])
    thirds = np.arange(np.ceil(3 * np.log2(LOWEST)), np.floor(3 * np.log2(HIGHEST * rate)) + 1)
    edges = 2 ** (np.array([*(thirds - 0.5), *(thirds[-1:] + 0.5)]) / 3)
    bands = np.searchsorted(edges, frequencies) - 1
    kept = [band for band in range(len(thirds)) if (bands == band).any()]
    if len(kept) < 2:
        return np.zeros(len(power))
    densities = np.stack([power[:, bands == band].mean(axis=1) for band in kept], axis=1)
    decibels = 10 * np.log10(densities + _FAINT * (densities.max(axis=1, keepdims=True) + _FAINT))
    octaves = thirds[kept] / 3
    return np.asarray(np.polyfit(octaves, decibels.T, 1)[0])


def _power(waves: Floats, frame: int) -> Floats:
    """(C, F) summed over frames under a Hann window; a piece shorter than a frame is one."""
    count = max(1, waves.shape[1] // frame)
    padded = np.pad(waves, ((0, 0), (0, max(0, frame - waves.shape[1]))))[:, : count * frame]
    spectra = np.fft.rfft(padded.reshape(len(waves), count, frame) * np.hanning(frame), axis=2)
    return np.asarray((np.abs(spectra) ** 2).sum(axis=1))


def _correlations(covariance: Floats) -> Floats:
    """(C,) mean correlation of each channel with the others."""
    channels = len(covariance)
    if channels == 1:
        return np.full(1, np.nan)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    scale = np.outer(spread, spread)
    each = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 1e-20)
    np.fill_diagonal(each, 0)
    return np.asarray(each.sum(axis=1) / (channels - 1))
