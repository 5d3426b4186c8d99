"""Features in operations that every ONNX runtime has: the Fourier transform as a convolution with cosines.

The feature's own way (blocks of frames, an FFT) is faster where it was made for, and does not export: blocks
fix the number of clips, and runtimes differ in what they make of a complex number. Here frames, window and
transform are one strided convolution. Both agree but for rounding, which shows where a band is some 110 dB
below its frame's peak and the logarithm magnifies it; there the convolution is the nearer to the truth.
"""

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nearfield.models.features.log_mel import LogMel
from nearfield.models.features.mfcc import MFCC
from nearfield.models.features.multi_log_mel import MultiLogMel


def exportable(feature: nn.Module) -> nn.Module:
    """The same picture of waves (B, C, T), for any B and T that give a frame; other features as they are."""
    if isinstance(feature, LogMel):
        return ConvolvedLogMel(feature)
    if isinstance(feature, MFCC):
        return ConvolvedMFCC(feature)
    if isinstance(feature, MultiLogMel):
        return ConvolvedMultiLogMel(feature)
    return feature


class ConvolvedLogMel(nn.Module):
    """Waves (B, C, T) -> (B, C, bands, frames), as `LogMel` gives them."""

    waves: Tensor
    weights: Tensor

    def __init__(self, feature: LogMel) -> None:
        super().__init__()
        self.framing, self.settings, self.channels = feature.framing, feature.settings, feature.channels
        self.wave_channels = feature.wave_channels
        self.bins = feature.framing.fft // 2 + 1
        self.register_buffer("waves", _windowed_waves(feature))
        self.register_buffer("weights", feature.weights.clone())

    def forward(self, waves: Tensor) -> Tensor:
        sound = waves.float().flatten(0, 1).unsqueeze(1)
        if self.framing.padding != "none":
            mode = "constant" if self.framing.padding == "zero" else "reflect"
            sound = F.pad(sound, (self.framing.before, self.framing.window - self.framing.before), mode=mode)
        parts = F.conv1d(sound, self.waves, stride=self.framing.hop)
        real, imaginary = parts[:, : self.bins], parts[:, self.bins :]
        power = real * real + imaginary * imaginary
        picture = self._log(self.weights @ (power.sqrt() if self.settings.power == 1 else power))
        return picture.reshape(waves.shape[0], self.channels, *picture.shape[1:])

    def _log(self, mel: Tensor) -> Tensor:
        if self.settings.log == "ln":
            return (mel + self.settings.least).log()
        return mel.clamp(min=self.settings.least).log10() * (20.0 / self.settings.power)


class ConvolvedMFCC(nn.Module):
    """Waves (B, C, T) -> (B, C, coefficients, frames), as `MFCC` gives them."""

    cosines: Tensor

    def __init__(self, feature: MFCC) -> None:
        super().__init__()
        self.log_mel = ConvolvedLogMel(feature.log_mel)
        self.register_buffer("cosines", feature.cosines.clone())

    def forward(self, waves: Tensor) -> Tensor:
        return cast(Tensor, self.cosines @ self.log_mel(waves))


class ConvolvedMultiLogMel(nn.Module):
    """Waves (B, C, T) -> (B, C x windows, bands, frames), as `MultiLogMel` gives them."""

    def __init__(self, feature: MultiLogMel) -> None:
        super().__init__()
        parts = [ConvolvedLogMel(cast(LogMel, part)) for part in feature.parts]
        self.shorter, self.longest = nn.ModuleList(parts[:-1]), parts[-1]
        self.resample = feature.resample

    def forward(self, waves: Tensor) -> Tensor:
        last = self.longest(waves)
        others = [resampled(part(waves), last.shape[-1], self.resample) for part in self.shorter]
        return torch.stack([*others, last], dim=2).flatten(1, 2)


def resampled(picture: Tensor, frames: int, how: Literal["area", "nearest"]) -> Tensor:
    """(..., given) -> (..., frames) for any number of both, as `torch.nn.functional.interpolate` does it.

    Its own operations export for one length only. area: each new frame is the mean of those it covers.
    """
    given = picture.shape[-1]
    new = torch.arange(frames, device=picture.device)
    if how == "nearest":
        # In single precision as there: rounding decides which of two frames is taken.
        return picture.index_select(-1, (new.float() * (given / frames)).floor().long())
    first = torch.div(new * given, frames, rounding_mode="floor")
    after = torch.div((new + 1) * given + frames - 1, frames, rounding_mode="floor")
    old = torch.arange(given, device=picture.device)[:, None]
    covered = (old >= first) & (old < after)
    return picture @ (covered.float() / (after - first).float())


def _windowed_waves(feature: LogMel) -> Tensor:
    """(2 x bins, 1, window): every bin's cosine, then its sine, under the window."""
    framing = feature.framing
    bins = torch.arange(framing.fft // 2 + 1, dtype=torch.float64)[:, None]
    moments = torch.arange(framing.window, dtype=torch.float64)
    # The angle's whole turns are taken off in integers, where nothing is rounded.
    turns = torch.remainder(bins * moments, framing.fft) / framing.fft
    angles = 2 * torch.pi * turns
    return (torch.cat([angles.cos(), angles.sin()]) * feature.window.double()).float().unsqueeze(1)
