"""Log-mel spectrograms with one or several windows."""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.parallel import spread
from nearfield.core.settings import Settings
from nearfield.core.types import Floats
from nearfield.models.features.feature import BaseFeatureSettings, Feature

# Cutting waves into overlapping frames.

Padding = Literal["none", "zero", "reflect"]


@dataclass(frozen=True)
class Framing:
    """Frames of `window` samples, one every `hop` samples.

    Padding `none`: all frames lie within the wave, the first at its beginning. `zero` and `reflect`: the
    middle of the FFT of frame f is at sample f x hop; beyond its ends, the wave is padded with zeros or
    mirrored at its first and last sample."""

    window: int
    hop: int
    fft: int
    padding: Padding

    @property
    def before(self) -> int:
        """Number of samples padded before the wave; the rest of the window is padded after it."""
        return 0 if self.padding == "none" else self.fft // 2 - (self.fft - self.window) // 2

    @property
    def fewest(self) -> int:
        """Smallest number of samples of a wave."""
        enough = {"none": self.window, "zero": 1, "reflect": max(self.before, self.window - self.before) + 1}
        return enough[self.padding]

    def count(self, samples: int) -> int:
        """Returns the number of frames of a wave with this number of samples."""
        if samples < self.fewest:
            return 0
        return 1 + (samples - (self.window if self.padding == "none" else 0)) // self.hop

    def samples(self, frames: int) -> int:
        """Returns the smallest number of samples with this number of frames (1 or more)."""
        return max(self.fewest, (frames - 1) * self.hop + (self.window if self.padding == "none" else 0))

    def cut(self, waves: Tensor) -> Tensor:
        """Cuts waves (N, T) into frames (N, count(T), window); without padding, the result is a view."""
        if self.padding != "none":
            mode = "constant" if self.padding == "zero" else "reflect"
            waves = F.pad(waves, (self.before, self.window - self.before), mode=mode)
        return waves.unfold(-1, self.window, self.hop)


# Mel scales and triangular filters.
#
# Two scales are in use. HTK: mel = 2595 log10(1 + f / 700) (O'Shaughnessy, Speech Communication, 1987).
# Slaney: linear to 1,000 Hz, 3 mel for 200 Hz; logarithmic above, 27 mel for a factor of 6.4 (Auditory
# Toolbox, 1998).

Scale = Literal["htk", "slaney"]

_KINK = 1000.0
"""Frequency in Hz at which Slaney's scale changes from linear to logarithmic, at 15 mel."""


