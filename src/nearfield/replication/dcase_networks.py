"""The four networks of Groeger 2020 for DCASE 2018 task 5."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable, check_least
from nearfield.models.layers import Pooling, initialise

# ConvNet1D of Groeger: three convolutions over time with bands as channels.


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
    """Creates a block; the convolution keeps the number of frames (odd padding is at the end), the pool
    halves it."""
    return nn.Sequential(
        nn.ConstantPad1d(((size - 1) // 2, size // 2), 0.0),
        nn.Conv1d(given, width, size),
        nn.ReLU(inplace=True),
        nn.MaxPool1d(2),
        nn.Dropout(dropout),
    )


class ConvNet1DSettings(Loadable):
    """ConvNet1D of Groeger 2020: three convolutions over time, small and fast."""

    kind: Literal["convnet1d"] = "convnet1d"
    dropout: float = Field(0.3, ge=0.0, lt=1.0)
    """Probability of dropout after each block in training, 0 to below 1."""

    def build(self, channels: int, bands: int, frames: int) -> ConvNet1D:
        """Creates the network for spectrograms (B, channels, bands, at least 8).

        Raises RequestError if there are fewer than 8 frames.
        """
        check_least(self.kind, (bands, frames), (1, 8))
        return self.with_pretrained(ConvNet1D(channels * bands, self.dropout))


# ConvNet2D of Groeger: three convolutions over bands and time, each with pooling and batch norm.
#
# The original omits batch norm at inference and applies dropout to the embedding. Here, batch norm is always
# used, and dropout (`embedding.dropout`) is before the last layer.


class ConvNet2D(nn.Module):
    """(B, C, bands, T) -> (B, 64, bands / 8, T / 8), rounded up at each halving."""

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
    """ConvNet2D of Groeger 2020: three convolutions over bands and time, flattened, for clips of one
    length."""

    kind: Literal["convnet2d"] = "convnet2d"

    def build(self, channels: int, bands: int, frames: int) -> ConvNet2D:
        """Creates the network for spectrograms (B, channels, bands, frames) of any size."""
        return self.with_pretrained(ConvNet2D(channels))


# ConvGRUNet of Groeger: four convolutions that halve time, then a recurrent layer.
#
# In the original, the recurrent layer runs over time and bands, about 4,100 steps; here each step is one
# frame with
# all bands.


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
    """Creates a block that keeps the bands and halves the frames."""
    return nn.Sequential(
        nn.Conv2d(given, width, size, padding=size // 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, (1, 2), padding=1),
        nn.BatchNorm2d(width),
    )


class ConvGRUSettings(Loadable):
    """ConvGRUNet of Groeger 2020: four convolutions, then a gated recurrent layer over time."""

    kind: Literal["conv_gru"] = "conv_gru"
    width: int = Field(32, ge=4, le=1024)
    """Size of the state of the recurrent layer, 4 to 1,024."""

    def build(self, channels: int, bands: int, frames: int) -> ConvGRU:
        """Creates the network for spectrograms (B, channels, bands, frames) of any size."""
        return self.with_pretrained(ConvGRU(channels, bands, self.width))


# GRUNet of Groeger: two recurrent layers over frames.


class Recurrent(nn.Module):
    """(B, C, bands, T) -> (B, 2 x width, T): the output of the second layer at each frame."""

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
    """GRUNet of Groeger 2020: two layers of gated recurrent units (Cho et al. 2014); the output is the last
    frame,
    unless `embedding.pooling` is set."""

    kind: Literal["gru"] = "gru"
    width: int = Field(64, ge=4, le=1024)
    """Size of the state of the first layer, 4 to 1,024; the second has twice the size."""

    def build(self, channels: int, bands: int, frames: int) -> Recurrent:
        """Creates the network for spectrograms (B, channels, bands, any number of frames)."""
        return self.with_pretrained(Recurrent(channels * bands, self.width))
