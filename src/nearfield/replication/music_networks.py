"""Networks for music tagging: networks of a course at KAIST, short-chunk CNN, musicnn, and combinations."""

from itertools import pairwise
from typing import Annotated, Literal, Self, cast

import torch
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.models.backbones.backbone import (
    BACKBONES,
    BaseBackboneSettings,
    Loadable,
    Pool,
    TooSmallError,
    block,
    check_least,
    least,
    pooling_of,
)
from nearfield.models.backbones.resnet import BasicBlock
from nearfield.models.layers import Pooling, evaluating, initialise

# Three convolutions over time with bands as channels, a baseline of music tagging.
#
# The baseline of the course GCT634 (KAIST, 2021). With 96 bands, batch norm of the input and a layer to 50
# tags, it has 17,300 weights: 15,648 here, 2 in batch norm of the input and 1,650 in the last layer.


class CNN1D(nn.Module):
    """(B, C, bands, T) -> (B, width, about T / 27); 188 frames become 64, 22 and 8."""

    pooling: Pooling = "mean"

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_block(rows, width), _block(width, width), _block(width, width))
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.blocks(spectrogram.flatten(1, 2))
        return map


def _block(given: int, width: int) -> nn.Sequential:
    """Creates a block; three zeros at each end add four frames, and the pool keeps a third, at least one."""
    return nn.Sequential(
        nn.Conv1d(given, width, 3, padding=3),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool1d(3),
    )


class CNN1DSettings(Loadable):
    """Three convolutions over time, averaged over frames; a very small baseline of music tagging."""

    kind: Literal["cnn1d"] = "cnn1d"
    width: int = Field(32, ge=4, le=1024)
    """Channels of each layer, 4 to 1,024."""

    def build(self, channels: int, bands: int, frames: int) -> CNN1D:
        """Creates the network for spectrograms (B, channels, bands, any number of frames)."""
        return self.with_pretrained(CNN1D(channels * bands, self.width))


# Four convolutions over bands and frames with large pools, which reduce three seconds to one position.
#
# The two-dimensional network of the course GCT634 (KAIST, 2021). With 96 bands and 188 frames, its maps are
# 24 x 47, 8 x 15, 2 x 5 and 1 x 1. With batch norm of the input and a layer to 50 tags, it has 299,892
# weights: 296,640 here, 2 in batch norm of the input and 3,250 in the last layer.

Pools = tuple[Pool, Pool, Pool, Pool]


class CNN2D(nn.Module):
    """(B, C, bands, T) -> (B, width, bands / 72, T / 180) with the default pools, rounded down."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int, width: int, pools: Pools) -> None:
        super().__init__()
        widths = pairwise([channels, width, 2 * width, 2 * width, width])
        self.blocks = nn.Sequential(
            *(block(*both, pool=pool) for both, pool in zip(widths, pools, strict=True))
        )
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.blocks(spectrogram)
        return map


class CNN2DSettings(Loadable):
    """Four convolutions with large pools, for spectrograms of about 96 bands and three seconds."""

    kind: Literal["cnn2d"] = "cnn2d"
    width: int = Field(64, ge=4, le=512)
    """Channels of the first and the last layer, 4 to 512; the two between have twice as many."""
    pools: Pools = ((4, 4), (3, 3), (3, 3), (2, 5))
    """Size of the pool after each layer, in bands and frames, 1 to 16 each."""

    def build(self, channels: int, bands: int, frames: int) -> CNN2D:
        """Creates the network for spectrograms (B, channels, bands, frames).

        Raises RequestError if they are smaller than the product of the pools.
        """
        check_least(self.kind, (bands, frames), least(self.pools))
        return self.with_pretrained(CNN2D(channels, self.width, self.pools))


# Six convolutions, each followed by a pool of 2, with dropout at the end.
#
# The deeper network of H. Kim for the course GCT634 (KAIST, 2021): 96 bands and 188 frames become 64 channels
# of
# 1 x 2 positions, flattened to 128 values.

_POOLS: tuple[Pool, ...] = ((2, 2),) * 6


class DeepCNN(nn.Module):
    """(B, C, bands, T) -> (B, width, bands / 64, T / 64), rounded down."""

    pooling: Pooling = "flatten"

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        widths = pairwise([channels, width, 2 * width, 4 * width, 4 * width, 2 * width, width])
        self.blocks = nn.Sequential(*(block(*both) for both in widths))
        self.dropout = nn.Dropout(dropout)
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.dropout(self.blocks(spectrogram))
        return map


class DeepCNNSettings(Loadable):
    """Six convolutions, each followed by a pool of 2, with more channels in the middle."""

    kind: Literal["deep_cnn"] = "deep_cnn"
    width: int = Field(64, ge=4, le=256)
    """Channels of the first and the last layer, 4 to 256; the middle has four times as many."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Probability of dropout of the last map in training, 0 to below 1."""

    def build(self, channels: int, bands: int, frames: int) -> DeepCNN:
        """Creates the network for spectrograms (B, channels, at least 64, at least 64).

        Raises RequestError if they are smaller.
        """
        check_least(self.kind, (bands, frames), least(_POOLS))
        return self.with_pretrained(DeepCNN(channels, self.width, self.dropout))


