"""Log-mel spectrograms: frames, mel filters, one or several windows."""

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

# Cutting waves into overlapping frames, and the arithmetic of how many there are.

Padding = Literal["none", "zero", "reflect"]


@dataclass(frozen=True)
class Framing:
    """Frames of `window` samples, one every `hop` samples.

    Padding `none`: the first frame begins with the wave and the last ends within it. `zero` and `reflect`:
    frame number f has the middle of its FFT at sample f x hop, and what lies beyond the wave's ends is
    silence, or the wave mirrored at its first and last sample.
    """

    window: int
    hop: int
    fft: int
    padding: Padding

    @property
    def before(self) -> int:
        """Samples put before the wave; after it come the window's other samples."""
        return 0 if self.padding == "none" else self.fft // 2 - (self.fft - self.window) // 2

    @property
    def fewest(self) -> int:
        """The fewest samples that a wave must have."""
        enough = {"none": self.window, "zero": 1, "reflect": max(self.before, self.window - self.before) + 1}
        return enough[self.padding]

    def count(self, samples: int) -> int:
        """Frames of a wave of so many samples."""
        if samples < self.fewest:
            return 0
        return 1 + (samples - (self.window if self.padding == "none" else 0)) // self.hop

    def samples(self, frames: int) -> int:
        """The fewest samples that give so many frames, 1 or more."""
        return max(self.fewest, (frames - 1) * self.hop + (self.window if self.padding == "none" else 0))

    def cut(self, waves: Tensor) -> Tensor:
        """Waves (N, T) -> frames (N, count(T), window); without padding a view, nothing is copied."""
        if self.padding != "none":
            mode = "constant" if self.padding == "zero" else "reflect"
            waves = F.pad(waves, (self.before, self.window - self.before), mode=mode)
        return waves.unfold(-1, self.window, self.hop)


# The mel scale and its triangles: how much each FFT bin counts in each band.
#
# Two scales are in use. HTK: mel = 2595 log10(1 + f / 700) (O'Shaughnessy, Speech Communication, 1987).
# Slaney: linear to 1,000 Hz, 3 mel for 200 Hz; logarithmic above, 27 mel for a factor of 6.4 (Auditory
# Toolbox, 1998).

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


# Log-mel: how much there is in each band of pitch, frame by frame, on a scale of loudness.
#
# Worked through in blocks of frames that stay in the processor's cache, from the cut to the logarithm; the
# spectrum of a whole batch is never in memory. A mel band reads a few bins of hundreds, so bands are taken a
# few at a time, over only the bins that those few read.

_TOGETHER = 16
"""Bands that share one product: more read more zeros, fewer make more calls."""
_BLOCK = 512
"""Frames in a block on a processor, whose cache they should fit."""
_BLOCK_ELSEWHERE = 16_384
"""Frames in a block on other devices: enough to keep them busy, about 200 MB at an FFT of 1,024."""


