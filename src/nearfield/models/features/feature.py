"""The base of features, and the two identity features: pixels and waveform."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import Family, Settings

Modality = Literal["audio", "image"]
"""What a collection contains and a feature expects."""


class Feature(nn.Module):
    """Base of features: maps waves (B, C, T) float32 to spectrograms (B, channels, bands, frames) float32.

    Deterministic and without trained weights; computed on the device of the input.
    """

    channels: int
    """Number of channels of the spectrogram."""
    bands: int
    """Number of bands (rows) of the spectrogram; 0 if it is that of the input."""
    hop: int
    """Samples between successive frames."""
    modality: Modality = "audio"
    """The input: waves, or images (B, C, height, width); that of its settings."""
    cuttable: bool
    """Whether `feature(wave)[..., a:b]` equals `feature(wave[..., a * hop : a * hop + samples(b - a)])`.

    Spectrograms of whole clips can then be cached and cut. This is not so if frames extend beyond the wave.
    """

    @property
    def wave_channels(self) -> int:
        """Number of channels of the waves."""
        return self.channels

    def frames(self, samples: int) -> int:
        """Returns the number of frames for a number of samples; 0 if there are too few for one frame."""
        raise NotImplementedError

    def samples(self, frames: int) -> int:
        """Returns the smallest number of samples with this number of frames (1 or more)."""
        raise NotImplementedError

    def forward(self, waves: Tensor) -> Tensor:
        """Computes (B, channels, bands, frames) of (B, C, T). Raises RequestError if T is too small."""
        raise NotImplementedError

    def _check(self, waves: Tensor) -> None:
        if self.frames(waves.shape[-1]) < 1:
            raise RequestError(
                f"feature: a sound of {waves.shape[-1]} samples is too short for one frame of "
                f"{self.samples(1)} samples. Increase data.clip_seconds, or shorten the window of the "
                "feature."
            )


class BaseFeatureSettings(Settings):
    """Base of the settings of a feature: a frozen class with `kind`, its settings, and `build`.

    `modality` and `unit` decide what a feature can be combined with; no other module refers to its kind. All
    but
    `build` have defaults.
    """

    kind: str
    modality: ClassVar[Modality] = "audio"
    """The input: waves, or images."""

    @property
    def unit(self) -> str | None:
        """Unit of the values of its spectrogram, for augmentations that need it; None: not a level."""
        return None

    def build(self, sample_rate: int, channels: int) -> Feature:
        """For waves (B, channels, T) at `sample_rate` Hz, or for images (B, channels, height, width)."""
        raise NotImplementedError


FEATURES = Family("features", BaseFeatureSettings)
"""All kinds of features; their union is `FeatureSettings` in this package's `__init__`."""


class Unchanged(Feature):
    """Base of identity features; each sample is a frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def frames(self, samples: int) -> int:
        return samples

    def samples(self, frames: int) -> int:
        return frames


class Pixels(Unchanged):
    """Returns images (B, C, H, W) as float32; `frames` and `samples` are columns."""

    bands, hop, cuttable = 0, 1, False
    modality: Modality = "image"

    def forward(self, waves: Tensor) -> Tensor:
        return waves.float()


class PixelsSettings(BaseFeatureSettings):
    """The pixels of images, without a feature."""

    kind: Literal["pixels"] = "pixels"

    modality: ClassVar[Modality] = "image"

    def build(self, sample_rate: int, channels: int) -> Pixels:
        """Creates the feature for images (B, channels, any, any)."""
        return Pixels(channels)


class Waveform(Unchanged):
    """Returns waves (B, C, T) as (B, C, 1, T)."""

    bands, hop, cuttable = 1, 1, True

    def forward(self, waves: Tensor) -> Tensor:
        return waves.float().unsqueeze(2)


class WaveformSettings(BaseFeatureSettings):
    """The samples of the wave as one band, for networks that compute features themselves."""

    kind: Literal["waveform"] = "waveform"

    def build(self, sample_rate: int, channels: int) -> Waveform:
        """Creates the feature for waves (B, channels, T) at any sample rate."""
        return Waveform(channels)
