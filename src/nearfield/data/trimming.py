"""Where a clip's sound begins and ends, by loudness."""

import numpy as np

from nearfield.data.audio import Waves

HOP, HOPS = 512, 4
"""Samples between two looks at the loudness, and how many hops one look covers."""
_FLOOR = 1e-10  # squared loudness under which all is the same silence


def sounding(waves: Waves, decibels: float) -> tuple[int, int]:
    """First sample and end of what is left when quiet margins are cut away from (C, T).

    Quiet is what stays `decibels` or more below the loudest look, in every channel; a clip of nothing but
    silence is left whole. The rule is that of `librosa.effects.trim`.
    """
    samples = waves.shape[-1]
    powers = np.maximum(_powers(waves), _FLOOR)
    loud = 10 * np.log10(powers / powers.max()) > -decibels
    looks = np.flatnonzero(loud.any(axis=0))
    return int(looks[0]) * HOP, min(samples, (int(looks[-1]) + 1) * HOP)


def _powers(waves: Waves) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(C, 1 + T // HOP) mean square around each multiple of HOP; beyond the ends there is silence."""
    channels, samples = waves.shape
    looks = 1 + samples // HOP
    whole = samples // HOP * HOP
    sums = np.zeros((channels, looks + HOPS), np.float64)
    for channel in range(channels):
        hops = waves[channel, :whole].reshape(-1, HOP)
        sums[channel, HOPS // 2 : HOPS // 2 + len(hops)] = np.einsum("ht,ht->h", hops, hops)
        rest = waves[channel, whole:]
        sums[channel, HOPS // 2 + len(hops)] = float(rest @ rest)
    return np.asarray(sum(sums[:, k : k + looks] for k in range(HOPS)) / (HOP * HOPS))
