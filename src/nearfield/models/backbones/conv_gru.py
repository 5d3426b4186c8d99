"""Four convolutions that halve time, then a recurrent layer over what is left: Groeger's ConvGRUNet.

There the map was reshaped so that the recurrence ran along time and bands laid end to end, some 4,100 steps;
here each step is one frame with all its bands.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling


class ConvGRU(nn.Module):
    """(B, C, bands, T) -> (B, width, T / 16), rounded up at each halving."""

    pooling: Pooling = "flatten"

    def __init__(self, channels: int, bands: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            block(channels, 16, 7), block(16, 32, 5), block(32, 32, 3), block(32, 32, 3)
        )
        self.recurrent = nn.GRU(32 * bands, width, batch_first=True)
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        frames = self.blocks(picture).flatten(1, 2).transpose(1, 2)
        sequence, _ = self.recurrent(frames)
        map: Tensor = sequence.transpose(1, 2)
        return map


def block(given: int, width: int, size: int) -> nn.Sequential:
    """As many bands out as in, half the frames."""
    return nn.Sequential(
        nn.Conv2d(given, width, size, padding=size // 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, (1, 2), padding=1),
        nn.BatchNorm2d(width),
    )


class ConvGRUSettings(Loadable):
    """Convolutions for what a moment sounds like, a recurrence for how moments follow each other."""

    kind: Literal["conv_gru"] = "conv_gru"
    width: int = Field(32, ge=4, le=1024)
    """Values of the recurrent layer's state."""

    def build(self, channels: int, bands: int, frames: int) -> ConvGRU:
        """For pictures (B, channels, bands, frames) of any size."""
        return self.begun(ConvGRU(channels, bands, self.width))
