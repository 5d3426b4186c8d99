"""Three convolutions over bands and time, each pooled and normalised: Groeger's ConvNet2D.

There batch norm was left out at inference and dropout sat on the finished embedding; here batch norm is
always on, and the embedding's own `dropout` setting stands before its last layer.
"""

from typing import Literal

from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling


class ConvNet2D(nn.Module):
    """(B, C, bands, T) -> (B, 64, bands / 8, T / 8), sizes rounded up at each halving."""

    pooling: Pooling = "flatten"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
            nn.BatchNorm2d(32),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
            nn.BatchNorm2d(32),
            nn.ZeroPad2d((0, 1, 0, 1)),
            nn.Conv2d(32, 64, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.BatchNorm2d(64),
        )
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        map: Tensor = self.blocks(picture)
        return map


class ConvNet2DSettings(Loadable):
    """A small network for small pictures; its flattened end needs clips of one length."""

    kind: Literal["convnet2d"] = "convnet2d"

    def build(self, channels: int, bands: int, frames: int) -> ConvNet2D:
        """For pictures (B, channels, bands, frames) of any size."""
        return self.begun(ConvNet2D(channels))