# Residual blocks, each followed by a pool; optionally without shortcuts, for comparison.

Kernel = tuple[Literal[1, 3, 5, 7, 9], Literal[1, 3, 5, 7, 9]]


class ResidualStack(nn.Module):
    """(B, C, bands, T) -> (B, last width, h, w); each block divides bands and T by the pool, rounded down."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int, settings: "ResidualStackSettings") -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        for given, width in pairwise([channels, *settings.widths]):
            layers = (
                BasicBlock(given, width, 1, settings.kernel)
                if settings.residual
                else _plain(given, width, settings.kernel)
            )
            self.blocks.append(nn.Sequential(layers, nn.MaxPool2d(settings.pool)))
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.blocks(spectrogram)
        return map


def _plain(given: int, width: int, kernel: Kernel) -> nn.Sequential:
    """Creates the two convolutions of a residual block without its shortcut."""
    around = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(given, width, kernel, padding=around, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, kernel, padding=around, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class ResidualStackSettings(Loadable):
    """Residual blocks of two convolutions (He et al. 2015), each followed by a pool."""

    kind: Literal["residual_stack"] = "residual_stack"
    widths: tuple[Annotated[int, Field(ge=4, le=1024)], ...] = Field(
        (64, 128, 128, 64), min_length=1, max_length=8
    )
    """Channels of each block, 1 to 8 blocks of 4 to 1,024."""
    pool: Pool = (2, 2)
    """Size of the pool after each block, in bands and frames, 1 to 16 each."""
    kernel: Kernel = (3, 3)
    """Size of the kernels in bands and frames, odd, 1 to 9."""
    residual: bool = True
    """Whether blocks have a shortcut; if not, the network has the same number of convolutions without
    them."""

    def build(self, channels: int, bands: int, frames: int) -> ResidualStack:
        """Creates the network for spectrograms (B, channels, bands, frames).

        Raises RequestError if they are smaller than the product of the pools.
        """
        check_least(self.kind, (bands, frames), least((self.pool,) * len(self.widths)))
        return self.with_pretrained(ResidualStack(channels, self))


# Filters along frequency, with the maximum over frames, and filters along time, with the maximum over bands.
#
# The time and frequency network of H. Kim for the course GCT634 (KAIST, 2021): 96 bands and 188 frames become
# 25 positions of tall filters and 63 of long ones, with 32 channels each; a layer from these 2,816 values to
# 256 is the embedding of that work. With two kernels of each sort: `tall: [48, 24]`, `long: [64, 32]`.

Kernels = tuple[Annotated[int, Field(ge=1, le=1024)], ...]


class TimeFrequency(nn.Module):
    """(B, C, bands, T) -> (B, width, positions): of tall kernels along bands, then of long kernels along
    time."""

    pooling: Pooling = "flatten"

    def __init__(self, channels: int, width: int, tall: Kernels, long: Kernels) -> None:
        super().__init__()
        self.tall = nn.ModuleList(block(channels, width, (size, 1)) for size in tall)
        self.long = nn.ModuleList(block(channels, width, (1, size)) for size in long)
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        pitches = [layers(spectrogram).amax(3) for layers in self.tall]
        times = [layers(spectrogram).amax(2) for layers in self.long]
        return torch.cat([*pitches, *times], dim=2)


class TimeFrequencySettings(Loadable):
    """One layer of filters along frequency and of filters along time, in parallel."""

    kind: Literal["time_frequency"] = "time_frequency"
    width: int = Field(32, ge=4, le=512)
    """Channels of each kernel, 4 to 512."""
    tall: Kernels = Field((48,), min_length=1, max_length=8)
    """Lengths in bands of 1 to 8 kernels along frequency, each one frame wide."""
    long: Kernels = Field((64,), min_length=1, max_length=8)
    """Lengths in frames of 1 to 8 kernels along time, each one band high."""

    def build(self, channels: int, bands: int, frames: int) -> TimeFrequency:
        """Creates the network for spectrograms of exactly (B, channels, bands, frames).

        Raises RequestError if they are smaller than the kernels.
        """
        # With a zero at each end and a pool of 2, a kernel of length k needs k - 1 positions.
        check_least(self.kind, (bands, frames), (max(self.tall) - 1, max(self.long) - 1))
        return self.with_pretrained(TimeFrequency(channels, self.width, self.tall, self.long))


# Seven convolutions with pools of 2, the maximum of the last map, and a dense layer.
#
# Won, Ferraro, Bogdanov and Serra 2020, "Evaluation of CNN-based automatic music tagging models", and their
# published code. With batch norm of the input and a layer to 50 tags (after dropout of 0.5,
# `embedding.dropout`), it has 3,687,348 weights, and 12,104,244 with shortcuts.

_GROWTH = (1, 1, 2, 2, 2, 2, 4)


class ShortChunkCNN(nn.Module):
    """(B, C, bands, T) -> (B, 4 x width)."""

    pooling: Pooling = "mean"  # of one position: the network computes the maximum itself

    def __init__(self, channels: int, width: int, residual: bool) -> None:
        super().__init__()
        widths = pairwise([channels, *(width * factor for factor in _GROWTH)])
        self.blocks = nn.Sequential(
            *(StridedResidual(*both) if residual else block(*both) for both in widths)
        )
        last = width * _GROWTH[-1]
        self.dense = nn.Sequential(nn.Linear(last, last), nn.BatchNorm1d(last), nn.ReLU(inplace=True))
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        return cast(Tensor, self.dense(self.blocks(spectrogram).amax((2, 3))))


class StridedResidual(nn.Module):
    """Two 3 x 3 convolutions, the first with stride 2, and a third with stride 2 as shortcut."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(given, width, 3, 2, 1), nn.BatchNorm2d(width))
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width))
        self.shortcut = nn.Sequential(nn.Conv2d(given, width, 3, 2, 1), nn.BatchNorm2d(width))
        self.relu = nn.ReLU()

    def forward(self, map: Tensor) -> Tensor:
        """Maps (B, given, h, w) to (B, width, h / 2, w / 2), rounded up."""
        return cast(Tensor, self.relu(self.second(self.relu(self.first(map))) + self.shortcut(map)))


