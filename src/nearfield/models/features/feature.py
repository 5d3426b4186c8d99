"""The base of features, and the two that change nothing: pixels and waveform."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import Family, Settings

Modality = Literal["audio", "image"]
"""What a collection holds, a feature reads, and so a recipe is for."""

# What every feature promises: the shape of its picture, told before a sound is there.


class Feature(nn.Module):
    """A picture of a sound: waves (B, C, T) float32 -> (B, channels, bands, frames) float32.

    Works on the device of its input; draws nothing, learns nothing.
    """

    channels: int
    """Channels of the picture."""
    bands: int
    """Rows of the picture; 0 where they are the input's own."""
    hop: int
    """Samples from one frame to the next."""
    modality: Modality = "audio"
    """What it reads: waves, or images (B, C, height, width); that of its settings."""
    cuttable: bool
    """Whether `feature(wave)[..., a:b]` is `feature(wave[..., a * hop : a * hop + samples(b - a)])`.

    Then pictures of whole clips can be kept and cut; where frames reach beyond the wave's ends they cannot.
    """

    @property
    def wave_channels(self) -> int:
        """Channels of the waves that it reads."""
        return self.channels

    def frames(self, samples: int) -> int:
        """Frames of the picture of so many samples; 0 where not even one fits."""
        raise NotImplementedError

    def samples(self, frames: int) -> int:
        """The smallest number of samples whose picture has so many frames (1 or more)."""
        raise NotImplementedError

    def forward(self, waves: Tensor) -> Tensor:
        """(B, C, T) -> (B, channels, bands, frames). Raises RequestError where T gives no frame."""
        raise NotImplementedError

    def _check(self, waves: Tensor) -> None:
        if self.frames(waves.shape[-1]) < 1:
            raise RequestError(
                f"feature: a sound of {waves.shape[-1]} samples is too short for one frame, which takes "
                f"{self.samples(1)}. Set data.clip_seconds larger or the feature's window smaller."
            )


class BaseFeatureSettings(Settings):
    """What the settings of every feature extend: a frozen class with `kind`, its settings, and `build`.

    What a feature says of itself decides what it can be combined with; nothing else in the package has to
    know its kind. Everything but `build` has a default.
    """

    kind: str
    modality: ClassVar[Modality] = "audio"
    """What it reads: waves, or images."""

    @property
    def unit(self) -> str | None:
        """What the numbers of its spectrogram are, for augmentations that ask; None: no loudness."""
        return None

    def build(self, sample_rate: int, channels: int) -> Feature:
        """For waves (B, channels, T) at `sample_rate` Hz, or for images (B, channels, height, width)."""
        raise NotImplementedError


FEATURES = Family("features", BaseFeatureSettings)
"""All kinds of features; the list is `FeatureSettings`, in this package's `__init__`."""


class Unchanged(Feature):
    """A feature that keeps every number; a frame is a sample."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def frames(self, samples: int) -> int:
        return samples

    def samples(self, frames: int) -> int:
        return frames


# The picture itself, where the collection holds pictures and not sounds.


class Pixels(Unchanged):
    """Pictures (B, C, H, W) -> the same, float32; `frames` and `samples` count columns."""

    bands, hop, cuttable = 0, 1, False
    modality: Modality = "image"

    def forward(self, waves: Tensor) -> Tensor:
        return waves.float()


class PixelsSettings(BaseFeatureSettings):
    """No feature: the picture's own pixels."""

    kind: Literal["pixels"] = "pixels"

    modality: ClassVar[Modality] = "image"

    def build(self, sample_rate: int, channels: int) -> Pixels:
        """For pictures (B, channels, any, any)."""
        return Pixels(channels)


# The wave itself, for networks that learn their own picture of it.


class Waveform(Unchanged):
    """Waves (B, C, T) -> (B, C, 1, T), unchanged."""

    bands, hop, cuttable = 1, 1, True

    def forward(self, waves: Tensor) -> Tensor:
        return waves.float().unsqueeze(2)


class WaveformSettings(BaseFeatureSettings):
    """No feature: the samples, in one row."""

    kind: Literal["waveform"] = "waveform"

    def build(self, sample_rate: int, channels: int) -> Waveform:
        """For waves (B, channels, T) at any rate."""
        return Waveform(channels)
