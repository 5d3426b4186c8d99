"""Networks for music tagging: three of a course at KAIST, short-chunk CNN, musicnn."""

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

# Three convolutions over time with every band as a channel: what taggers of music start from.
#
# The baseline of the course GCT634 (KAIST, 2021). With 96 bands, batch norm on the input and a layer to 50
# tags it has 17,300 weights: 15,648 here, 2 in the input's batch norm and 1,650 in the last layer.


class CNN1D(nn.Module):
    """(B, C, bands, T) -> (B, width, about T / 27): 188 frames become 64, 22 and 8."""

    pooling: Pooling = "mean"

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_block(rows, width), _block(width, width), _block(width, width))
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.blocks(spectrogram.flatten(1, 2))
        return map


def _block(given: int, width: int) -> nn.Sequential:
    """Three zeros at either end make four frames more; the pool leaves a third, and never none."""
    return nn.Sequential(
        nn.Conv1d(given, width, 3, padding=3),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool1d(3),
    )


class CNN1DSettings(Loadable):
    """Three convolutions over time alone, averaged: very small, the least a tagger should beat."""

    kind: Literal["cnn1d"] = "cnn1d"
    width: int = Field(32, ge=4, le=1024)
    """Channels of each layer, and numbers that come out."""

    def build(self, channels: int, bands: int, frames: int) -> CNN1D:
        """For pictures (B, channels, bands, any number of frames)."""
        return self.with_pretrained(CNN1D(channels * bands, self.width))


# Four convolutions over bands and frames, pooled so hard that three seconds end in one place.
#
# The two-dimensional network of the course GCT634 (KAIST, 2021). At 96 bands and 188 frames its maps are 24
# x 47, 8 x 15, 2 x 5 and 1 x 1; with batch norm on the input and a layer to 50 tags it has 299,892 weights:
# 296,640 here, 2 in the input's batch norm and 3,250 in the last layer.

Pools = tuple[Pool, Pool, Pool, Pool]


class CNN2D(nn.Module):
    """(B, C, bands, T) -> (B, width, bands / 72, T / 180) with the usual pools, rounded down."""

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
    """Four convolutions with large pools, for pictures of about 96 bands and three seconds."""

    kind: Literal["cnn2d"] = "cnn2d"
    width: int = Field(64, ge=4, le=512)
    """Channels of the first and the last layer; the two between have twice as many."""
    pools: Pools = ((4, 4), (3, 3), (3, 3), (2, 5))
    """Bands and frames that become one behind each layer."""

    def build(self, channels: int, bands: int, frames: int) -> CNN2D:
        """For pictures (B, channels, bands, frames); raises RequestError where the pools leave nothing."""
        check_least(self.kind, (bands, frames), least(self.pools))
        return self.with_pretrained(CNN2D(channels, self.width, self.pools))


# Six convolutions, each on half the map of the one before, with dropout on what comes out.
#
# H. Kim's deeper tagger for the course GCT634 (KAIST, 2021): 96 bands and 188 frames end in 64 channels of
# 1 x 2 places, laid flat to 128 numbers.

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
    """Six convolutions, wide in the middle, each on half the map of the one before."""

    kind: Literal["deep_cnn"] = "deep_cnn"
    width: int = Field(64, ge=4, le=256)
    """Channels of the first and the last layer; the middle has four times as many."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Share of the last map's values set to 0 while training."""

    def build(self, channels: int, bands: int, frames: int) -> DeepCNN:
        """For pictures (B, channels, at least 64, at least 64); raises RequestError for smaller ones."""
        check_least(self.kind, (bands, frames), least(_POOLS))
        return self.with_pretrained(DeepCNN(channels, self.width, self.dropout))


# Residual blocks, each followed by a pool; with their shortcuts, or without, to see what those are worth.

Kernel = tuple[Literal[1, 3, 5, 7, 9], Literal[1, 3, 5, 7, 9]]


class ResidualStack(nn.Module):
    """(B, C, bands, T) -> (B, last width, h, w): bands and T over the pool once a block, rounded down."""

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
    """The two convolutions of a residual block with nothing beside them."""
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
    """Blocks of two convolutions beside a shortcut (He et al. 2015), each followed by a pool."""

    kind: Literal["residual_stack"] = "residual_stack"
    widths: tuple[Annotated[int, Field(ge=4, le=1024)], ...] = Field(
        (64, 128, 128, 64), min_length=1, max_length=8
    )
    """Channels of each block."""
    pool: Pool = (2, 2)
    """Bands and frames that become one behind each block."""
    kernel: Kernel = (3, 3)
    """Bands and frames, both odd, that a convolution sees at once."""
    residual: bool = True
    """Whether a shortcut leads around each block; without, it is a plain stack of as many convolutions."""

    def build(self, channels: int, bands: int, frames: int) -> ResidualStack:
        """For pictures (B, channels, bands, frames); raises RequestError where the pools leave nothing."""
        check_least(self.kind, (bands, frames), least((self.pool,) * len(self.widths)))
        return self.with_pretrained(ResidualStack(channels, self))


