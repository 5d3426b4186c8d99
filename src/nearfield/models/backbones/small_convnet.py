"""A convnet for a laptop: a strided first look, then blocks that halve the map and double the width."""

from itertools import pairwise
from typing import Literal, cast

from pydantic import Field
from torch import Tensor, nn

from nearfield.core.settings import Settings
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling


class SmallConvnet(nn.Module):
    """(B, C, bands, T) -> (B, width x 2^(blocks - 1), h, w), of any size: halvings round up."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int, settings: "SmallConvnetSettings") -> None:
        super().__init__()
        widths = [settings.width * 2**number for number in range(settings.blocks)]
        self.stem = stem(channels, widths[0], settings.stem_stride)
        self.blocks = nn.Sequential()
        for given, width in pairwise(widths):
            self.blocks.append(block(given, width))
            if settings.residual:
                self.blocks.append(Residual(width))
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        return cast(Tensor, self.blocks(self.stem(picture)))


def stem(channels: int, width: int, stride: int) -> nn.Sequential:
    """The first layer: on the largest map, so its stride decides most of the cost."""
    if stride == 1:
        return block(channels, width)
    size = {2: 5, 4: 7}[stride]
    return nn.Sequential(*convolution(channels, width, size, stride))


def block(given: int, width: int) -> nn.Sequential:
    """Twice the width on half the map."""
    return nn.Sequential(*convolution(given, width, 3), nn.MaxPool2d(2, ceil_mode=True))


def convolution(given: int, width: int, size: int, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, ReLU; batch norm brings the bias."""
    return [
        nn.Conv2d(given, width, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]


class Residual(nn.Module):
    """One more convolution on the small map, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, map: Tensor) -> Tensor:
        return cast(Tensor, self.relu(map + self.bn(self.conv(map))))


class SmallConvnetSettings(Settings):
    """Convolution, batch norm, ReLU and pooling, a few times over."""

    kind: Literal["small_convnet"] = "small_convnet"
    width: int = Field(32, ge=4, le=256)
    """Channels of the first layer; each block doubles them."""
    blocks: int = Field(4, ge=1, le=6)
    """Convolutions with another width, the first one included."""
    stem_stride: Literal[1, 2, 4] = 4
    """Step of the first convolution over bands and frames; 1 sees every cell, pools by 2, costs most."""
    residual: bool = False
    """Whether each block is followed by one more convolution beside a shortcut."""

    def build(self, channels: int, bands: int, frames: int) -> SmallConvnet:
        """For pictures (B, channels, any, any)."""
        return SmallConvnet(channels, self)