class LogMel(Feature):
    """Waves (B, C, T) -> (B, C, bands, frames)."""

    window: Tensor
    weights: Tensor
    empty_bands: list[int]
    """Bands that no bin of the FFT falls into: rows of the picture that never change."""

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
        # Half precision would lose the quiet bands, whatever the precision of the network around.
        with torch.autocast(waves.device.type, enabled=False):
            frames = self.framing.cut(waves.float().flatten(0, 1))
            spectrogram = frames.new_empty(frames.shape[0], self.bands, frames.shape[1])

            def fill(block: tuple[slice, slice]) -> None:
                clips, columns = block
                part = frames[clips, columns]
                logs = self._log(self._mel(self._spectrum(part)))
                spectrogram[clips, :, columns] = logs.view(self.bands, *part.shape[:2]).transpose(0, 1)

            if torch.compiler.is_compiling():
                fill((slice(None), slice(None)))  # blocks would fix the number of clips in what is exported
            elif frames.device.type == "cpu" and not frames.requires_grad:
                spread(fill, _blocks(frames, _BLOCK))
            else:
                for block in _blocks(frames, _BLOCK_ELSEWHERE):
                    fill(block)
            return spectrogram.view(*waves.shape[:2], *spectrogram.shape[1:])

    def _spectrum(self, frames: Tensor) -> Tensor:
        """Frames (clips, length, window) -> magnitude, or power, (bins, clips x length)."""
        bins = torch.fft.rfft((frames * self.window).flatten(0, 1), n=self.framing.fft)
        squares = torch.view_as_real(bins).square_()
        # Several times faster than a sum over the last axis, or the complex numbers' abs.
        power = squares[..., 0] + squares[..., 1]
        return (power.sqrt_() if self.settings.power == 1 else power).t()

    def _mel(self, spectrum: Tensor) -> Tensor:
        """(bins, n) -> (bands, n)."""
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
    """Which clips and moments of frames (clips, length, window) make a block of `size` frames or fewer."""
    clips, length, _ = frames.shape
    together = max(1, size // length)
    return [
        (slice(clip, clip + together), slice(moment, moment + size))
        for clip in range(0, clips, together)
        for moment in range(0, length, size)
    ]


def _bins(weights: Floats) -> tuple[int, int]:
    """The first bin that any of these bands reads, and the one after the last."""
    read = np.flatnonzero(weights.any(axis=0))
    return (int(read[0]), int(read[-1]) + 1) if len(read) else (0, 1)


class MelSettings(Settings):
    """What every picture in mel bands shares."""

    bands: int = Field(64, ge=1, le=1024)
    """Mel bands: rows of the picture."""
    low: float = Field(50.0, ge=0.0)
    """Hz at which the lowest band begins."""
    high: float | None = Field(None, gt=0.0)
    """Hz at which the highest band ends; none: half the sample rate."""
    fft: int | None = Field(None, ge=4, le=65536, multiple_of=2)
    """Samples of the FFT, the window and zeros after it; none: the power of 2 that holds the window."""
    taper: Literal["hann", "hamming"] = "hann"
    """The window's shape, periodic."""
    padding: Padding = "none"
    """none: frames lie within the sound, and pictures can be kept and cut; zero, reflect: frames are centred
    on their moments, and silence or a mirror image lies beyond the ends."""
    scale: Scale = "htk"
    """The mel scale."""
    triangles: Literal["hz", "mel"] = "hz"
    """The axis on which a band's sides are straight lines: Hz as in librosa, mel as in TensorFlow."""
    area_norm: bool = False
    """Whether each band has area 1 over Hz instead of height 1, so that wide bands do not grow with width."""
    power: Literal[1, 2] = 1
    """1: bands add up magnitudes; 2: they add up powers."""
    log: Literal["ln", "db"] = "ln"
    """ln: natural logarithm of band + floor; db: decibels over 1, of the larger of band and floor."""
    floor: float | None = Field(None, gt=0.0)
    """The value that keeps silence finite; none: 1e-6 with ln, 1e-10 with db."""

    @property
    def unit(self) -> str | None:
        """What the picture's numbers are, in the words of augmentations that ask; none: no loudness."""
        return "db" if self.log == "db" else {1: "ln_magnitude", 2: "ln_power"}[self.power]

    @property
    def least(self) -> float:
        """The floor, chosen or usual."""
        return self.floor if self.floor is not None else {"ln": 1e-6, "db": 1e-10}[self.log]

    def mel_bands(self, sample_rate: int) -> MelBands:
        """The bands at a sample rate (Hz). Raises RequestError where they would lie beyond half of it."""
        high = self.high if self.high is not None else sample_rate / 2
        if not self.low < high <= sample_rate / 2:
            raise RequestError(
                f"feature: bands from low = {self.low:g} to high = {high:g} Hz do not fit a sample rate of "
                f"{sample_rate} Hz. low must be smaller than high, and high at most {sample_rate / 2:g}."
            )
        return MelBands(self.bands, self.low, high, self.scale, self.triangles, self.area_norm)

    def log_mel(self, sample_rate: int, channels: int, window_ms: float, hop_ms: float) -> LogMel:
        """One log-mel by these settings; window and hop in milliseconds, rounded to samples.

        Warns where a band would stay empty; raises RequestError where window, hop or bands do not fit.
        """
        window, hop = round(window_ms * sample_rate / 1000), round(hop_ms * sample_rate / 1000)
        fft = self.fft or max(4, 1 << (window - 1).bit_length())
        if hop < 1 or not 2 <= window <= fft:
            raise RequestError(
                f"feature: at {sample_rate} Hz a window of {window_ms:g} ms is {window} samples, a hop of "
                f"{hop_ms:g} ms {hop}, and the FFT has {fft}. The hop must be 1 or more, the window 2 or "
                "more, the FFT no smaller than the window; leave feature.fft out to have it fit."
            )
        feature = LogMel(channels, sample_rate, Framing(window, hop, fft, self.padding), self)
        if feature.empty_bands:
            warnings.warn(_cure(self, sample_rate, fft, feature.empty_bands), UserWarning, stacklevel=3)
        return feature


class LogMelSettings(MelSettings, BaseFeatureSettings):
    """The logarithm of what is in each mel band."""

    kind: Literal["log_mel"] = "log_mel"
    window_ms: float = Field(30.0, gt=0.0, le=1000.0)
    """Milliseconds of sound in a frame."""
    hop_ms: float = Field(10.0, gt=0.0, le=1000.0)
    """Milliseconds from one frame to the next."""

    def build(self, sample_rate: int, channels: int) -> LogMel:
        """For waves (B, channels, T) at `sample_rate` Hz."""
        return self.log_mel(sample_rate, channels, self.window_ms, self.hop_ms)


def _cure(settings: MelSettings, sample_rate: int, fft: int, empty: list[int]) -> str:
    """What is empty, why, and which nearest settings would fill it."""
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
        f"feature: {len(empty)} of {settings.bands} mel bands are empty (numbers {listed}), as the bins of "
        f"an FFT of {fft} samples lie {sample_rate / fft:.3g} Hz apart and those bands are narrower. "
        f"{' or '.join(cures) or 'A larger feature.low'} fills them."
    )


