"""Silent, clipped and offset clips, broken or swapped channels, clusters of silence."""

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

# What the samples of every clip say, channel by channel: level, clipping, offset, correlation, colour.
#
# Each file is decoded once, in blocks, at its own rate and with all its channels, whatever a recipe makes of
# them later. C is the largest number of channels; cells of channels that a clip does not have are NaN.

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
    """Sums over the samples of one clip, which come in pieces."""

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


# Is a cluster just the quiet clips? The level of every cluster, and where the silent clips went.

SILENT = -60.0
"""Level in dB of full scale below which a clip counts as silent."""

FLOOR = -120.0
"""Level taken for digital silence, which has none."""


@dataclass(frozen=True)
class ClusterLevel:
    """One cluster by its loudness."""

    cluster: int
    clips: int
    level: float
    """Mean level in dB of full scale."""
    silent: int
    """Silent clips in it."""
    silent_share: float
    """Of the cluster's clips: how purely it is a cluster of silence."""
    of_all_silent: float
    """Of all silent clips: how much of the silence it holds; 0 where no clip is silent."""


@dataclass(frozen=True)
class SilenceReport:
    """The clusters, quietest first."""

    clusters: tuple[ClusterLevel, ...]
    threshold: float
    silent_share: float
    """Of all clips in clusters: what `silent_share` of a cluster would be by chance."""
    explained: float
    """Share of the variance of level that the clusters explain (eta squared), 0..1."""

    @property
    def quiet(self) -> ClusterLevel:
        """The cluster with the lowest mean level."""
        return self.clusters[0]


def silence_report(levels: Floats, clusters: Ints, threshold: float = SILENT) -> SilenceReport:
    """Sets clusters against loudness.

    `levels` (N,) in dB of full scale, -inf for digital silence; `clusters` (N,) numbers, -1 in none. Raises
    RequestError where no clip is in a cluster, or a level is not a number.
    """
    check_lengths(len(clusters), levels=levels)
    kept = clusters >= 0
    if not kept.any():
        raise RequestError("silence: no clip is in a cluster; cluster the space first.")
    if np.isnan(levels[kept]).any():
        raise RequestError("silence: a level is not a number; leave clips that could not be measured out.")
    heard, members = np.maximum(levels[kept], FLOOR), clusters[kept]
    silent = heard < threshold
    rows = [_level(number, heard, silent, members == number) for number in np.unique(members).tolist()]
    total = float(((heard - heard.mean()) ** 2).sum())
    between = sum(row.clips * (row.level - float(heard.mean())) ** 2 for row in rows)
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


# What the samples of every clip say, channel by channel, and from where on that is called a fault.


@dataclass(frozen=True)
class SignalStatistics:
    """What the samples of every clip say."""

    levels: Floats
    """(N, C) root mean square in dB of full scale; -inf for digital silence."""
    clipped: Floats
    """(N, C) share of samples at full scale, 0..1."""
    offsets: Floats
    """(N, C) mean of the samples as a share of full scale, -1..1."""
    tilts: Floats
    """(N, C) slope of the spectrum in dB per octave: how dull (negative) or bright."""
    correlations: Floats
    """(N, C) mean correlation of a channel with the clip's others, -1..1; NaN where there is but one."""
    peaks: Floats
    """(N, C) largest sample in dB of full scale; -inf for digital silence."""

    def __post_init__(self) -> None:
        shape = self.levels.shape
        for name in ("clipped", "offsets", "tilts", "correlations", "peaks"):
            given = getattr(self, name).shape
            if len(shape) != 2 or given != shape:
                raise RequestError(
                    f"signal statistics: {name} must be (clips, channels) {shape}; given: {given}."
                )

    def __len__(self) -> int:
        return len(self.levels)


class SignalSettings(Settings):
    """From where on a signal is called faulty."""

    silent: float = Field(SILENT, le=0)
    """Level below which a channel is silent, in dB of full scale, where nothing stands out of it."""
    crest: float = Field(20.0, ge=0)
    """How far a sound's largest sample stands above its level, in dB: steady noise stays some 12 below it, a
    short sound in a quiet file goes beyond."""
    clipped: float = Field(0.001, gt=0, le=1)
    """Share of samples at full scale."""
    offset: float = Field(0.02, gt=0, le=1)
    """Mean of the samples, as a share of full scale."""
    strays: float = Field(6.0, gt=0)
    """How many usual strayings a channel may lie off what is usual."""
    drop: float = Field(30.0, gt=0)
    """How far below the clip's loudest channel a channel counts as dead, in dB."""
    swap: float = Field(2.0, gt=1)
    """How many times better exchanged channels must fit."""


def over(value: float, limit: float) -> float:
    """A score in 0..1 of a value that is suspicious from `limit` on: 0.5 there."""
    return float(value / (value + limit))


