"""A small convolutional network, EfficientNet-B0, fully connected layers, and a linear projection."""

from itertools import pairwise
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.layers import Pooling, initialise

# A small network for CPUs: a strided convolution, then blocks that halve the map and double the width.

Step = Literal[1, 2, 4]
LARGE = 2**21
"""Size of a map from which `pooled_norm` is faster than separate layers."""


class SmallConvnet(nn.Module):
    """(B, C, bands, T) -> (B, width x 2^(blocks - 1), h, w), for any size; halved sizes are rounded up."""

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

    def forward(self, spectrogram: Tensor) -> Tensor:
        return cast(Tensor, self.blocks(self.stem(spectrogram)))


def stem(channels: int, width: int, steps: tuple[Step, Step]) -> nn.Sequential:
    """Creates the first layer; its strides determine most of the cost, because its map is the largest.

    A stride of 1 is followed by a pool of 2, so the blocks never get a map of full size.
    """
    high, wide = (max(3, 2 * step - 1) for step in steps)
    convolution = nn.Conv2d(channels, width, (high, wide), steps, (high // 2, wide // 2), bias=False)
    pool = (
        nn.MaxPool2d(tuple(2 if step == 1 else 1 for step in steps), ceil_mode=True) if 1 in steps else None
    )
    return normed(convolution, pool)


def block(given: int, width: int) -> nn.Sequential:
    """Creates a block that changes the width and halves the map."""
    convolution = nn.Conv2d(given, width, 3, padding=1, bias=False)
    return normed(convolution, nn.MaxPool2d(2, ceil_mode=True))


def normed(convolution: nn.Conv2d, pool: nn.MaxPool2d | None) -> nn.Sequential:
    """Creates a sequence of convolution, batch norm (which includes the bias), pool, ReLU.

    Max pooling before the ReLU gives the same result as after it, and the ReLU is then computed on fewer
    values.
    """
    norm, relu = nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    if pool is None:
        return nn.Sequential(convolution, norm, relu)
    return (PooledBlock if pool.kernel_size in (2, (2, 2)) else nn.Sequential)(convolution, norm, pool, relu)


class PooledBlock(nn.Sequential):
    """Convolution, batch norm, 2 x 2 pool, ReLU; the last three in one operation if that is faster."""

    def forward(self, map: Tensor) -> Tensor:
        convolution, norm, pool, relu = self
        map = convolution(map)
        if isinstance(norm, nn.BatchNorm2d) and norm.training and map.numel() >= LARGE:
            from nearfield.models.pooled_norm import fits, pooled_norm  # imports numba

            if fits(map, norm):
                return pooled_norm(map, norm)
        return cast(Tensor, relu(pool(norm(map))))


class Residual(nn.Module):
    """A convolution whose result is added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, map: Tensor) -> Tensor:
        return cast(Tensor, self.relu(map + self.bn(self.conv(map))))


class SmallConvnetSettings(Loadable):
    """A small convolutional network: blocks of convolution, batch norm, ReLU and pooling."""

    kind: Literal["small_convnet"] = "small_convnet"
    width: int = Field(32, ge=4, le=256)
    """Channels of the first layer, 4 to 256; each further block doubles them."""
    blocks: int = Field(4, ge=1, le=6)
    """Number of blocks with the first layer, 1 to 6."""
    stem_stride: tuple[Step, Step] = (4, 4)
    """Strides of the first convolution over bands and over frames: 1 (slowest, followed by a pool of 2), 2 or
    4."""
    residual: bool = False
    """Whether a convolution with a residual connection follows each block."""

    def build(self, channels: int, bands: int, frames: int) -> SmallConvnet:
        """Creates the network for spectrograms (B, channels, any, any)."""
        return self.with_pretrained(SmallConvnet(channels, self))


# EfficientNet-B0, with the names of weights in timm, so that published weights can be loaded.
#
# Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", table 1:
# 4,007,548 weights with three channels; 5,288,548 with the classifier of 1,000 classes, which is not used
# here.

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Number of blocks, kernel, stride, expansion and width of each stage."""
STEM, HEAD = 32, 1280


class Excitation(nn.Module):
    """Squeeze-and-excitation of (B, C, h, w): scales each channel by 0 to 1, from the means of all channels
    (Hu et
    al. 2018)."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, map: Tensor) -> Tensor:
        means = map.mean((2, 3), keepdim=True)
        return map * torch.sigmoid(self.conv_expand(F.silu(self.conv_reduce(means))))


class Separable(nn.Module):
    """Depthwise convolution, excitation, 1 x 1 convolution: (B, given, h, w) -> (B, width, h, w)."""

    def __init__(self, given: int, kernel: int, width: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(given, given, kernel, 1, kernel // 2, groups=given, bias=False)
        self.bn1 = nn.BatchNorm2d(given)
        self.se = Excitation(given, given // 4)
        self.conv_pw = nn.Conv2d(given, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, map: Tensor) -> Tensor:
        out = self.se(F.silu(self.bn1(self.conv_dw(map))))
        return cast(Tensor, self.bn2(self.conv_pw(out)))


class Inverted(nn.Module):
    """Inverted bottleneck: a 1 x 1 convolution to a larger width, then as `Separable`, with a residual
    connection if
    the shape does not change (Sandler et al. 2018)."""

    def __init__(self, given: int, kernel: int, stride: int, expansion: int, width: int) -> None:
        super().__init__()
        wide = expansion * given
        self.conv_pw = nn.Conv2d(given, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv_dw = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.se = Excitation(wide, given // 4)
        self.conv_pwl = nn.Conv2d(wide, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.shortcut = stride == 1 and given == width

    def forward(self, map: Tensor) -> Tensor:
        out = F.silu(self.bn1(self.conv_pw(map)))
        out = self.se(F.silu(self.bn2(self.conv_dw(out))))
        out = self.bn3(self.conv_pwl(out))
        return cast(Tensor, out + map if self.shortcut else out)


class EfficientNet(nn.Module):
    """(B, C, bands, frames) -> (B, 1280, bands / 32, frames / 32), sizes rounded up."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(channels, STEM, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.blocks = nn.Sequential()
        given = STEM
        for count, kernel, stride, expansion, width in STAGES:
            stage = nn.Sequential()
            for number in range(count):
                step = stride if number == 0 else 1
                separable = expansion == 1
                stage.append(
                    Separable(given, kernel, width)
                    if separable
                    else Inverted(given, kernel, step, expansion, width)
                )
                given = width
            self.blocks.append(stage)
        self.conv_head = nn.Conv2d(given, HEAD, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(HEAD)
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map = self.blocks(F.silu(self.bn1(self.conv_stem(spectrogram))))
        return F.silu(self.bn2(self.conv_head(map)))


class EfficientNetB0Settings(Loadable):
    """EfficientNet-B0: depthwise convolutions, 4.0 million weights."""

    kind: Literal["efficientnet_b0"] = "efficientnet_b0"

    def build(self, channels: int, bands: int, frames: int) -> EfficientNet:
        """Creates the network for spectrograms (B, channels, any, any).

        Raises RequestError if the weights do not fit.
        """
        return self.with_pretrained(EfficientNet(channels))


# Fully connected layers over the flattened spectrogram.


class Dense(nn.Module):
    """(B, C, bands, T) -> (B, last width); without widths, (B, C x bands x T)."""

    pooling: Pooling = "flatten"

    def __init__(self, values: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for given, width in pairwise([values, *widths]):
            self.layers.extend([nn.Linear(given, width), nn.ReLU(inplace=True)])
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.layers(spectrogram.flatten(1))
        return map


class DenseSettings(Loadable):
    """Fully connected layers over the flattened spectrogram; a simple baseline for other backbones."""

    kind: Literal["dense"] = "dense"
    widths: tuple[Annotated[int, Field(ge=2, le=8192)], ...] = (256,)
    """Sizes of the layers, 2 to 8,192, each followed by a ReLU; []: the embedding is a linear projection."""

    def build(self, channels: int, bands: int, frames: int) -> Dense:
        """Creates the network for spectrograms of exactly (B, channels, bands, frames)."""
        return self.with_pretrained(Dense(channels * bands * frames, self.widths))


# The flattened spectrogram; the last layer of the embedding is then a linear projection of it.
#
# The simplest embedding of the course GCT634 (KAIST, 2021): 73,928,704 weights from 96 bands x 188 frames to
# 4,096 dimensions (18,048 x 4,096 and 4,096 biases), and 2 more of batch norm of the input.


class LinearProjection(nn.Module):
    """(B, C, bands, T) -> (B, C x bands x T), without weights."""

    pooling: Pooling = "flatten"

    def forward(self, spectrogram: Tensor) -> Tensor:
        return spectrogram.flatten(1)


class LinearProjectionSettings(Loadable):
    """No backbone: the embedding is a linear projection of the flattened spectrogram."""

    kind: Literal["linear_projection"] = "linear_projection"

    def build(self, channels: int, bands: int, frames: int) -> LinearProjection:
        """Creates the module for spectrograms (B, channels, bands, frames), all of one size."""
        return self.with_pretrained(LinearProjection())
