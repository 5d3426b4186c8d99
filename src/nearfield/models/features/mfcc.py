"""MFCC: the shape of a log-mel column in a few cosines, from its level upwards.

Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980.
"""

import math
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.models.features.feature import BaseFeatureSettings, Feature
from nearfield.models.features.log_mel import LogMel, MelSettings


class MFCC(Feature):
    """Waves (B, C, T) -> (B, C, coefficients, frames); row 0 is the level."""

    cosines: Tensor

    def __init__(self, log_mel: LogMel, coefficients: int, orthonormal: bool) -> None:
        super().__init__()
        self.log_mel = log_mel
        self.channels, self.bands, self.hop = log_mel.channels, coefficients, log_mel.hop
        self.cuttable = log_mel.cuttable
        self.register_buffer("cosines", _cosines(log_mel.bands, coefficients, orthonormal), persistent=False)

    def frames(self, samples: int) -> int:
        return self.log_mel.frames(samples)

    def samples(self, frames: int) -> int:
        return self.log_mel.samples(frames)

    def forward(self, waves: Tensor) -> Tensor:
        with torch.autocast(waves.device.type, enabled=False):
            return cast(Tensor, self.cosines @ self.log_mel(waves))


def _cosines(bands: int, coefficients: int, orthonormal: bool) -> Tensor:
    """(coefficients, bands): rows of the DCT-II, scaled by sqrt(2 / bands)."""
    middles = torch.arange(bands, dtype=torch.float64) + 0.5
    rows = torch.arange(coefficients, dtype=torch.float64)[:, None]
    cosines = torch.cos(math.pi / bands * rows * middles) * math.sqrt(2 / bands)
    if orthonormal:
        cosines[0] /= math.sqrt(2)
    return cosines.float()


class MFCCSettings(MelSettings, BaseFeatureSettings):
    """A few cosines over the log-mel bands."""

    kind: Literal["mfcc"] = "mfcc"
    window_ms: float = Field(30.0, gt=0.0, le=1000.0)
    """Milliseconds of sound in a frame."""
    hop_ms: float = Field(10.0, gt=0.0, le=1000.0)
    """Milliseconds from one frame to the next."""
    coefficients: int = Field(13, ge=1, le=1024)
    """Cosines kept, the level (number 0) included."""
    orthonormal: bool = False
    """Whether the level is divided by the square root of 2, which makes the cosines an orthonormal set."""

    @property
    def unit(self) -> None:
        """None: a cosine over bands is no loudness."""
        return None

    def build(self, sample_rate: int, channels: int) -> MFCC:
        """For waves (B, channels, T) at `sample_rate` Hz; RequestError for more coefficients than bands."""
        if self.coefficients > self.bands:
            raise RequestError(
                f"feature: {self.coefficients} coefficients of {self.bands} bands. There are at most as many "
                "coefficients as bands; lower feature.coefficients or raise feature.bands."
            )
        log_mel = self.log_mel(sample_rate, channels, self.window_ms, self.hop_ms)
        return MFCC(log_mel, self.coefficients, self.orthonormal)
