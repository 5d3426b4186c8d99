"""The mel scale and its triangles: how much each FFT bin counts in each band.

Two scales are in use. HTK: mel = 2595 log10(1 + f / 700) (O'Shaughnessy, Speech Communication, 1987).
Slaney: linear to 1,000 Hz, 3 mel for 200 Hz; logarithmic above, 27 mel for a factor of 6.4 (Auditory Toolbox,
1998).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nearfield.core.nouns import Floats

Scale = Literal["htk", "slaney"]

_KINK = 1000.0
"""Hz; here Slaney's scale turns from linear to logarithmic, at 15 mel."""


@dataclass(frozen=True)
class MelBands:
    """Triangular bands, evenly spaced on a mel scale between two frequencies; frequencies in Hz."""

    bands: int
    low: float
    high: float
    scale: Scale
    triangles: Literal["hz", "mel"]
    """The axis on which a triangle's sides are straight lines."""
    area_norm: bool
    """Whether each triangle has area 1 over Hz, instead of height 1."""

    def edges(self) -> Floats:
        """(bands + 2,) Hz: band b begins at edge b, peaks at b + 1, ends at b + 2."""
        low, high = to_mel(np.array([self.low, self.high]), self.scale)
        return to_hertz(np.linspace(low, high, self.bands + 2), self.scale)

    def weights(self, sample_rate: int, fft: int) -> Floats:
        """(bands, fft // 2 + 1): the weight of each bin in each band, 0 or more."""
        edges = self.edges()
        heights = 2 / (edges[2:] - edges[:-2]) if self.area_norm else np.ones(self.bands)
        bins: Floats = np.arange(fft // 2 + 1, dtype=np.float64) * (sample_rate / fft)
        if self.triangles == "mel":
            edges, bins = to_mel(edges, self.scale), to_mel(bins, self.scale)
        begin, peak, end = edges[:-2, None], edges[1:-1, None], edges[2:, None]
        rising, falling = (bins - begin) / (peak - begin), (end - bins) / (end - peak)
        return np.maximum(0.0, np.minimum(rising, falling)) * heights[:, None]

    def empty(self, sample_rate: int, fft: int) -> list[int]:
        """Bands that no bin falls into: their picture would be one constant row."""
        edges, step = self.edges(), sample_rate / fft
        next_bin = (np.floor(edges[:-2] / step) + 1) * step
        ends = edges[2:] * (1 - 1e-12)  # a bin on the very edge has no weight, however the edge was rounded
        return [int(band) for band in np.flatnonzero(next_bin >= ends)]


def to_mel(hertz: Floats, scale: Scale) -> Floats:
    """Hz, 0 or more, to mel."""
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    above = 15.0 + 27.0 * np.log(np.maximum(hertz, _KINK) / _KINK) / np.log(6.4)
    return np.where(hertz < _KINK, hertz * 0.015, above)


def to_hertz(mel: Floats, scale: Scale) -> Floats:
    """Mel, 0 or more, to Hz."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _KINK * np.exp((np.maximum(mel, 15.0) - 15.0) * np.log(6.4) / 27.0)
    return np.where(mel < 15.0, mel / 0.015, above)
