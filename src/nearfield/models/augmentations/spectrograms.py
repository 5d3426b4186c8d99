"""Augmentations of spectrograms: masks, noise floor, band shift, colour, stretch, crops."""

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

# Masks: some bands, or some frames, are taken away.
#
# Park et al., "SpecAugment", Interspeech 2019. What is taken away is filled with a mean of the clip.


class FrequencyMask(Augmentation):
    """Fills 0 to `max_bands` neighbouring bands with the clip's mean over bands and frames, `count` times."""

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
    """Fills 0 to `widest` neighbouring frames with each band's mean over the clip, `count` times.

    A band's mean over the clip stays near where it was, for normalizations that take it away.
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
    """`first` and `width`, (items, count) each: widths from 0 to `widest`, anywhere within the length."""
    width = torch.randint(0, min(widest, length) + 1, (items, count), generator=generator)
    first = (torch.rand(items, count, generator=generator) * (length - width + 1)).long()
    return {"first": first, "width": width}


def _hidden(drawn: dict[str, Tensor], length: int) -> Tensor:
    """(B, length): True where any of an item's masks lies."""
    first, width = drawn["first"][..., None], drawn["width"][..., None]
    place = torch.arange(length, device=first.device)
    return ((place >= first) & (place < first + width)).any(dim=1)


class FrequencyMaskSettings(BaseAugmentationSettings):
    """Some neighbouring bands are taken away."""

    kind: Literal["frequency_mask"] = "frequency_mask"
    max_bands: int = Field(8, ge=1, le=1024)
    """Bands in a mask at most."""
    count: int = Field(1, ge=1, le=16)
    """Masks in each picture."""

    def build(self, sample_rate: int, hop: int) -> FrequencyMask:
        """For pictures (B, C, bands, frames)."""
        return FrequencyMask(self)


class TimeMaskSettings(BaseAugmentationSettings):
    """Some neighbouring frames are taken away."""

    kind: Literal["time_mask"] = "time_mask"
    max_seconds: float = Field(0.3, gt=0.0, le=600.0)
    """Length of a mask at most."""
    count: int = Field(1, ge=1, le=16)
    """Masks in each picture."""

    def build(self, sample_rate: int, hop: int) -> TimeMask:
        """For pictures with a frame every `hop` samples at `sample_rate` Hz."""
        return TimeMask(self, max(1, round(self.max_seconds * sample_rate / hop)))


# A steady noise under the sound, added in the picture: every cell of a log-mel gets the same power more.

NEPER = 10 / math.log(10)
"""Decibels in one unit of a natural logarithm of power."""


class NoiseFloor(Augmentation):
    """Adds to each cell's power a floor that lies some decibels under the item's loudest cell.

    What `noise` does to waves, without its ripple and without a wave: kept pictures can be used.
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
    """A steady noise under the sound, added in the picture."""

    kind: Literal["noise_floor"] = "noise_floor"
    depth_db: Decibels = (25.0, 70.0)
    """Decibels of the item's loudest cell over the floor: least and most."""
    unit: Unit = "ln_magnitude"
    """What the picture is: natural logarithm of magnitude (log_mel as it comes) or of power, or decibels."""

    def reads_unit(self) -> Unit:
        """The unit in which the floor is added."""
        return self.unit

    def build(self, sample_rate: int, hop: int) -> NoiseFloor:
        """For log-mel pictures (B, C, bands, frames) of any rate."""
        return NoiseFloor(self)


# Up or down by whole bands: a quick relative of a change of pitch, on pictures.


class BandShift(Augmentation):
    """Moves each picture's rows up or down; at the edge that opens, the outermost row is repeated."""

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
    """Up or down by whole bands."""

    kind: Literal["band_shift"] = "band_shift"
    max_bands: int = Field(3, ge=1, le=256)
    """Bands at most, in either direction."""

    def build(self, sample_rate: int, hop: int) -> BandShift:
        """For pictures (B, C, bands, frames)."""
        return BandShift(self)


