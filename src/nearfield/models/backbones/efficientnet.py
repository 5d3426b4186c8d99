"""EfficientNet-B0, with the names that timm gives its weights, so that published ones load.

Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", table 1:
4,007,548 weights for three channels, 5,288,548 with the layer to 1,000 classes, which no embedder has.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling

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

    def forward(self, picture: Tensor) -> Tensor:
        map = self.blocks(F.silu(self.bn1(self.conv_stem(picture))))
        return F.silu(self.bn2(self.conv_head(map)))


class EfficientNetB0Settings(Loadable):
    """18 layers of channels convolved by themselves, 4.0 million weights; made to do much with few."""

    kind: Literal["efficientnet_b0"] = "efficientnet_b0"

    def build(self, channels: int, bands: int, frames: int) -> EfficientNet:
        """For pictures (B, channels, any, any); raises RequestError where the weights do not fit."""
        return self.begun(EfficientNet(channels))