class ShortChunkCNNSettings(Loadable):
    """Short-chunk CNN for clips of a few seconds and 128 bands (Won et al. 2020), among the best taggers of
    mel
    spectrograms there."""

    kind: Literal["short_chunk_cnn"] = "short_chunk_cnn"
    width: int = Field(128, ge=4, le=512)
    """Channels of the first two layers, 4 to 512; the next four have twice, the last four times as many."""
    residual: bool = False
    """Whether each layer is a residual block of two convolutions, with strides instead of pools."""

    def build(self, channels: int, bands: int, frames: int) -> ShortChunkCNN:
        """Creates the network for spectrograms (B, channels, bands, frames).

        Raises RequestError if there are fewer than 128 bands or frames; with `residual`, any number is
        allowed.
        """
        if not self.residual:
            check_least(self.kind, (bands, frames), least(((2, 2),) * len(_GROWTH)))
        return self.with_pretrained(ShortChunkCNN(channels, self.width, self.residual))


# The front end of musicnn, also as input of other backbones.
#
# Pons and Serra 2019; see `Musicnn` for the whole network.

_HEIGHTS = (0.4, 0.7)
"""Heights of the filters for timbre, as fractions of the bands."""
_LENGTHS = (128, 64, 32)
"""Lengths of the filters for rhythm, in frames."""
NEAR = 7
"""Length of the filters for timbre, and of those of the layers after the front end, in frames."""


