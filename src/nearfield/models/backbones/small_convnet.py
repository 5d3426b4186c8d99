"""A convnet for a laptop: a strided first look, then blocks that halve the map and double the width."""

from itertools import pairwise
from typing import Literal, cast

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling

Step = Literal[1, 2, 4]
LARGE = 2**21
"""Numbers in a map from which on `pooled_norm` gains more than its calls cost."""


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


def stem(channels: int, width: int, steps: tuple[Step, Step]) -> nn.Sequential:
    """The first layer, whose steps decide most of the cost, as it sees the largest map.

    Where it takes a step of 1, a pool takes 2 behind it: the blocks never meet a whole picture.
    """
    high, wide = (max(3, 2 * step - 1) for step in steps)
    convolution = nn.Conv2d(channels, width, (high, wide), steps, (high // 2, wide // 2), bias=False)
    pool = (
        nn.MaxPool2d(tuple(2 if step == 1 else 1 for step in steps), ceil_mode=True) if 1 in steps else None
    )
    return normed(convolution, pool)


def block(given: int, width: int) -> nn.Sequential:
    """Twice the width on half the map."""
    convolution = nn.Conv2d(given, width, 3, padding=1, bias=False)
    return normed(convolution, nn.MaxPool2d(2, ceil_mode=True))


def normed(convolution: nn.Conv2d, pool: nn.MaxPool2d | None) -> nn.Sequential:
    """Convolution, batch norm (which brings the bias), pool, ReLU.

    The largest number is the same before a ReLU as behind it, and behind the pool there are fewer to cut off.
    """
    norm, relu = nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    if pool is None:
        return nn.Sequential(convolution, norm, relu)
    return (Pooled if pool.kernel_size in (2, (2, 2)) else nn.Sequential)(convolution, norm, pool, relu)


class Pooled(nn.Sequential):
    """Convolution, batch norm, pool of 2 x 2, ReLU: the last three in one where that can be done faster."""

    def forward(self, map: Tensor) -> Tensor:
        convolution, norm, pool, relu = self
        map = convolution(map)
        if isinstance(norm, nn.BatchNorm2d) and norm.training and map.numel() >= LARGE:
            from nearfield.models.pooled_norm import fits, pooled_norm  # brings numba

            if fits(map, norm):
                return pooled_norm(map, norm)
        return cast(Tensor, relu(pool(norm(map))))


class Residual(nn.Module):
    """One more convolution on the small map, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, map: Tensor) -> Tensor:
        return cast(Tensor, self.relu(map + self.bn(self.conv(map))))


class SmallConvnetSettings(Loadable):
    """Convolution, batch norm, ReLU and pooling, a few times over."""

    kind: Literal["small_convnet"] = "small_convnet"
    width: int = Field(32, ge=4, le=256)
    """Channels of the first layer; each block doubles them."""
    blocks: int = Field(4, ge=1, le=6)
    """Convolutions with another width, the first one included."""
    stem_stride: tuple[Step, Step] = (4, 4)
    """Steps of the first convolution over bands and over frames; 1 is followed by pooling, and costs most."""
    residual: bool = False
    """Whether each block is followed by one more convolution beside a shortcut."""

    def build(self, channels: int, bands: int, frames: int) -> SmallConvnet:
        """For pictures (B, channels, any, any)."""
        return self.begun(SmallConvnet(channels, self))