# Log-mel through several windows at once, as channels: short ones see when, long ones see which pitch.


class MultiLogMel(Feature):
    """Waves (B, C, T) -> (B, C x windows, bands, frames): all windows of channel 1, then of channel 2, ...

    Frames are those of the longest window; pictures of the others, which have more, are resampled to them.
    """

    cuttable = False  # resampling puts a frame's limits where the whole sound's length says

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
    """Log-mel through several windows at once, each a channel."""

    kind: Literal["multi_log_mel"] = "multi_log_mel"
    windows_ms: tuple[float, ...] = Field((10.0, 20.0, 30.0), min_length=2, max_length=8)
    """Milliseconds of sound in a frame, one channel each, shortest first; the same one several times gives
    copies, with which to tell what windows bring from what channels bring."""
    hop_share: float = Field(1.0, gt=0.0, le=1.0)
    """Step from one frame to the next, as a share of the window; 1: frames lie side by side."""
    resample: Literal["area", "nearest"] = "area"
    """How shorter windows' frames become as many as the longest's: their mean, or the nearest one."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(one > other for one, other in pairwise(self.windows_ms)) or self.windows_ms[0] <= 0:
            raise ValueError(f"windows_ms must be above 0, shortest first. Given: {list(self.windows_ms)}.")
        return self

    def build(self, sample_rate: int, channels: int) -> MultiLogMel:
        """For waves (B, channels, T) at `sample_rate` Hz; one FFT size for all windows, the longest's."""
        longest = round(self.windows_ms[-1] * sample_rate / 1000)
        whole = self.model_copy(update={"fft": self.fft or max(4, 1 << (longest - 1).bit_length())})
        parts = [whole.log_mel(sample_rate, channels, ms, ms * self.hop_share) for ms in self.windows_ms]
        return MultiLogMel(parts, self.resample)