class Front(nn.Module):
    """(B, C, bands, T) -> (B, filters, T): the output of each filter at each frame, the maximum over
    bands."""

    def __init__(self, channels: int, bands: int, timbral: int, temporal: int) -> None:
        super().__init__()
        tall = [(int(share * bands), NEAR, timbral) for share in _HEIGHTS if timbral]
        long = [(1, frames, temporal) for frames in _LENGTHS if temporal]
        self.filters = nn.ModuleList(_filters(channels, *shape) for shape in tall + long)
        self.width = sum(count for _, _, count in tall + long)

    def forward(self, spectrogram: Tensor) -> Tensor:
        return torch.cat([filters(spectrogram).amax(2) for filters in self.filters], dim=1)


def _filters(channels: int, bands: int, frames: int, count: int) -> nn.Sequential:
    """Creates filters that keep the number of frames; with an even length, padding is longer at the end, as
    in
    TensorFlow."""
    before = (frames - 1) // 2
    return nn.Sequential(
        nn.ZeroPad2d((before, frames - 1 - before, 0, 0)),
        nn.Conv2d(channels, count, (bands, frames)),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(count),
    )


class MusicnnFront(nn.Module):
    """(B, C, bands, T) -> (B, filters, 1, T), a map with one band for other backbones."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int, bands: int, settings: "FilterSettings") -> None:
        super().__init__()
        self.front = Front(channels, bands, settings.timbral, settings.temporal)
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.front(spectrogram)
        return map.unsqueeze(2)


class FilterSettings(Loadable):
    """Base of the settings of networks with the front end of musicnn."""

    timbral: int = Field(204, ge=0, le=1024)
    """Number of filters for timbre of each height (0.4 and 0.7 of the bands, 7 frames long), 0 to 1,024."""
    temporal: int = Field(51, ge=0, le=1024)
    """Number of filters for rhythm of each length (128, 64 and 32 frames, one band high), 0 to 1,024."""

    @model_validator(mode="after")
    def _has_filters(self) -> Self:
        if not self.timbral + self.temporal:
            raise ValueError("timbral and temporal cannot both be 0, because no filter would be left.")
        return self

    def check_size(self, bands: int, frames: int) -> None:
        """Raises RequestError if there are fewer than 3 bands and filters for timbre."""
        check_least(self.kind, (bands, frames), (3 if self.timbral else 1, 1))


class MusicnnFrontSettings(FilterSettings):
    """The front end of musicnn: filters for timbre and rhythm, without the later layers."""

    kind: Literal["musicnn_front"] = "musicnn_front"

    def build(self, channels: int, bands: int, frames: int) -> MusicnnFront:
        """Creates the network for spectrograms (B, channels, bands, any number of frames).

        Raises RequestError if there are fewer than 3 bands.
        """
        self.check_size(bands, frames)
        return self.with_pretrained(MusicnnFront(channels, bands, self))


# musicnn: tall filters for timbre and long filters for rhythm, with the maximum over bands.
#
# Pons and Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging", and their
# published code, where ReLU is before batch norm and filters for rhythm have one band. With 96 bands, batch
# norm of the input and a layer to 50 tags (after dropout of 0.5, `embedding.dropout`), it has 787,159
# weights, 777,107 of them here.


class Musicnn(nn.Module):
    """(B, C, bands, T) -> (B, dense): front end, three layers over time, maximum and mean of all, dense
    layer."""

    pooling: Pooling = "mean"  # of one position: the network pools itself

    def __init__(self, channels: int, bands: int, settings: "MusicnnSettings") -> None:
        super().__init__()
        self.front = Front(channels, bands, settings.timbral, settings.temporal)
        widths = (self.front.width, settings.width, settings.width)
        self.middle = nn.ModuleList(_over_time(given, settings.width) for given in widths)
        pooled = 2 * (self.front.width + len(self.middle) * settings.width)
        self.back = nn.Sequential(
            nn.BatchNorm1d(pooled),
            nn.Dropout(settings.dropout),
            nn.Linear(pooled, settings.dense),
            nn.ReLU(inplace=True),
            nn.BatchNorm1d(settings.dense),
        )
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        front = self.front(spectrogram)
        map = self.middle[0](front)
        maps = [front, map]
        for layer in self.middle[1:]:
            map = layer(map) + map
            maps.append(map)
        values = torch.cat(maps, dim=1).float()  # half precision cannot sum many frames accurately
        vector: Tensor = self.back(torch.cat([values.amax(2), values.mean(2)], dim=1))
        return vector


def _over_time(given: int, width: int) -> nn.Sequential:
    """Creates a layer (B, given, T) -> (B, width, T)."""
    return nn.Sequential(
        nn.Conv1d(given, width, NEAR, padding=NEAR // 2), nn.ReLU(inplace=True), nn.BatchNorm1d(width)
    )


class MusicnnSettings(FilterSettings):
    """musicnn (Pons and Serra 2019): filters for timbre and rhythm, three layers over time, and a dense layer
    on the
    maximum and mean over time."""

    kind: Literal["musicnn"] = "musicnn"
    width: int = Field(64, ge=4, le=1024)
    """Channels of the three layers over time, 4 to 1,024."""
    dense: int = Field(200, ge=4, le=4096)
    """Size of the dense layer, 4 to 4,096."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Probability of dropout before the dense layer in training, 0 to below 1."""

    def build(self, channels: int, bands: int, frames: int) -> Musicnn:
        """Creates the network for spectrograms (B, channels, bands, any number of frames).

        Raises RequestError if there are fewer than 3 bands.
        """
        self.check_size(bands, frames)
        return self.with_pretrained(Musicnn(channels, bands, self))


