"""Faulty signals: silent and clipped clips, offsets, broken and swapped channels; clusters of silent
clips."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from pydantic import Field

from nearfield.analysis.suspects.listing import Suspect, ranked
from nearfield.core.errors import RequestError
from nearfield.core.machine import usable_cores
from nearfield.core.settings import Settings
from nearfield.core.types import Bools, Floats, Ints
from nearfield.data import audio
from nearfield.data.collection import Collection
from nearfield.data.faults import Fault, Problem
from nearfield.data.probing import Progress
from nearfield.data.signal_checks import standing_at_full_scale
from nearfield.metrics.checks import check_lengths

# Statistics of the samples of each channel: level, clipping, offset, slope of the spectrum, correlation.
#
# Each file is decoded once, in blocks, at its own sample rate and with all channels, regardless of the
# recipe. C is the largest number of channels; values of channels that a clip does not have are NaN.

LOWEST = 60.0
"""Lowest frequency of the spectrum in Hz; below it is rumble, which says little about a microphone."""
HIGHEST = 0.45
"""Highest frequency of the spectrum as a fraction of the sample rate; above it is the filter of the
recorder."""

_BLOCK_SECONDS = 30.0
_FRAME_SECONDS = 0.064
_FAINT = 1e-14  # power of an empty band, far below the resolution of 24 bits


@dataclass(frozen=True)
class ChannelStatistics:
    """Statistics of each channel, (N, C) except `channels`; NaN without the channel, or if decoding
    failed."""

    channels: Ints
    """(N,) number of channels of each clip; 0 if it could not be decoded."""
    levels: Floats
    """Root mean square in dB relative to full scale; -inf for digital silence."""
    clipped: Floats
    """Fraction of samples at full scale, in runs of three or more."""
    offsets: Floats
    """Mean of the samples, -1..1."""
    tilts: Floats
    """Slope of the spectrum in dB per octave, from third-octave bands between `LOWEST` and `HIGHEST`."""
    correlations: Floats
    """Mean correlation with the other channels of the clip, -1..1; 0 for a constant channel, NaN if there is
    only one
    channel."""
    peaks: Floats
    """Largest absolute sample in dB relative to full scale; -inf for digital silence."""
    problems: tuple[Problem, ...]
    """Clips that could not be decoded."""


def measure_channels(collection: Collection, progress: Progress | None = None) -> ChannelStatistics:
    """Computes the statistics of every clip; `progress` gets the numbers of finished and of all clips."""
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
    measured = {row: each for row, each in found.items() if not isinstance(each, Fault)}
    faults = tuple(each.problem(ids[row]) for row, each in sorted(found.items()) if isinstance(each, Fault))
    counts = np.array([measured[row].shape[1] if row in measured else 0 for row in range(len(ids))], np.int64)
    cells = np.full((6, len(ids), max(1, counts.max(initial=0))), np.nan)
    for row, each in measured.items():
        cells[:, row, : each.shape[1]] = each
    levels, clipped, offsets, tilts, correlations, peaks = cells
    return ChannelStatistics(counts, levels, clipped, offsets, tilts, correlations, peaks, faults)


def _listen(path: Path, spans: Sequence[tuple[float, float]]) -> list[Floats | Fault]:
    """Returns (6, C) statistics of each clip of a file, given by start and length in seconds, or the
    fault."""
    try:
        metadata = audio.describe(path)
        clips = [_Clip(metadata, start, seconds) for start, seconds in spans]
        place = min(clip.first for clip in clips)
        whole = max(clip.last for clip in clips) - place
        pieces = audio.blocks(path, place / metadata.rate, whole / metadata.rate, _BLOCK_SECONDS)
        for waves in pieces:
            for clip in clips:
                clip.take(waves[:, max(0, clip.first - place) : max(0, clip.last - place)])
            place += waves.shape[1]
    except Fault as fault:
        return [fault] * len(spans)
    return [clip.statistics() for clip in clips]


class _Clip:
    """Accumulates the statistics of one clip, which is decoded in pieces."""

    def __init__(self, metadata: audio.SoundFacts, start: float, seconds: float) -> None:
        self.first = round(start * metadata.rate)
        self.last = (
            min(metadata.frames, round((start + seconds) * metadata.rate)) if seconds > 0 else metadata.frames
        )
        self._rate, self._floating, channels = metadata.rate, metadata.floating, metadata.channels
        self._frame = 1 << round(np.log2(_FRAME_SECONDS * metadata.rate))
        self._samples = 0
        self._full, self._sums, self._largest = np.zeros((3, channels))
        self._products = np.zeros((channels, channels))
        self._power = np.zeros((channels, self._frame // 2 + 1))

    def take(self, piece: audio.Waves) -> None:
        """Adds a piece (C, T) of the clip, which may be empty."""
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
        """Returns (6, C): level, clipped fraction, offset, tilt, correlation, peak."""
        samples = max(self._samples, 1)
        means = self._sums / samples
        with np.errstate(divide="ignore"):
            levels = 10 * np.log10(np.diag(self._products) / samples)
            peaks = 20 * np.log10(self._largest)
        tilts = spectral_tilts(self._power, self._rate)
        correlations = _correlations(self._products / samples - np.outer(means, means))
        return np.stack([levels, self._full / samples, means, tilts, correlations, peaks])


def spectral_tilts(power: Floats, rate: float) -> Floats:
    """Computes (C,) slopes in dB per octave of power spectra (C, F), from 0 to half the sample rate.

    Least squares over third-octave bands; 0 if the sample rate allows fewer than two bands.
    """
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
    """Computes (C, F) power spectra summed over frames with a Hann window; short pieces are padded to a
    frame."""
    count = max(1, waves.shape[1] // frame)
    padded = np.pad(waves, ((0, 0), (0, max(0, frame - waves.shape[1]))))[:, : count * frame]
    spectra = np.fft.rfft(padded.reshape(len(waves), count, frame) * np.hanning(frame), axis=2)
    return np.asarray((np.abs(spectra) ** 2).sum(axis=1))


def _correlations(covariance: Floats) -> Floats:
    """Computes (C,) the mean correlation of each channel with the others."""
    channels = len(covariance)
    if channels == 1:
        return np.full(1, np.nan)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    scale = np.outer(spread, spread)
    each = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 1e-20)
    np.fill_diagonal(each, 0)
    return np.asarray(each.sum(axis=1) / (channels - 1))


# Levels of clusters, to find clusters that consist of silent clips.

SILENT = -60.0
"""Level in dB relative to full scale below which a clip is silent."""

FLOOR = -120.0
"""Level used for digital silence, in dB relative to full scale."""


@dataclass(frozen=True)
class ClusterLevel:
    """Level and silent clips of one cluster."""

    cluster: int
    clips: int
    level: float
    """Mean level in dB relative to full scale."""
    silent: int
    """Number of silent clips in the cluster."""
    silent_share: float
    """Fraction of the clips of the cluster that are silent."""
    of_all_silent: float
    """Fraction of all silent clips that are in the cluster; 0 if no clip is silent."""


@dataclass(frozen=True)
class SilenceReport:
    """Levels of all clusters, the quietest first."""

    clusters: tuple[ClusterLevel, ...]
    threshold: float
    silent_share: float
    """Fraction of all clustered clips that are silent, which is expected in each cluster by chance."""
    explained: float
    """Fraction of the variance of level explained by the clusters (eta squared), 0..1."""

    @property
    def quiet(self) -> ClusterLevel:
        """The cluster with the lowest mean level."""
        return self.clusters[0]


def silence_report(levels: Floats, clusters: Ints, threshold: float = SILENT) -> SilenceReport:
    """Compares clusters by level.

    Parameters
    ----------
    levels
        (N,) level of each clip in dB relative to full scale; -inf for digital silence.
    clusters
        (N,) cluster of each clip; -1: none.
    threshold
        Level below which a clip is silent.

    Raises
    ------
    RequestError
        If no clip is in a cluster, or a level is NaN.
    """
    check_lengths(len(clusters), levels=levels)
    kept = clusters >= 0
    if not kept.any():
        raise RequestError("silence: no clip is in a cluster. Cluster the embeddings first.")
    if np.isnan(levels[kept]).any():
        raise RequestError("silence: a level is NaN. Leave out clips that could not be decoded.")
    floored, members = np.maximum(levels[kept], FLOOR), clusters[kept]
    silent = floored < threshold
    rows = [_level(number, floored, silent, members == number) for number in np.unique(members).tolist()]
    total = float(((floored - floored.mean()) ** 2).sum())
    between = sum(row.clips * (row.level - float(floored.mean())) ** 2 for row in rows)
    return SilenceReport(
        clusters=tuple(sorted(rows, key=lambda row: (row.level, row.cluster))),
        threshold=threshold,
        silent_share=float(silent.mean()),
        explained=between / total if total > 0 else 0.0,
    )


def _level(number: int, levels: Floats, silent: Bools, inside: Bools) -> ClusterLevel:
    count, quiet, everywhere = int(inside.sum()), int(silent[inside].sum()), int(silent.sum())
    return ClusterLevel(
        cluster=number,
        clips=count,
        level=float(levels[inside].mean()),
        silent=quiet,
        silent_share=quiet / count,
        of_all_silent=quiet / everywhere if everywhere else 0.0,
    )


# Statistics of clips with the same number of channels, and the limits of faults.


@dataclass(frozen=True)
class SignalStatistics:
    """Statistics of the channels of clips with the same number of channels."""

    levels: Floats
    """(N, C) root mean square in dB relative to full scale; -inf for digital silence."""
    clipped: Floats
    """(N, C) fraction of samples at full scale, 0..1."""
    offsets: Floats
    """(N, C) mean of the samples as a fraction of full scale, -1..1."""
    tilts: Floats
    """(N, C) slope of the spectrum in dB per octave; the more negative, the duller."""
    correlations: Floats
    """(N, C) mean correlation with the other channels of the clip, -1..1; NaN if there is only one."""
    peaks: Floats
    """(N, C) largest absolute sample in dB relative to full scale; -inf for digital silence."""

    def __post_init__(self) -> None:
        shape = self.levels.shape
        for name in ("clipped", "offsets", "tilts", "correlations", "peaks"):
            given = getattr(self, name).shape
            if len(shape) != 2 or given != shape:
                raise RequestError(
                    f"signal statistics: {name} must have shape (clips, channels) {shape}. Given: {given}."
                )

    def __len__(self) -> int:
        return len(self.levels)


class SignalSettings(Settings):
    """Limits above which a signal is faulty."""

    silent: float = Field(SILENT, le=0)
    """Level below which a clip is silent, in dB relative to full scale, unless its peak exceeds it by
    `crest`."""
    crest: float = Field(20.0, ge=0)
    """Crest factor (peak above level) in dB from which a quiet clip contains a sound; that of steady noise is
    about 12 dB, that of a short sound in a quiet clip is larger."""
    clipped: float = Field(0.001, gt=0, le=1)
    """Fraction of samples at full scale from which a clip is clipped."""
    offset: float = Field(0.02, gt=0, le=1)
    """Absolute mean of the samples from which a clip has an offset, as a fraction of full scale."""
    strays: float = Field(6.0, gt=0)
    """Number of usual deviations from the usual value from which a channel is faulty."""
    drop: float = Field(30.0, gt=0)
    """Level below that of the loudest channel of the clip from which a channel is dead, in dB."""
    swap: float = Field(2.0, gt=1)
    """Factor by which swapped channels must fit better."""


def over(value: float, limit: float) -> float:
    """Returns a score in 0..1 of a value; 0.5 at `limit`, from which it is suspicious."""
    return float(value / (value + limit))


# Broken and swapped channels, from statistics of each clip's samples.
#
# Conventions: levels in dB relative to full scale, tilt in dB per octave. The usual value is the median over
# the clips of one unit (one recorder or session; all clips if unknown), for each channel. The usual deviation
# is the median absolute deviation from it (times 1.4826, which is the standard deviation of a normal
# distribution), at least `SMALLEST`.
#
# - channel: level or tilt of a channel, relative to the other channels of the clip (or to the unit, if clips
#   have one
#   channel), deviates much more than usual; or its correlation with the others is low; or it is dead.
# - swapped: with two channels swapped, levels and tilts of the clip fit the usual values of the unit clearly
#   better.
#   This can be detected only if the channels usually differ.

SMALLEST = (0.5, 0.25, 0.02)
"""Smallest usual deviations of level (dB), tilt (dB per octave) and correlation."""


def channel_faults(
    statistics: SignalStatistics, levels: Floats, rows: Ints, settings: SignalSettings
) -> list[Suspect]:
    """Finds broken and swapped channels among the clips `rows` of one unit."""
    several = levels.shape[1] > 1
    profile = np.stack([levels[rows], statistics.tilts[rows]])
    if several:
        # What all channels share is due to the sound; the remainder is due to the microphones.
        profile = profile - np.median(profile, axis=2, keepdims=True)
    usual = np.median(profile, axis=1, keepdims=True)
    stray = _straying(profile - usual, np.array(SMALLEST[:2])[:, None, None])
    off = np.abs(profile - usual) / stray
    if several:
        together = statistics.correlations[rows][None]
        lost = np.median(together, axis=1, keepdims=True) - together
        off = np.concatenate([off, lost / _straying(lost, np.array(SMALLEST[2:])[:, None, None])])
    swapped = _swaps(profile, usual, stray, settings) if several else {}
    found = [_swapped(int(rows[place]), *swap) for place, swap in swapped.items()]
    dead = several & (levels[rows].max(axis=1, keepdims=True) - levels[rows] >= settings.drop)
    worst = np.nan_to_num(off).max(axis=0)
    alone = np.abs(levels[rows] - np.median(levels[rows], axis=0))
    for place in np.flatnonzero(((worst >= settings.strays) | dead).any(axis=1)).tolist():
        if place not in swapped:
            # Two channels deviate equally from each other; the usual level of each then decides which is
            # broken.
            by_channel = alone[place] if levels.shape[1] == 2 else worst[place] + 1e9 * dead[place]
            channel = int(by_channel.argmax())
            found.append(_broken(int(rows[place]), channel, off[:, place, channel], settings))
    return found


def _swaps(
    profile: Floats, usual: Floats, stray: Floats, settings: SignalSettings
) -> dict[int, tuple[int, int, float]]:
    """Returns position to (one channel, other channel, score) of the clips that fit better with two
    swapped."""
    found: dict[int, tuple[int, int, float]] = {}
    as_is = (np.abs(profile - usual) / stray).mean(axis=(0, 2))
    best = as_is / settings.swap
    for one, other in combinations(range(profile.shape[2]), 2):
        order = np.arange(profile.shape[2])
        order[[one, other]] = other, one
        exchanged = (np.abs(profile[:, :, order] - usual) / stray).mean(axis=(0, 2))
        # The clip must be unusual as it is, and usual with swapped channels.
        for place in np.flatnonzero((exchanged < best) & (as_is > 2) & (exchanged < 3)).tolist():
            found[place] = one, other, 1 - float(exchanged[place] / as_is[place])
            best[place] = exchanged[place]
    return found


def _swapped(row: int, one: int, other: int, score: float) -> Suspect:
    return Suspect(
        row,
        "swapped",
        score,
        f"With channels {one} and {other} swapped, levels and spectra fit the other clips "
        f"{1 / (1 - score) if score < 1 else float('inf'):.1f} times better.",
        f"Check the cables; if you agree, swap channels {one} and {other}.",
    )


def _broken(row: int, channel: int, off: Floats, settings: SignalSettings) -> Suspect:
    what = ("level", "tilt of the spectrum", "correlation with the other channels")[
        int(np.nan_to_num(off).argmax())
    ]
    worst = float(np.nan_to_num(off).max())
    return Suspect(
        row,
        "channel",
        over(worst, settings.strays),
        f"Channel {channel}: its {what} deviates from the usual value by {worst:.0f} times the usual "
        "deviation.",
        "Listen to the channel alone; if it is broken, leave out the channel or the clip.",
    )


def _straying(apart: Floats, least: Floats) -> Floats:
    """Returns the usual deviations (kinds, 1, C) of each channel."""
    spread = 1.4826 * np.nanmedian(
        np.abs(apart - np.nanmedian(apart, axis=1, keepdims=True)), axis=1, keepdims=True
    )
    return np.asarray(np.maximum(spread, least))


# All kinds of faulty signals.
#
# - silent: the level of every channel is below a limit, and so is the crest factor, which is large if a quiet
#   clip
#   contains a short sound.
# - clipped, offset: the fraction of samples at full scale, or the mean, exceeds a limit in any channel.
# - channel, swapped: see "Broken and swapped channels" above.


def signal_suspects(
    statistics: SignalStatistics, units: Ints | None = None, settings: SignalSettings | None = None
) -> list[Suspect]:
    """Finds clips with faulty signals, the most suspicious first; a clip may have several faults.

    `units` (N,) are numbers of recorders; clips with -1 (unknown) are one unit.
    """
    settings = settings or SignalSettings()
    check_lengths(len(statistics), units=units)
    of = np.zeros(len(statistics), dtype=np.int64) if units is None else units
    levels = np.maximum(statistics.levels, FLOOR)
    found = _plain_faults(statistics, levels, settings)
    for unit in np.unique(of).tolist():
        rows = np.flatnonzero(of == unit)
        # Silent clips are left out, because their channels cannot be compared.
        rows = rows[(levels[rows] >= settings.silent).any(axis=1)]
        if len(rows) > 2:
            found += channel_faults(statistics, levels, rows, settings)
    return ranked(found)


def _plain_faults(statistics: SignalStatistics, levels: Floats, settings: SignalSettings) -> list[Suspect]:
    found = []
    loudest = levels.max(axis=1)
    peaks = np.maximum(statistics.peaks, FLOOR).max(axis=1)
    silent = (loudest < settings.silent) & (peaks - loudest < settings.crest)
    for row in np.flatnonzero(silent).tolist():
        found.append(
            Suspect(
                row,
                "silent",
                over(settings.silent - loudest[row], 6.0),
                f"Its level is {loudest[row]:.0f} dB relative to full scale, below {settings.silent:.0f} "
                f"dB, and it contains no short sound: its peak is {peaks[row] - loudest[row]:.0f} dB above "
                "the level.",
                "Listen at full volume; if you hear nothing, leave it out.",
            )
        )
    for row in np.flatnonzero((statistics.clipped >= settings.clipped).any(axis=1)).tolist():
        share = float(statistics.clipped[row].max())
        found.append(
            Suspect(
                row,
                "clipped",
                over(share, settings.clipped),
                f"{100 * share:.2g} % of the samples are at full scale.",
                "Record it again at a lower level, or leave it out.",
            )
        )
    for row in np.flatnonzero((np.abs(statistics.offsets) >= settings.offset).any(axis=1)).tolist():
        channel = int(np.abs(statistics.offsets[row]).argmax())
        offset = float(statistics.offsets[row, channel])
        found.append(
            Suspect(
                row,
                "offset",
                over(abs(offset), settings.offset),
                f"The samples of channel {channel} have a mean of {100 * offset:.2g} % of full scale, not 0.",
                "Subtract the mean (for example with a high-pass filter), and check the recorder.",
            )
        )
    return found
