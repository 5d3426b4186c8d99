"""Where a clip's sound begins and ends, by loudness."""

import numpy as np

from nearfield.core.nouns import Floats
from nearfield.data.audio import Waves

HOP, HOPS = 512, 4
"""Samples between two looks at the loudness, and how many hops one look covers."""
_FLOOR = 1e-10  # squared loudness under which all is the same silence


def sounding(waves: Waves, decibels: float) -> tuple[int, int]:
    """First sample and end of what is left when quiet margins are cut away from (C, T).

    Quiet is what stays `decibels` or more below the loudest look, in every channel; a clip of nothing but
    silence is left whole. The rule is that of `librosa.effects.trim`.
    """
    loudness = Loudness(len(waves))
    loudness.take(waves)
    return loudness.sounding(decibels)


class Loudness:
    """How loud a clip is along its time, gathered from pieces (C, T) of any length."""

    def __init__(self, channels: int) -> None:
        self._sums: list[Floats] = []
        self._rest = np.zeros((channels, 0), np.float32)
        self._samples = 0

    def take(self, waves: Waves) -> None:
        """The next piece."""
        self._samples += waves.shape[-1]
        waves = np.concatenate([self._rest, waves], axis=1) if self._rest.size else waves
        whole = waves.shape[-1] // HOP * HOP
        hops = [channel[:whole].reshape(-1, HOP) for channel in waves]
        self._sums.append(np.stack([np.einsum("ht,ht->h", own, own) for own in hops]).astype(np.float64))
        self._rest = np.array(waves[:, whole:], np.float32)

    def sounding(self, decibels: float) -> tuple[int, int]:
        """As the function of that name, for all that was taken."""
        powers = np.maximum(self._powers(), _FLOOR)
        loud = 10 * np.log10(powers / powers.max()) > -decibels
        looks = np.flatnonzero(loud.any(axis=0))
        return int(looks[0]) * HOP, min(self._samples, (int(looks[-1]) + 1) * HOP)

    def _powers(self) -> Floats:
        """(C, 1 + T // HOP) mean square around each multiple of HOP; beyond the ends there is silence."""
        rest = np.array([[float(channel @ channel)] for channel in self._rest])
        hops = np.concatenate([*self._sums, rest], axis=1)
        looks = hops.shape[1]
        sums = np.pad(hops, ((0, 0), (HOPS // 2, HOPS // 2)))
        return np.asarray(sum(sums[:, k : k + looks] for k in range(HOPS)) / (HOP * HOPS))
