"""The wave itself, for networks that learn their own picture of it."""

from typing import Literal

from torch import Tensor

from nearfield.core.settings import Settings
from nearfield.models.features.feature import Feature


class Waveform(Feature):
    """Waves (B, C, T) -> (B, C, 1, T), unchanged."""

    bands, hop, cuttable = 1, 1, True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def frames(self, samples: int) -> int:
        return samples

    def samples(self, frames: int) -> int:
        return frames

    def forward(self, waves: Tensor) -> Tensor:
        return waves.float().unsqueeze(2)


class WaveformSettings(Settings):
    """No feature: the samples, in one row."""

    kind: Literal["waveform"] = "waveform"

    def build(self, sample_rate: int, channels: int) -> Waveform:
        """For waves (B, channels, T) at any rate."""
        return Waveform(channels)
