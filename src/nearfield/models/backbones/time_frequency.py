"""Tall filters that see only pitch, at their loudest frame, beside long ones that see only time, at their
loudest band.

H. Kim's time and frequency network for the course GCT634 (KAIST, 2021): 96 bands and 188 frames give 25
places of tall filters and 63 of long ones, with 32 channels each; a layer from these 2,816 numbers to 256
makes the embedding of that work. With two kernels of either sort: `tall: [48, 24]`, `long: [64, 32]`.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.backbones.blocks import block
from nearfield.models.backbones.least import check_least
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling

Kernels = tuple[Annotated[int, Field(ge=1, le=1024)], ...]


class TimeFrequency(nn.Module):
    """(B, C, bands, T) -> (B, width, places): of tall kernels along bands, then of long ones in time."""

    pooling: Pooling = "flatten"

    def __init__(self, channels: int, width: int, tall: Kernels, long: Kernels) -> None:
        super().__init__()
        self.tall = nn.ModuleList(block(channels, width, (size, 1)) for size in tall)
        self.long = nn.ModuleList(block(channels, width, (1, size)) for size in long)
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        pitches = [layers(picture).amax(3) for layers in self.tall]
        times = [layers(picture).amax(2) for layers in self.long]
        return torch.cat([*pitches, *times], dim=2)


class TimeFrequencySettings(Loadable):
    """One layer of filters along pitch and of filters along time, side by side."""

    kind: Literal["time_frequency"] = "time_frequency"
    width: int = Field(32, ge=4, le=512)
    """Channels of each kernel."""
    tall: Kernels = Field((48,), min_length=1, max_length=8)
    """Bands that the kernels along pitch see, one frame wide."""
    long: Kernels = Field((64,), min_length=1, max_length=8)
    """Frames that the kernels along time see, one band high."""

    def build(self, channels: int, bands: int, frames: int) -> TimeFrequency:
        """For pictures of exactly (B, channels, bands, frames); raises RequestError for those too small."""
        # A zero at either end, and a pool of 2: a kernel of k needs k places of those, and one more.
        check_least(self.kind, (bands, frames), (max(self.tall) - 1, max(self.long) - 1))
        return self.begun(TimeFrequency(channels, self.width, self.tall, self.long))
