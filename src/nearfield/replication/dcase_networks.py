"""The four networks of Groeger 2020 for DCASE 2018 task 5."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable, check_least
from nearfield.models.layers import Pooling, initialise

# Three convolutions over time, with every band as a channel: Groeger's ConvNet1D.


class ConvNet1D(nn.Module):
    """(B, C, bands, T) -> (B, 128, T / 8), rounded down."""

    pooling: Pooling = "flatten"

    def __init__(self, rows: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            block_1d(rows, 64, 2, dropout), block_1d(64, 64, 2, dropout), block_1d(64, 128, 3, dropout)
        )
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.blocks(spectrogram.flatten(1, 2))
        return map


def block_1d(given: int, width: int, size: int, dropout: float) -> nn.Sequential:
    """The convolution keeps the number of frames (an odd zero of padding at the end), the pool halves it."""
    return nn.Sequential(
        nn.ConstantPad1d(((size - 1) // 2, size // 2), 0.0),
        nn.Conv1d(given, width, size),
        nn.ReLU(inplace=True),
        nn.MaxPool1d(2),
        nn.Dropout(dropout),
    )


class ConvNet1DSettings(Loadable):
    """Convolutions over time alone; small and quick, with the bands' neighbourhood unseen."""

    kind: Literal["convnet1d"] = "convnet1d"
    dropout: float = Field(0.3, ge=0.0, lt=1.0)
    """Share of values set to 0 after each block while training."""

    def build(self, channels: int, bands: int, frames: int) -> ConvNet1D:
        """For pictures (B, channels, bands, at least 8); raises RequestError below 8 frames."""
        check_least(self.kind, (bands, frames), (1, 8))
        return self.with_pretrained(ConvNet1D(channels * bands, self.dropout))


# Three convolutions over bands and time, each pooled and normalized: Groeger's ConvNet2D.
#
# There batch norm was left out at inference and dropout sat on the finished embedding; here batch norm is
# always on, and the embedding's own `dropout` setting stands before its last layer.


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

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.blocks(spectrogram)
        return map


class ConvNet2DSettings(Loadable):
    """A small network for small pictures; its flattened end needs clips of one length."""

    kind: Literal["convnet2d"] = "convnet2d"

    def build(self, channels: int, bands: int, frames: int) -> ConvNet2D:
        """For pictures (B, channels, bands, frames) of any size."""
        return self.with_pretrained(ConvNet2D(channels))


# Four convolutions that halve time, then a recurrent layer over what is left: Groeger's ConvGRUNet.
#
# There the map was reshaped so that the recurrence ran along time and bands laid end to end, some 4,100
# steps; here each step is one frame with all its bands.


class ConvGRU(nn.Module):
    """(B, C, bands, T) -> (B, width, T / 16), rounded up at each halving."""

    pooling: Pooling = "flatten"

    def __init__(self, channels: int, bands: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            half_block(channels, 16, 7),
            half_block(16, 32, 5),
            half_block(32, 32, 3),
            half_block(32, 32, 3),
        )
        self.recurrent = nn.GRU(32 * bands, width, batch_first=True)
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        frames = self.blocks(spectrogram).flatten(1, 2).transpose(1, 2)
        sequence, _ = self.recurrent(frames)
        map: Tensor = sequence.transpose(1, 2)
        return map


def half_block(given: int, width: int, size: int) -> nn.Sequential:
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
        return self.with_pretrained(ConvGRU(channels, bands, self.width))


# Two recurrent layers that read the picture frame by frame: Groeger's GRUNet.


class Recurrent(nn.Module):
    """(B, C, bands, T) -> (B, 2 x width, T): what the second layer says at each frame."""

    pooling: Pooling = "last"

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.first = nn.GRU(rows, width, batch_first=True)
        self.second = nn.GRU(width, 2 * width, batch_first=True)
        initialise(self, "backbone")

    def forward(self, spectrogram: Tensor) -> Tensor:
        sequence, _ = self.first(spectrogram.flatten(1, 2).transpose(1, 2))
        sequence, _ = self.second(sequence)
        map: Tensor = sequence.transpose(1, 2)
        return map


class GRUSettings(Loadable):
    """Gated recurrent units (Cho et al. 2014), read off at the last frame unless pooled otherwise."""

    kind: Literal["gru"] = "gru"
    width: int = Field(64, ge=4, le=1024)
    """Values of the first layer's state; the second layer's has twice as many."""

    def build(self, channels: int, bands: int, frames: int) -> Recurrent:
        """For pictures (B, channels, bands, any number of frames)."""
        return self.with_pretrained(Recurrent(channels * bands, self.width))
