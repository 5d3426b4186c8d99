"""The picture itself, where the collection holds pictures and not sounds."""

from typing import Literal

from torch import Tensor

from nearfield.core.settings import Settings
from nearfield.models.features.feature import Feature


class Pixels(Feature):
    """Pictures (B, C, H, W) -> the same, float32; `frames` and `samples` count columns."""

    bands, hop, cuttable = 0, 1, False

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def frames(self, samples: int) -> int:
        return samples

    def samples(self, frames: int) -> int:
        return frames

    def forward(self, waves: Tensor) -> Tensor:
        return waves.float()


class PixelsSettings(Settings):
    """No feature: the picture's own pixels."""

    kind: Literal["pixels"] = "pixels"

    def build(self, sample_rate: int, channels: int) -> Pixels:
        """For pictures (B, channels, any, any)."""
        return Pixels(channels)
