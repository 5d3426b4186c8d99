"""Residual networks of 18 to 152 layers, with the usual names of weights, so that published weights can be
loaded.

He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition", table 1. In bottlenecks, the 3 x
3 convolution has the stride, as in the published weights."""

from typing import ClassVar, Literal, cast

from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.layers import Pooling, initialise

Depths = tuple[int, int, int, int]
"""Number of blocks in each of the four stages."""


class BasicBlock(nn.Module):
    """Two convolutions with a shortcut: (B, given, h, w) -> (B, width, h / stride, w / stride)."""

    expansion = 1

    def __init__(self, given: int, width: int, stride: int, kernel: tuple[int, int] = (3, 3)) -> None:
        super().__init__()
        high, wide = kernel
        around = (high // 2, wide // 2)
        self.conv1 = nn.Conv2d(given, width, kernel, stride, around, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel, 1, around, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(given, width, stride)

    def forward(self, map: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(map)))
        out = self.bn2(self.conv2(out))
        out += map if self.downsample is None else self.downsample(map)
        return cast(Tensor, self.relu(out))


class Bottleneck(nn.Module):
    """Convolutions 1 x 1 to `width`, 3 x 3, and 1 x 1 to four times the width, with a shortcut."""

    expansion = 4

    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(given, 4 * width, stride)

    def forward(self, map: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(map)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += map if self.downsample is None else self.downsample(map)
        return cast(Tensor, self.relu(out))


def shortcut(given: int, wanted: int, stride: int) -> nn.Sequential | None:
    """Creates a projection for the shortcut if the shape changes, else returns None."""
    if stride == 1 and given == wanted:
        return None
    return nn.Sequential(nn.Conv2d(given, wanted, 1, stride, bias=False), nn.BatchNorm2d(wanted))


class ResNet(nn.Module):
    """(B, C, bands, frames) -> (B, 512 x expansion, bands / 32, frames / 32), sizes rounded up."""

    pooling: Pooling = "mean"

    def __init__(self, block: type[BasicBlock | Bottleneck], depths: Depths, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        wide = block.expansion
        self.layer1 = stage(block, 64, 64, depths[0], stride=1)
        self.layer2 = stage(block, 64 * wide, 128, depths[1], stride=2)
        self.layer3 = stage(block, 128 * wide, 256, depths[2], stride=2)
        self.layer4 = stage(block, 256 * wide, 512, depths[3], stride=2)
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map = self.maxpool(self.relu(self.bn1(self.conv1(spectrogram))))
        map = self.layer4(self.layer3(self.layer2(self.layer1(map))))
        return cast(Tensor, map)


def stage(
    block: type[BasicBlock | Bottleneck], given: int, width: int, depth: int, stride: int
) -> nn.Sequential:
    """Creates a stage of `depth` blocks; the first has the stride."""
    rest = [block(width * block.expansion, width, 1) for _ in range(depth - 1)]
    return nn.Sequential(block(given, width, stride), *rest)


class ResNetSettings(Loadable):
    """Base of the settings of the five depths."""

    block: ClassVar[type[BasicBlock | Bottleneck]] = BasicBlock
    depths: ClassVar[Depths]

    def build(self, channels: int, bands: int, frames: int) -> ResNet:
        """Creates the network for spectrograms (B, channels, any, any).

        Raises RequestError if the weights do not fit.
        """
        return self.with_pretrained(ResNet(self.block, self.depths, channels))


class ResNet18Settings(ResNetSettings):
    """ResNet with 18 layers, 11.2 million weights."""

    kind: Literal["resnet18"] = "resnet18"
    depths = (2, 2, 2, 2)


class ResNet34Settings(ResNetSettings):
    """ResNet with 34 layers, 21.3 million weights."""

    kind: Literal["resnet34"] = "resnet34"
    depths = (3, 4, 6, 3)


class ResNet50Settings(ResNetSettings):
    """ResNet with 50 layers in bottlenecks, 23.5 million weights."""

    kind: Literal["resnet50"] = "resnet50"
    block = Bottleneck
    depths = (3, 4, 6, 3)


class ResNet101Settings(ResNetSettings):
    """ResNet with 101 layers in bottlenecks, 42.5 million weights."""

    kind: Literal["resnet101"] = "resnet101"
    block = Bottleneck
    depths = (3, 4, 23, 3)


class ResNet152Settings(ResNetSettings):
    """ResNet with 152 layers in bottlenecks, 58.1 million weights."""

    kind: Literal["resnet152"] = "resnet152"
    block = Bottleneck
    depths = (3, 8, 36, 3)
