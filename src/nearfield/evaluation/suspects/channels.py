"""Broken and swapped channels, from statistics of each clip's samples.

Conventions
-----------
Levels in dB of full scale, tilt in dB per octave. What is usual is the median over the clips of one unit (one
recorder, one session; all clips where nothing is said), channel by channel; how far clips usually stray is
the median distance from it (times 1.4826, a deviation for the normal law), never taken below `SMALLEST`.

- channel: one channel's level or tilt strays, beside the clip's other channels (or beside the unit, where a
  clip has one channel), much farther than is usual; or it no longer goes with the others; or it is dead.
- swapped: with two channels exchanged, the clip's levels and tilts fit what is usual of the unit clearly
  better than as they are. It can only be told where the channels usually differ.
"""

from itertools import combinations

import numpy as np

from nearfield.core.nouns import Floats, Ints
from nearfield.evaluation.suspects.statistics import SignalSettings, SignalStatistics, over
from nearfield.evaluation.suspects.suspect import Suspect

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