# Tall filters that see only pitch, at their loudest frame, beside long ones that see only time, at their
# loudest band.
#
# H. Kim's time and frequency network for the course GCT634 (KAIST, 2021): 96 bands and 188 frames give 25
# places of tall filters and 63 of long ones, with 32 channels each; a layer from these 2,816 numbers to 256
# makes the embedding of that work. With two kernels of either sort: `tall: [48, 24]`, `long: [64, 32]`.

Kernels = tuple[Annotated[int, Field(ge=1, le=1024)], ...]


class TimeFrequency(nn.Module):
    """(B, C, bands, T) -> (B, width, places): of tall kernels along bands, then of long ones in time."""

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
        return self.with_pretrained(TimeFrequency(channels, self.width, self.tall, self.long))


# Seven convolutions with small pools, the loudest place of the last map, and one layer on top.
#
# Won, Ferraro, Bogdanov and Serra 2020, "Evaluation of CNN-based automatic music tagging models", after their
# published code: with batch norm on the input and a layer to 50 tags (behind dropout of 0.5, the embedding's
# setting) 3,687,348 weights, and 12,104,244 with shortcuts.

_GROWTH = (1, 1, 2, 2, 2, 2, 4)


class ShortChunkCNN(nn.Module):
    """(B, C, bands, T) -> (B, 4 x width)."""

    pooling: Pooling = "mean"  # of one place: the network takes the largest value itself

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
    """Two 3 x 3 convolutions, the first of which halves the map, beside a third that does so too."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(given, width, 3, 2, 1), nn.BatchNorm2d(width))
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width))
        self.shortcut = nn.Sequential(nn.Conv2d(given, width, 3, 2, 1), nn.BatchNorm2d(width))
        self.relu = nn.ReLU()

    def forward(self, map: Tensor) -> Tensor:
        """(B, given, h, w) -> (B, width, h / 2, w / 2), rounded up."""
        return cast(Tensor, self.relu(self.second(self.relu(self.first(map))) + self.shortcut(map)))


class ShortChunkCNNSettings(Loadable):
    """A tagger for chunks of a few seconds and 128 bands, among the best from the mel spectrogram alone."""

    kind: Literal["short_chunk_cnn"] = "short_chunk_cnn"
    width: int = Field(128, ge=4, le=512)
    """Channels of the first two layers; then twice as many, and four times in the last."""
    residual: bool = False
    """Whether each layer is two convolutions beside a shortcut, with strides in place of pools."""

    def build(self, channels: int, bands: int, frames: int) -> ShortChunkCNN:
        """For pictures (B, channels, bands, frames).

        Raises RequestError below 128 bands or frames, which seven pools leave nothing of; shortcuts read any.
        """
        if not self.residual:
            check_least(self.kind, (bands, frames), least(((2, 2),) * len(_GROWTH)))
        return self.with_pretrained(ShortChunkCNN(channels, self.width, self.residual))


# The filters of musicnn alone: what a stack of other layers may read in place of the picture.
#
# Pons and Serra 2019; see `Musicnn` for the whole network.

_HEIGHTS = (0.4, 0.7)
"""Of a filter for timbre, as a share of the bands."""
_LENGTHS = (128, 64, 32)
"""Of a filter for rhythm, in frames."""
NEAR = 7
"""Frames that filters for timbre, and the layers behind the front, see at once."""


class Front(nn.Module):
    """(B, C, bands, T) -> (B, filters, T): how well each filter fits at each frame, at its best pitch."""

    def __init__(self, channels: int, bands: int, timbral: int, temporal: int) -> None:
        super().__init__()
        tall = [(int(share * bands), NEAR, timbral) for share in _HEIGHTS if timbral]
        long = [(1, frames, temporal) for frames in _LENGTHS if temporal]
        self.filters = nn.ModuleList(_filters(channels, *shape) for shape in tall + long)
        self.width = sum(count for _, _, count in tall + long)

    def forward(self, spectrogram: Tensor) -> Tensor:
        return torch.cat([filters(spectrogram).amax(2) for filters in self.filters], dim=1)


def _filters(channels: int, bands: int, frames: int, count: int) -> nn.Sequential:
    """As many frames out as in; of an even number of frames the longer half lies ahead, as in TensorFlow."""
    before = (frames - 1) // 2
    return nn.Sequential(
        nn.ZeroPad2d((before, frames - 1 - before, 0, 0)),
        nn.Conv2d(channels, count, (bands, frames)),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(count),
    )


class MusicnnFront(nn.Module):
    """(B, C, bands, T) -> (B, filters, 1, T), a map one band high that any stack can read."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int, bands: int, settings: "FilterSettings") -> None:
        super().__init__()
        self.front = Front(channels, bands, settings.timbral, settings.temporal)
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.front(spectrogram)
        return map.unsqueeze(2)