# Another microphone or room: a smooth curve over the bands is added to a logarithmic picture.


class Equalizer(Augmentation):
    """Adds to each picture straight lines between `points` random heights, the same in every frame."""

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
    """Another microphone or room; a normalization that takes each band's mean away undoes it."""

    kind: Literal["equalizer"] = "equalizer"
    deviation: float = Field(0.5, gt=0.0, le=30.0)
    """Standard deviation of the heights, in the picture's unit: with ln and magnitudes 0.115 is a decibel."""
    points: int = Field(4, ge=2, le=64)
    """Heights drawn, evenly spaced from the lowest band to the highest."""

    def build(self, sample_rate: int, hop: int) -> Equalizer:
        """For pictures (B, C, bands, frames)."""
        return Equalizer(self)


# A sound that ends early: silence from some frame on, as behind a clip that is shorter than its window.


class CutShort(Augmentation):
    """Fills each picture with the value of silence from a random frame to its end."""

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
    """Silence from some frame on."""

    kind: Literal["cut_short"] = "cut_short"
    least_share: float = Field(0.3, gt=0.0, le=1.0)
    """Share of the frames, from the first on, that always stay."""
    silence: float = math.log(1e-6)
    """The picture's value in silence: the logarithm of the feature's floor."""

    def build(self, sample_rate: int, hop: int) -> CutShort:
        """For pictures (B, C, bands, frames)."""
        return CutShort(self)


# Faster or slower on pictures: columns are spread or drawn together around the middle.


class SpectrogramStretch(Augmentation):
    """Resamples each picture's time axis by straight lines between columns, keeping its length.

    Slower: both ends are cut. Faster: the first and the last column fill what opens.
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
    """Faster or slower, on pictures."""

    kind: Literal["spectrogram_stretch"] = "spectrogram_stretch"

    def build(self, sample_rate: int, hop: int) -> SpectrogramStretch:
        """For pictures (B, C, bands, frames)."""
        return SpectrogramStretch(self)


# A piece of the picture drawn to its whole size, or the whole drawn smaller: pitch, pace and formants move.
#
# Niizumi et al. 2021, "BYOL for audio", section III-B2: the crop may reach beyond the picture.


class ResizedCrop(Augmentation):
    """Draws a random rectangle of each picture to the picture's size, by straight lines between cells.

    Its sides are drawn evenly on a logarithmic axis, its place evenly; beyond the edges stand the outermost
    cells.
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
        # From where in the input, in halves of its sides from the middle, each place of the output is taken.
        nothing = torch.zeros_like(drawn["bands"])
        across = torch.stack([drawn["frames"], nothing, drawn["frames_middle"]], dim=1)
        along = torch.stack([nothing, drawn["bands"], drawn["bands_middle"]], dim=1)
        grid = F.affine_grid(torch.stack([across, along], dim=1), list(signal.shape), align_corners=False)
        return F.grid_sample(signal, grid, padding_mode="border", align_corners=False)


class ResizedCropSettings(BaseAugmentationSettings):
    """A piece of the picture drawn to its whole size, or the whole drawn smaller."""

    kind: Literal["resized_crop"] = "resized_crop"
    bands: Span = (0.6, 1.5)
    """Height of the crop as a share of the picture's: least, most; above 1 the picture comes out smaller."""
    frames: Span = (0.6, 1.5)
    """Length of the crop as a share of the picture's: least and most."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, sides in (("bands", self.bands), ("frames", self.frames)):
            if any(not 0.05 <= side <= 20 for side in sides):
                raise ValueError(f"{name} must lie from 0.05 to 20. Given: {list(sides)}.")
        return self

    def build(self, sample_rate: int, hop: int) -> ResizedCrop:
        """For pictures (B, C, bands, frames)."""
        return ResizedCrop(self)
