"""Augmentations of spectrograms: masks, noise floor, band shift, equalizer, stretch, crops."""

import math
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from nearfield.models.augmentations.augmentation import (
    Augmentation,
    BaseAugmentationSettings,
    Decibels,
    Domain,
    Span,
    SpeedSettings,
    Unit,
    each,
    integers,
    one_of,
    uniform,
)

# Masks of bands or frames, filled with a mean of the clip (Park et al., "SpecAugment", Interspeech 2019).


class FrequencyMask(Augmentation):
    """Replaces 0 to `max_bands` adjacent bands by the mean of the clip over bands and frames, `count`
    times."""

    domain: Domain = "spectrogram"

    def __init__(self, settings: "FrequencyMaskSettings") -> None:
        super().__init__(settings.probability)
        self.count, self.widest = settings.count, settings.max_bands

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return _places(shape[0], self.count, self.widest, shape[2], generator)

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        hidden = _hidden(drawn, signal.shape[2])[:, None, :, None]
        return torch.where(hidden, signal.mean(dim=(2, 3), keepdim=True), signal)


class TimeMask(Augmentation):
    """Replaces 0 to `widest` adjacent frames by the mean of each band over the clip, `count` times.

    The mean of a band hardly changes, which suits normalizations that subtract it.
    """

    domain: Domain = "spectrogram"

    def __init__(self, settings: "TimeMaskSettings", widest: int) -> None:
        super().__init__(settings.probability)
        self.count, self.widest = settings.count, widest

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return _places(shape[0], self.count, self.widest, shape[3], generator)

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        hidden = _hidden(drawn, signal.shape[3])[:, None, None, :]
        return torch.where(hidden, signal.mean(dim=3, keepdim=True), signal)