class FilterSettings(Loadable):
    """How many filters the front has."""

    timbral: int = Field(204, ge=0, le=1024)
    """Filters of each of the two heights, 0.4 and 0.7 of the bands, 7 frames long; 0: none."""
    temporal: int = Field(51, ge=0, le=1024)
    """Filters of each of the three lengths, 128, 64 and 32 frames, one band high; 0: none."""

    @model_validator(mode="after")
    def _hears(self) -> Self:
        if not self.timbral + self.temporal:
            raise ValueError("timbral and temporal cannot both be 0: no filter would be left.")
        return self

    def check_picture(self, bands: int, frames: int) -> None:
        """Raises RequestError below 3 bands, where a filter for timbre would have none."""
        check_least(self.kind, (bands, frames), (3 if self.timbral else 1, 1))


class MusicnnFrontSettings(FilterSettings):
    """Filters for timbre and for rhythm alone, without the layers of musicnn behind them."""

    kind: Literal["musicnn_front"] = "musicnn_front"

    def build(self, channels: int, bands: int, frames: int) -> MusicnnFront:
        """For pictures (B, channels, bands, any number of frames); raises RequestError below 3 bands."""
        self.check_picture(bands, frames)
        return self.with_pretrained(MusicnnFront(channels, bands, self))


# Filters shaped after music: tall ones for timbre, long ones for rhythm, at whatever pitch they fit best.
#
# Pons and Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging", after
# their published code, in which ReLU comes before batch norm and the filters for rhythm slide over single
# bands. With 96 bands, batch norm on the input and a layer to 50 tags (behind dropout of 0.5, the
# embedding's setting) it has 787,159 weights, 777,107 of them here.


class Musicnn(nn.Module):
    """(B, C, bands, T) -> (B, dense): front, three layers over time, maximum and mean of all, one layer."""

    pooling: Pooling = "mean"  # of one place: the network pools itself

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
        places = torch.cat(maps, dim=1).float()  # half precision is too coarse to add many frames up
        vector: Tensor = self.back(torch.cat([places.amax(2), places.mean(2)], dim=1))
        return vector


def _over_time(given: int, width: int) -> nn.Sequential:
    """(B, given, T) -> (B, width, T)."""
    return nn.Sequential(
        nn.Conv1d(given, width, NEAR, padding=NEAR // 2), nn.ReLU(inplace=True), nn.BatchNorm1d(width)
    )


class MusicnnSettings(FilterSettings):
    """Filters for timbre and for rhythm, three layers over time, and one on top of their maximum and mean."""

    kind: Literal["musicnn"] = "musicnn"
    width: int = Field(64, ge=4, le=1024)
    """Channels of the three layers over time."""
    dense: int = Field(200, ge=4, le=4096)
    """Numbers that come out."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Share of the pooled numbers set to 0 before the layer on top while training."""

    def build(self, channels: int, bands: int, frames: int) -> Musicnn:
        """For pictures (B, channels, bands, any number of frames); raises RequestError below 3 bands."""
        self.check_picture(bands, frames)
        return self.with_pretrained(Musicnn(channels, bands, self))


# A backbone behind another: the first reads the picture, the second the first one's map.


class Stacked(nn.Module):
    """(B, C, bands, T) -> what the stack makes of the front's map."""

    def __init__(self, front: nn.Module, stack: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.stack = stack
        self.pooling = pooling_of(stack)

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.stack(as_picture(self.front(spectrogram)))
        return map


def as_picture(map: Tensor) -> Tensor:
    """(B, F), (B, F, T) or (B, F, bands, T) -> (B, F, bands, T): one band, or one place, at least."""
    if map.ndim == 2:
        return map[..., None, None]
    return map[:, :, None] if map.ndim == 3 else map


class StackedSettings(Loadable):
    """A front and a stack: any backbone on the map of any other. As it stands: musical filters, then four
    residual blocks over time."""

    model_config = ConfigDict(defer_build=True)  # it holds kinds of its own family, which is still being read

    kind: Literal["stacked"] = "stacked"
    front: Annotated[BaseBackboneSettings, BACKBONES] = MusicnnFrontSettings()
    """The backbone that reads the picture."""
    stack: Annotated[BaseBackboneSettings, BACKBONES] = ResidualStackSettings(pool=(1, 2), kernel=(1, 3))
    """The backbone that reads the front's map; of one band behind musicnn_front."""

    def build(self, channels: int, bands: int, frames: int) -> Stacked:
        """For pictures (B, channels, bands, frames); raises RequestError where the stack cannot read what
        the front gives."""
        front = self.front.build(channels, bands, frames)
        with torch.no_grad(), evaluating(front):
            given = as_picture(front(torch.zeros(2, channels, bands, frames))).shape[1:]
        try:
            stack = self.stack.build(*given)
        except TooSmallError:
            raise RequestError(
                f"backbone.stack: {self.stack.kind} cannot read what {self.front.kind} gives: "
                f"{given[0]} channels of {given[1]} bands x {given[2]} frames. Pool less in the stack "
                "(backbone.stack.pool: [1, 2] keeps the bands), or take another front or stack."
            ) from None
        return self.with_pretrained(Stacked(front, stack))