@dataclass(frozen=True)
class MelBands:
    """Triangular filters, evenly spaced on a mel scale between two frequencies in Hz."""

    bands: int
    low: float
    high: float
    scale: Scale
    triangles: Literal["hz", "mel"]
    """The axis on which the sides of a triangle are linear."""
    area_norm: bool
    """Whether each triangle has area 1 over Hz instead of height 1."""

    def edges(self) -> Floats:
        """Returns (bands + 2,) edges in Hz: band b begins at edge b, has its peak at b + 1 and ends at b +
        2."""
        low, high = to_mel(np.array([self.low, self.high]), self.scale)
        return to_hertz(np.linspace(low, high, self.bands + 2), self.scale)

    def weights(self, sample_rate: int, fft: int) -> Floats:
        """Returns (bands, fft // 2 + 1) weights of each FFT bin in each band, 0 or more."""
        edges = self.edges()
        heights = 2 / (edges[2:] - edges[:-2]) if self.area_norm else np.ones(self.bands)
        bins: Floats = np.arange(fft // 2 + 1, dtype=np.float64) * (sample_rate / fft)
        if self.triangles == "mel":
            edges, bins = to_mel(edges, self.scale), to_mel(bins, self.scale)
        begin, peak, end = edges[:-2, None], edges[1:-1, None], edges[2:, None]
        rising, falling = (bins - begin) / (peak - begin), (end - bins) / (end - peak)
        return np.maximum(0.0, np.minimum(rising, falling)) * heights[:, None]

    def empty(self, sample_rate: int, fft: int) -> list[int]:
        """Returns the bands without any FFT bin, which would be constant rows of the spectrogram."""
        edges, step = self.edges(), sample_rate / fft
        next_bin = (np.floor(edges[:-2] / step) + 1) * step
        ends = edges[2:] * (1 - 1e-12)  # a bin at the edge has weight 0, despite rounding
        return [int(band) for band in np.flatnonzero(next_bin >= ends)]


def to_mel(hertz: Floats, scale: Scale) -> Floats:
    """Converts Hz (0 or more) to mel."""
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    above = 15.0 + 27.0 * np.log(np.maximum(hertz, _KINK) / _KINK) / np.log(6.4)
    return np.where(hertz < _KINK, hertz * 0.015, above)


def to_hertz(mel: Floats, scale: Scale) -> Floats:
    """Converts mel (0 or more) to Hz."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _KINK * np.exp((np.maximum(mel, 15.0) - 15.0) * np.log(6.4) / 27.0)
    return np.where(mel < 15.0, mel / 0.015, above)


# The log-mel spectrogram.
#
# It is computed in blocks of frames that fit the cache, from cutting to the logarithm; the spectrum of a
# whole batch is never in memory. A mel band uses only a few of hundreds of FFT bins, so a product is computed
# for a group of bands, over the bins of that group.

_TOGETHER = 16
"""Number of bands per product: more bands multiply more zeros, fewer need more calls."""
_BLOCK = 512
"""Number of frames in a block on the CPU, to fit the cache."""
_BLOCK_ELSEWHERE = 16_384
"""Number of frames in a block on other devices; about 200 MB at an FFT of 1,024."""


class LogMel(Feature):
    """Computes log-mel spectrograms (B, C, bands, frames) of waves (B, C, T)."""

    window: Tensor
    weights: Tensor
    empty_bands: list[int]
    """Bands without any FFT bin, which are constant rows of the spectrogram."""

    def __init__(self, channels: int, sample_rate: int, framing: Framing, settings: "MelSettings") -> None:
        super().__init__()
        self.channels, self.bands, self.hop = channels, settings.bands, framing.hop
        self.cuttable = framing.padding == "none"
        self.framing, self.settings = framing, settings
        mel_bands = settings.mel_bands(sample_rate)
        weights = mel_bands.weights(sample_rate, framing.fft)
        self.empty_bands = mel_bands.empty(sample_rate, framing.fft)
        self.spans = [
            (band, *_bins(weights[band : band + _TOGETHER])) for band in range(0, self.bands, _TOGETHER)
        ]
        taper = torch.hann_window if settings.taper == "hann" else torch.hamming_window
        self.register_buffer("window", taper(framing.window), persistent=False)
        self.register_buffer("weights", torch.from_numpy(weights).float(), persistent=False)

    def frames(self, samples: int) -> int:
        return self.framing.count(samples)

    def samples(self, frames: int) -> int:
        return self.framing.samples(frames)

    def forward(self, waves: Tensor) -> Tensor:
        self._check(waves)
        # Always float32, because half precision would round quiet bands to zero.
        with torch.autocast(waves.device.type, enabled=False):
            frames = self.framing.cut(waves.float().flatten(0, 1))
            spectrogram = frames.new_empty(frames.shape[0], self.bands, frames.shape[1])

            def fill(block: tuple[slice, slice]) -> None:
                clips, columns = block
                part = frames[clips, columns]
                logs = self._log(self._mel(self._spectrum(part)))
                spectrogram[clips, :, columns] = logs.view(self.bands, *part.shape[:2]).transpose(0, 1)

            if torch.compiler.is_compiling():
                fill(
                    (slice(None), slice(None))
                )  # blocks would fix the number of clips of an exported network
            elif frames.device.type == "cpu" and not frames.requires_grad:
                spread(fill, _blocks(frames, _BLOCK))
            else:
                for block in _blocks(frames, _BLOCK_ELSEWHERE):
                    fill(block)
            return spectrogram.view(*waves.shape[:2], *spectrogram.shape[1:])

    def _spectrum(self, frames: Tensor) -> Tensor:
        """Computes magnitude or power (bins, clips x length) of frames (clips, length, window)."""
        bins = torch.fft.rfft((frames * self.window).flatten(0, 1), n=self.framing.fft)
        squares = torch.view_as_real(bins).square_()
        # Several times faster than a sum over the last axis, or abs of the complex numbers.
        power = squares[..., 0] + squares[..., 1]
        return (power.sqrt_() if self.settings.power == 1 else power).t()

    def _mel(self, spectrum: Tensor) -> Tensor:
        """Applies the filters: (bins, n) -> (bands, n)."""
        groups = [
            self.weights[band : band + _TOGETHER, low:high] @ spectrum[low:high]
            for band, low, high in self.spans
        ]
        return torch.cat(groups)

    def _log(self, mel: Tensor) -> Tensor:
        if self.settings.log == "ln":
            return mel.add_(self.settings.least).log_()
        return mel.clamp_(min=self.settings.least).log10_().mul_(20.0 / self.settings.power)


def _blocks(frames: Tensor, size: int) -> list[tuple[slice, slice]]:
    """Divides frames (clips, length, window) into blocks of at most `size` frames, as slices of clips and
    frames."""
    clips, length, _ = frames.shape
    together = max(1, size // length)
    return [
        (slice(clip, clip + together), slice(first, first + size))
        for clip in range(0, clips, together)
        for first in range(0, length, size)
    ]


def _bins(weights: Floats) -> tuple[int, int]:
    """Returns the first FFT bin with a weight above 0 in any of these bands, and the last plus 1."""
    read = np.flatnonzero(weights.any(axis=0))
    return (int(read[0]), int(read[-1]) + 1) if len(read) else (0, 1)


class MelSettings(Settings):
    """Settings shared by all features with mel bands."""

    bands: int = Field(64, ge=1, le=1024)
    """Number of mel bands, 1 to 1,024."""
    low: float = Field(50.0, ge=0.0)
    """Lower edge of the lowest band in Hz; 0 or more."""
    high: float | None = Field(None, gt=0.0)
    """Upper edge of the highest band in Hz; none: half the sample rate."""
    fft: int | None = Field(None, ge=4, le=65536, multiple_of=2)
    """Length of the FFT in samples, even, at least that of the window, which is padded with zeros; none: the
    next
    power of 2."""
    taper: Literal["hann", "hamming"] = "hann"
    """Window function, periodic."""
    padding: Padding = "none"
    """Padding of the sound: none (frames lie within it, and cached spectrograms can be cut), zero or reflect
    (frames
    are centered on multiples of the hop)."""
    scale: Scale = "htk"
    """Mel scale: htk, or slaney (as in librosa by default)."""
    triangles: Literal["hz", "mel"] = "hz"
    """Axis on which the sides of the triangular filters are linear: hz (as in librosa) or mel (as in
    TensorFlow)."""
    area_norm: bool = False
    """Whether each filter has area 1 over Hz instead of height 1, so that wide bands have no larger
    values."""
    power: Literal[1, 2] = 1
    """Exponent of the spectrum before the filters: 1 (magnitude) or 2 (power)."""
    log: Literal["ln", "db"] = "ln"
    """ln: natural logarithm of band plus floor; db: decibels relative to 1 of the larger of band and
    floor."""
    floor: float | None = Field(None, gt=0.0)
    """Smallest value of a band before the logarithm, so that silence is finite; above 0. none: 1e-6 with ln,
    1e-10
    with db."""

    @property
    def unit(self) -> str | None:
        """Unit of the values, for augmentations that need it; None: not a level."""
        return "db" if self.log == "db" else {1: "ln_magnitude", 2: "ln_power"}[self.power]

    @property
    def least(self) -> float:
        """The floor, as set or the default."""
        return self.floor if self.floor is not None else {"ln": 1e-6, "db": 1e-10}[self.log]

    def mel_bands(self, sample_rate: int) -> MelBands:
        """Creates the filters at a sample rate in Hz. Raises RequestError if `high` exceeds half of it."""
        high = self.high if self.high is not None else sample_rate / 2
        if not self.low < high <= sample_rate / 2:
            raise RequestError(
                f"feature: bands from low = {self.low:g} to high = {high:g} Hz do not fit a sample rate of "
                f"{sample_rate} Hz. low must be smaller than high, and high at most {sample_rate / 2:g}."
            )
        return MelBands(self.bands, self.low, high, self.scale, self.triangles, self.area_norm)

    def log_mel(self, sample_rate: int, channels: int, window_ms: float, hop_ms: float) -> LogMel:
        """Creates a log-mel feature; window and hop in milliseconds are rounded to samples.

        Warns if a band is empty. Raises RequestError if window, hop or bands do not fit.
        """
        window, hop = round(window_ms * sample_rate / 1000), round(hop_ms * sample_rate / 1000)
        fft = self.fft or max(4, 1 << (window - 1).bit_length())
        if hop < 1 or not 2 <= window <= fft:
            raise RequestError(
                f"feature: at {sample_rate} Hz, a window of {window_ms:g} ms is {window} samples, a hop of "
                f"{hop_ms:g} ms is {hop}, and the FFT is {fft}. The hop must be 1 or more, the window 2 or "
                "more, and the FFT not smaller than the window; leave out feature.fft to choose it "
                "automatically."
            )
        feature = LogMel(channels, sample_rate, Framing(window, hop, fft, self.padding), self)
        if feature.empty_bands:
            warnings.warn(
                _empty_warning(self, sample_rate, fft, feature.empty_bands), UserWarning, stacklevel=3
            )
        return feature


class LogMelSettings(MelSettings, BaseFeatureSettings):
    """Log-mel spectrogram."""

    kind: Literal["log_mel"] = "log_mel"
    window_ms: float = Field(30.0, gt=0.0, le=1000.0)
    """Length of a frame in milliseconds, above 0 to 1,000."""
    hop_ms: float = Field(10.0, gt=0.0, le=1000.0)
    """Milliseconds between successive frames, above 0 to 1,000."""

    def build(self, sample_rate: int, channels: int) -> LogMel:
        """Creates the feature for waves (B, channels, T) at `sample_rate` Hz."""
        return self.log_mel(sample_rate, channels, self.window_ms, self.hop_ms)


def _empty_warning(settings: MelSettings, sample_rate: int, fft: int, empty: list[int]) -> str:
    """Returns the warning about empty bands, with the nearest settings that have none."""
    ffts = [2**power for power in range(fft.bit_length(), 17)]
    larger = next(
        (size for size in ffts if not settings.mel_bands(sample_rate).empty(sample_rate, size)), None
    )
    fewer = next(
        count
        for count in range(settings.bands - 1, -1, -1)
        if not count
        or not settings.model_copy(update={"bands": count}).mel_bands(sample_rate).empty(sample_rate, fft)
    )
    cures = [f"feature.fft = {larger}"] * bool(larger) + [f"feature.bands = {fewer}"] * bool(fewer)
    listed = ", ".join(map(str, empty[:8])) + (", ..." if len(empty) > 8 else "")
    return (
        f"feature: {len(empty)} of {settings.bands} mel bands are empty (numbers {listed}), because they are "
        f"narrower than the {sample_rate / fft:.3g} Hz between the bins of an FFT of {fft} samples. "
        f"Use {' or '.join(cures) or 'a larger feature.low'}."
    )


# Log-mel spectrograms with several windows as channels: short windows resolve time, long windows frequency.


class MultiLogMel(Feature):
    """Computes (B, C x windows, bands, frames) of waves (B, C, T): all windows of channel 1, then of channel
    2, ...

    The number of frames is that of the longest window; the others, which have more, are resampled.
    """

    cuttable = False  # the resampled frames depend on the length of the whole sound

    def __init__(self, parts: list[LogMel], resample: Literal["area", "nearest"]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.longest, self.resample = parts[-1].framing, resample
        self.channels = parts[-1].channels * len(parts)
        self.bands, self.hop = parts[-1].bands, parts[-1].hop

    @property
    def wave_channels(self) -> int:
        return self.parts[-1].channels  # type: ignore[return-value]

    def frames(self, samples: int) -> int:
        return self.longest.count(samples)

    def samples(self, frames: int) -> int:
        return self.longest.samples(frames)

    def forward(self, waves: Tensor) -> Tensor:
        self._check(waves)
        frames = self.frames(waves.shape[-1])
        spectrograms = [self._fit(part(waves), frames) for part in self.parts]
        return torch.stack(spectrograms, dim=2).flatten(1, 2)

    def _fit(self, spectrogram: Tensor, frames: int) -> Tensor:
        if spectrogram.shape[-1] == frames:
            return spectrogram
        return F.interpolate(spectrogram, (self.bands, frames), mode=self.resample)


class MultiLogMelSettings(MelSettings, BaseFeatureSettings):
    """Log-mel spectrograms with several windows, each a channel."""

    kind: Literal["multi_log_mel"] = "multi_log_mel"
    windows_ms: tuple[float, ...] = Field((10.0, 20.0, 30.0), min_length=2, max_length=8)
    """Lengths of the frames in milliseconds, 2 to 8, shortest first, one channel each. Equal lengths give
    equal channels, as a baseline for the effect of more channels."""
    hop_share: float = Field(1.0, gt=0.0, le=1.0)
    """Hop as a fraction of the window, above 0 to 1; 1: frames do not overlap."""
    resample: Literal["area", "nearest"] = "area"
    """How the frames of shorter windows are reduced to the number of the longest: their mean (area), or the
    nearest
    frame (nearest)."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(one > other for one, other in pairwise(self.windows_ms)) or self.windows_ms[0] <= 0:
            raise ValueError(f"windows_ms must be above 0, shortest first. Given: {list(self.windows_ms)}.")
        return self

    def build(self, sample_rate: int, channels: int) -> MultiLogMel:
        """Creates the feature for waves (B, channels, T) at `sample_rate` Hz, with one FFT length for all
        windows."""
        longest = round(self.windows_ms[-1] * sample_rate / 1000)
        whole = self.model_copy(update={"fft": self.fft or max(4, 1 << (longest - 1).bit_length())})
        parts = [whole.log_mel(sample_rate, channels, ms, ms * self.hop_share) for ms in self.windows_ms]
        return MultiLogMel(parts, self.resample)