def _places(
    items: int, count: int, widest: int, length: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Draws `first` and `width`, (items, count) each: widths from 0 to `widest`, positions within the
    length."""
    width = torch.randint(0, min(widest, length) + 1, (items, count), generator=generator)
    first = (torch.rand(items, count, generator=generator) * (length - width + 1)).long()
    return {"first": first, "width": width}


def _hidden(drawn: dict[str, Tensor], length: int) -> Tensor:
    """Returns (B, length): True where a mask of the item is."""
    first, width = drawn["first"][..., None], drawn["width"][..., None]
    place = torch.arange(length, device=first.device)
    return ((place >= first) & (place < first + width)).any(dim=1)


class FrequencyMaskSettings(BaseAugmentationSettings):
    """Masks adjacent bands."""

    kind: Literal["frequency_mask"] = "frequency_mask"
    max_bands: int = Field(8, ge=1, le=1024)
    """Largest number of bands in a mask, 1 to 1,024."""
    count: int = Field(1, ge=1, le=16)
    """Number of masks per spectrogram, 1 to 16."""

    def build(self, sample_rate: int, hop: int) -> FrequencyMask:
        """Creates the augmentation for spectrograms (B, C, bands, frames)."""
        return FrequencyMask(self)


class TimeMaskSettings(BaseAugmentationSettings):
    """Masks adjacent frames."""

    kind: Literal["time_mask"] = "time_mask"
    max_seconds: float = Field(0.3, gt=0.0, le=600.0)
    """Largest length of a mask in seconds, above 0 to 600."""
    count: int = Field(1, ge=1, le=16)
    """Number of masks per spectrogram, 1 to 16."""

    def build(self, sample_rate: int, hop: int) -> TimeMask:
        """Creates the augmentation for a sample rate in Hz and a hop in samples."""
        return TimeMask(self, max(1, round(self.max_seconds * sample_rate / hop)))


# Constant noise added to a log-mel spectrogram: the same power in every cell.

NEPER = 10 / math.log(10)
"""Decibels per unit of the natural logarithm of power."""


class NoiseFloor(Augmentation):
    """Adds a constant power to each cell, some decibels below the loudest cell of the item.

    Similar to `noise` for waves, but without random fluctuation, and applicable to cached spectrograms.
    """

    domain: Domain = "spectrogram"

    def __init__(self, settings: "NoiseFloorSettings") -> None:
        super().__init__(settings.probability)
        self.depth_db = settings.depth_db
        self.scale = {"ln_power": 1.0, "ln_magnitude": 2.0, "db": 1 / NEPER}[settings.unit]

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"depth": uniform(shape[0], self.depth_db, generator)}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        power = signal * self.scale
        loudest = power.amax(dim=tuple(range(1, signal.ndim)), keepdim=True)
        floor = loudest - each(drawn["depth"], signal) / NEPER
        return torch.logaddexp(power, floor) / self.scale


class NoiseFloorSettings(BaseAugmentationSettings):
    """Adds constant noise to the spectrogram."""

    kind: Literal["noise_floor"] = "noise_floor"
    depth_db: Decibels = (25.0, 70.0)
    """Range of the level of the loudest cell above the noise in decibels, smaller first, -120 to 120."""
    unit: Unit = "ln_magnitude"
    """Unit of the spectrogram, which must be that of the feature: natural logarithm of magnitude (log_mel by
    default)
    or of power, or decibels."""

    def reads_unit(self) -> Unit:
        """Returns the unit of the spectrogram."""
        return self.unit

    def build(self, sample_rate: int, hop: int) -> NoiseFloor:
        """Creates the augmentation for log-mel spectrograms (B, C, bands, frames)."""
        return NoiseFloor(self)


class BandShift(Augmentation):
    """Shifts each spectrogram by bands, up or down; the outermost band is repeated."""

    domain = "spectrogram"

    def __init__(self, settings: "BandShiftSettings") -> None:
        super().__init__(settings.probability)
        self.largest = settings.max_bands

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"bands": integers(shape[0], self.largest, generator)}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        bands = signal.shape[2]
        source = (torch.arange(bands, device=signal.device) - drawn["bands"][:, None]).clamp(0, bands - 1)
        return signal.gather(2, source[:, None, :, None].expand_as(signal))


class BandShiftSettings(BaseAugmentationSettings):
    """Shifts the spectrogram by bands, a fast approximation of a change of pitch."""

    kind: Literal["band_shift"] = "band_shift"
    max_bands: int = Field(3, ge=1, le=256)
    """Largest shift in either direction, in bands, 1 to 256."""

    def build(self, sample_rate: int, hop: int) -> BandShift:
        """Creates the augmentation for spectrograms (B, C, bands, frames)."""
        return BandShift(self)


class Equalizer(Augmentation):
    """Adds a curve over bands to each spectrogram, linear between `points` random values, equal in all
    frames."""

    domain = "spectrogram"

    def __init__(self, settings: "EqualizerSettings") -> None:
        super().__init__(settings.probability)
        self.deviation, self.points = settings.deviation, settings.points

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"heights": self.deviation * torch.randn(shape[0], 1, self.points, generator=generator)}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        curve = F.interpolate(drawn["heights"], signal.shape[2], mode="linear", align_corners=True)
        return signal + curve[..., None]


class EqualizerSettings(BaseAugmentationSettings):
    """Adds a random curve over bands, like another microphone or room; has no effect with a normalization
    that
    subtracts the mean of each band."""

    kind: Literal["equalizer"] = "equalizer"
    deviation: float = Field(0.5, gt=0.0, le=30.0)
    """Standard deviation of the values of the curve in the unit of the spectrogram, above 0 to 30; for the
    natural
    logarithm of magnitude, 0.115 is 1 dB."""
    points: int = Field(4, ge=2, le=64)
    """Number of random values, evenly spaced from the lowest to the highest band, 2 to 64."""

    def build(self, sample_rate: int, hop: int) -> Equalizer:
        """Creates the augmentation for spectrograms (B, C, bands, frames)."""
        return Equalizer(self)


class CutShort(Augmentation):
    """Replaces the frames of each spectrogram from a random one to the end by silence."""

    domain: Domain = "spectrogram"

    def __init__(self, settings: "CutShortSettings") -> None:
        super().__init__(settings.probability)
        self.least, self.silence = settings.least_share, settings.silence

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        share = uniform(shape[0], (self.least, 1.0), generator)
        return {"frames": (share * shape[3]).ceil().long().clamp(1, shape[3])}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        after = torch.arange(signal.shape[3], device=signal.device) >= drawn["frames"][:, None]
        return signal.masked_fill(after[:, None, None, :], self.silence)


class CutShortSettings(BaseAugmentationSettings):
    """Silence from a random frame to the end, like clips that are shorter than the window."""

    kind: Literal["cut_short"] = "cut_short"
    least_share: float = Field(0.3, gt=0.0, le=1.0)
    """Smallest fraction of the frames that remains, above 0 to 1."""
    silence: float = math.log(1e-6)
    """Value of silence in the spectrogram: the logarithm of the floor of the feature."""

    def build(self, sample_rate: int, hop: int) -> CutShort:
        """Creates the augmentation for spectrograms (B, C, bands, frames)."""
        return CutShort(self)


class SpectrogramStretch(Augmentation):
    """Resamples the time axis of each spectrogram around its middle by linear interpolation, at the same
    length.

    A slower spectrogram is cut at both ends; a faster one is padded with its first and last frame.
    """

    domain = "spectrogram"

    def __init__(self, settings: "SpectrogramStretchSettings") -> None:
        super().__init__(settings.probability)
        self.rate, self.rates = settings.rate, settings.rates

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        if self.rates:
            return {"rate": one_of(shape[0], self.rates, generator)}
        return {"rate": uniform(shape[0], self.rate, generator)}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        last = signal.shape[-1] - 1
        place = torch.arange(last + 1, device=signal.device) - last / 2
        source = (place * drawn["rate"][:, None] + last / 2).clamp(0, last)[:, None, None]
        before = source.floor()
        left = signal.gather(-1, before.long().expand_as(signal))
        right = signal.gather(-1, (before.long() + 1).clamp(max=last).expand_as(signal))
        return torch.lerp(left, right, source - before)


class SpectrogramStretchSettings(SpeedSettings):
    """Changes the speed by resampling the spectrogram; a fast approximation of `stretch`."""

    kind: Literal["spectrogram_stretch"] = "spectrogram_stretch"

    def build(self, sample_rate: int, hop: int) -> SpectrogramStretch:
        """Creates the augmentation for spectrograms (B, C, bands, frames)."""
        return SpectrogramStretch(self)


# Random resized crops, which change pitch, speed and formants. The crop may extend beyond the spectrogram
# (Niizumi
# et al. 2021, "BYOL for audio", section III-B2).


class ResizedCrop(Augmentation):
    """Resizes a random rectangle of each spectrogram to the size of the spectrogram by linear interpolation.

    Its sides are log-uniform, its position uniform; outside the spectrogram, the outermost cells are
    repeated.
    """

    domain: Domain = "spectrogram"

    def __init__(self, settings: "ResizedCropSettings") -> None:
        super().__init__(settings.probability)
        self.sides = {"bands": settings.bands, "frames": settings.frames}

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        drawn: dict[str, Tensor] = {}
        for name, (least, most) in self.sides.items():
            size = uniform(shape[0], (math.log(least), math.log(most)), generator).exp()
            place = uniform(shape[0], (-1.0, 1.0), generator)
            drawn |= {name: size, f"{name}_middle": (1 - size).abs() * place}
        return drawn

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        # Position in the input for each position of the output, from the center, in halves of the sides.
        nothing = torch.zeros_like(drawn["bands"])
        across = torch.stack([drawn["frames"], nothing, drawn["frames_middle"]], dim=1)
        along = torch.stack([nothing, drawn["bands"], drawn["bands_middle"]], dim=1)
        grid = F.affine_grid(torch.stack([across, along], dim=1), list(signal.shape), align_corners=False)
        return F.grid_sample(signal, grid, padding_mode="border", align_corners=False)


class ResizedCropSettings(BaseAugmentationSettings):
    """Resizes a random crop of the spectrogram, which changes pitch and speed."""

    kind: Literal["resized_crop"] = "resized_crop"
    bands: Span = (0.6, 1.5)
    """Range of the height of the crop as a fraction of that of the spectrogram, smaller first, 0.05 to 20;
    above 1,
    the spectrogram is reduced."""
    frames: Span = (0.6, 1.5)
    """Range of the length of the crop as a fraction of that of the spectrogram, smaller first, 0.05 to 20."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, sides in (("bands", self.bands), ("frames", self.frames)):
            if any(not 0.05 <= side <= 20 for side in sides):
                raise ValueError(f"{name} must be from 0.05 to 20. Given: {list(sides)}.")
        return self

    def build(self, sample_rate: int, hop: int) -> ResizedCrop:
        """Creates the augmentation for spectrograms (B, C, bands, frames)."""
        return ResizedCrop(self)
