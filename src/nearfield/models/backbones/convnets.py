"""General networks: a small convnet, EfficientNet-B0, dense layers, a linear projection."""

from itertools import pairwise
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.layers import Pooling, initialise

# A convnet for a laptop: a strided first look, then blocks that halve the map and double the width.

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

    def forward(self, spectrogram: Tensor) -> Tensor:
        return cast(Tensor, self.blocks(self.stem(spectrogram)))


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
    return (PooledBlock if pool.kernel_size in (2, (2, 2)) else nn.Sequential)(convolution, norm, pool, relu)


class PooledBlock(nn.Sequential):
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
        return self.with_pretrained(SmallConvnet(channels, self))


# EfficientNet-B0, with the names that timm gives its weights, so that published ones load.
#
# Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", table 1:
# 4,007,548 weights for three channels, 5,288,548 with the layer to 1,000 classes, which no embedder has.

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride, expansion and width of each stage."""
STEM, HEAD = 32, 1280


class Excitation(nn.Module):
    """(B, C, h, w): each channel times a share, 0 to 1, that the means of all give (Hu et al. 2018)."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, map: Tensor) -> Tensor:
        means = map.mean((2, 3), keepdim=True)
        return map * torch.sigmoid(self.conv_expand(F.silu(self.conv_reduce(means))))


class Separable(nn.Module):
    """A convolution of each channel by itself, excitation, 1 x 1: (B, given, h, w) -> (B, width, h, w)."""

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
    """1 x 1 up, then as `Separable`, beside a shortcut where the shape stays (Sandler et al. 2018)."""

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
    """18 layers of channels convolved by themselves, 4.0 million weights; made to do much with few."""

    kind: Literal["efficientnet_b0"] = "efficientnet_b0"

    def build(self, channels: int, bands: int, frames: int) -> EfficientNet:
        """For pictures (B, channels, any, any); raises RequestError where the weights do not fit."""
        return self.with_pretrained(EfficientNet(channels))


# Fully connected layers over the whole picture laid flat: the plainest encoder, or a linear projection.


class Dense(nn.Module):
    """(B, C, bands, T) -> (B, last width); with no widths (B, C x bands x T)."""

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
    """Knows nothing of time or pitch: what any other backbone should beat."""

    kind: Literal["dense"] = "dense"
    widths: tuple[Annotated[int, Field(ge=2, le=8192)], ...] = (256,)
    """Values of each layer, each followed by a ReLU; none: the embedding is a linear projection."""

    def build(self, channels: int, bands: int, frames: int) -> Dense:
        """For pictures of exactly (B, channels, bands, frames)."""
        return self.with_pretrained(Dense(channels * bands * frames, self.widths))


# The picture laid flat: the embedding's last layer is then a linear projection of it, and all there is.
#
# The plainest embedding of the course GCT634 (KAIST, 2021): from 96 bands x 188 frames to 4,096 numbers
# 73,928,704 weights (18,048 x 4,096 and 4,096 biases), to which batch norm on the input adds 2.


class LinearProjection(nn.Module):
    """(B, C, bands, T) -> (B, C x bands x T); no weights of its own."""

    pooling: Pooling = "flatten"

    def forward(self, spectrogram: Tensor) -> Tensor:
        return spectrogram.flatten(1)


class LinearProjectionSettings(Loadable):
    """No network at all: the embedding is linear in the picture, whose every cell has its own weights."""

    kind: Literal["linear_projection"] = "linear_projection"

    def build(self, channels: int, bands: int, frames: int) -> LinearProjection:
        """For pictures (B, channels, bands, frames), all of one size."""
        return self.with_pretrained(LinearProjection())