# Two backbones in sequence: the input of the second is the map of the first.


class Stacked(nn.Module):
    """(B, C, bands, T) -> the map of the second backbone."""

    def __init__(self, front: nn.Module, stack: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.stack = stack
        self.pooling = pooling_of(stack)

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.stack(as_spectrogram(self.front(spectrogram)))
        return map


def as_spectrogram(map: Tensor) -> Tensor:
    """(B, F), (B, F, T) or (B, F, bands, T) -> (B, F, bands, T), with one band or frame if there is none."""
    if map.ndim == 2:
        return map[..., None, None]
    return map[:, :, None] if map.ndim == 3 else map


class StackedSettings(Loadable):
    """Two backbones in sequence; by default the front end of musicnn, then four residual blocks over time."""

    model_config = ConfigDict(defer_build=True)  # its fields are of the family that is still being defined

    kind: Literal["stacked"] = "stacked"
    front: Annotated[BaseBackboneSettings, BACKBONES] = MusicnnFrontSettings()
    """The first backbone, whose input is the spectrogram."""
    stack: Annotated[BaseBackboneSettings, BACKBONES] = ResidualStackSettings(pool=(1, 2), kernel=(1, 3))
    """The second backbone, whose input is the map of the first (one band with musicnn_front)."""

    def build(self, channels: int, bands: int, frames: int) -> Stacked:
        """Creates the network for spectrograms (B, channels, bands, frames).

        Raises RequestError if the map of the first backbone is too small for the second.
        """
        front = self.front.build(channels, bands, frames)
        with torch.no_grad(), evaluating(front):
            given = as_spectrogram(front(torch.zeros(2, channels, bands, frames))).shape[1:]
        try:
            stack = self.stack.build(*given)
        except TooSmallError:
            raise RequestError(
                f"backbone.stack: the output of {self.front.kind} is too small for {self.stack.kind}: "
                f"{given[0]} channels of {given[1]} bands x {given[2]} frames. Use smaller pools in the "
                "stack (backbone.stack.pool: [1, 2] keeps the bands), or another front or stack."
            ) from None
        return self.with_pretrained(Stacked(front, stack))