# Broken and swapped channels, from statistics of each clip's samples.
#
# Conventions ----------- Levels in dB of full scale, tilt in dB per octave. What is usual is the median over
# the clips of one unit (one recorder, one session; all clips where nothing is said), channel by channel; how
# far clips usually stray is the median distance from it (times 1.4826, a deviation for the normal law),
# never taken below `SMALLEST`.
#
# - channel: one channel's level or tilt strays, beside the clip's other channels (or beside the unit, where a
#   clip has one channel), much farther than is usual; or it no longer goes with the others; or it is dead.
# - swapped: with two channels exchanged, the clip's levels and tilts fit what is usual of the unit clearly
#   better than as they are. It can only be told where the channels usually differ.

SMALLEST = (0.5, 0.25, 0.02)
"""Least strayings of level (dB), tilt (dB per octave) and correlation that count as usual."""


def channel_faults(
    statistics: SignalStatistics, levels: Floats, rows: Ints, settings: SignalSettings
) -> list[Suspect]:
    """Broken and swapped channels among the clips `rows` of one unit."""
    several = levels.shape[1] > 1
    profile = np.stack([levels[rows], statistics.tilts[rows]])
    if several:
        # What all channels share is the sound's; what remains is the microphones'.
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
            # Of two channels each is as far from the other: then its own usual level tells which it is.
            told = alone[place] if levels.shape[1] == 2 else worst[place] + 1e9 * dead[place]
            channel = int(told.argmax())
            found.append(_broken(int(rows[place]), channel, off[:, place, channel], settings))
    return found


def _swaps(
    profile: Floats, usual: Floats, stray: Floats, settings: SignalSettings
) -> dict[int, tuple[int, int, float]]:
    """Position to (one channel, the other, score) of the clips that fit better with two exchanged."""
    found: dict[int, tuple[int, int, float]] = {}
    as_is = (np.abs(profile - usual) / stray).mean(axis=(0, 2))
    best = as_is / settings.swap
    for one, other in combinations(range(profile.shape[2]), 2):
        order = np.arange(profile.shape[2])
        order[[one, other]] = other, one
        exchanged = (np.abs(profile[:, :, order] - usual) / stray).mean(axis=(0, 2))
        # As it is, the clip must be unusual; exchanged, it must be usual.
        for place in np.flatnonzero((exchanged < best) & (as_is > 2) & (exchanged < 3)).tolist():
            found[place] = one, other, 1 - float(exchanged[place] / as_is[place])
            best[place] = exchanged[place]
    return found


def _swapped(row: int, one: int, other: int, score: float) -> Suspect:
    return Suspect(
        row,
        "swapped",
        score,
        f"With channels {one} and {other} exchanged, levels and colour fit the other clips "
        f"{1 / (1 - score) if score < 1 else float('inf'):.1f} times better.",
        f"Look at the cables; if you agree, exchange channels {one} and {other}.",
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
        f"Channel {channel}: its {what} is {worst:.0f} times as far off what is usual as clips usually are.",
        "Listen to the channel alone; if it is broken, leave it out of the mean, or the clip out.",
    )


def _straying(apart: Floats, least: Floats) -> Floats:
    """How far clips usually lie off, channel by channel: (kinds, 1, C)."""
    spread = 1.4826 * np.nanmedian(
        np.abs(apart - np.nanmedian(apart, axis=1, keepdims=True)), axis=1, keepdims=True
    )
    return np.asarray(np.maximum(spread, least))


# Silent, clipped and offset clips, and broken or swapped channels: faults that samples show without ears.
#
# - silent: every channel lies below a level, and no sample stands out of it, as it does in a quiet short
#   sound.
# - clipped, offset: a share of samples at full scale, or a mean, above a limit, in any channel.
# - channel, swapped: see "Broken and swapped channels" above.


def signal_suspects(
    statistics: SignalStatistics, units: Ints | None = None, settings: SignalSettings | None = None
) -> list[Suspect]:
    """Clips with faulty signals, the most suspicious first; a clip may stand there for several reasons.

    `units` (N,) number what shares a recorder; -1 is not known, and such clips are one unit.
    """
    settings = settings or SignalSettings()
    check_lengths(len(statistics), units=units)
    of = np.zeros(len(statistics), dtype=np.int64) if units is None else units
    levels = np.maximum(statistics.levels, FLOOR)
    found = _plain_faults(statistics, levels, settings)
    for unit in np.unique(of).tolist():
        rows = np.flatnonzero(of == unit)
        # Silent clips have no channels to compare, and would spoil what is usual.
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
                f"Its level is {loudest[row]:.0f} dB of full scale, below {settings.silent:.0f} dB, and no "
                f"sound stands out: its largest sample lies {peaks[row] - loudest[row]:.0f} dB above that.",
                "Listen at full volume; if there is nothing, leave it out.",
            )
        )
    for row in np.flatnonzero((statistics.clipped >= settings.clipped).any(axis=1)).tolist():
        share = float(statistics.clipped[row].max())
        found.append(
            Suspect(
                row,
                "clipped",
                over(share, settings.clipped),
                f"{100 * share:.2g} % of the samples stand at full scale.",
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
                "Take the mean off (a high-pass filter will), and look at the recorder.",
            )
        )
    return found
