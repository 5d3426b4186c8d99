"""MFCC: the discrete cosine transform of each log-mel frame.

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
    """Computes MFCCs (B, C, coefficients, frames) of waves (B, C, T); coefficient 0 is the level."""

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
    """Returns the (coefficients, bands) matrix of the DCT-II, scaled by sqrt(2 / bands)."""
    middles = torch.arange(bands, dtype=torch.float64) + 0.5
    rows = torch.arange(coefficients, dtype=torch.float64)[:, None]
    cosines = torch.cos(math.pi / bands * rows * middles) * math.sqrt(2 / bands)
    if orthonormal:
        cosines[0] /= math.sqrt(2)
    return cosines.float()


class MFCCSettings(MelSettings, BaseFeatureSettings):
    """MFCCs: the first coefficients of the cosine transform of each log-mel frame."""

    kind: Literal["mfcc"] = "mfcc"
    window_ms: float = Field(30.0, gt=0.0, le=1000.0)
    """Length of a frame in milliseconds, above 0 to 1,000."""
    hop_ms: float = Field(10.0, gt=0.0, le=1000.0)
    """Milliseconds between successive frames, above 0 to 1,000."""
    coefficients: int = Field(13, ge=1, le=1024)
    """Number of coefficients, with the level (coefficient 0); at most the number of bands."""
    orthonormal: bool = False
    """Whether to divide the level by the square root of 2, which makes the transform orthonormal."""

    @property
    def unit(self) -> None:
        """None, because coefficients are not levels."""
        return None

    def build(self, sample_rate: int, channels: int) -> MFCC:
        """Creates the feature for waves (B, channels, T) at `sample_rate` Hz.

        Raises RequestError if there are more coefficients than bands.
        """
        if self.coefficients > self.bands:
            raise RequestError(
                f"feature: {self.coefficients} coefficients of {self.bands} bands. There can be at most as "
                "many coefficients as bands; lower feature.coefficients or increase feature.bands."
            )
        log_mel = self.log_mel(sample_rate, channels, self.window_ms, self.hop_ms)
        return MFCC(log_mel, self.coefficients, self.orthonormal)
