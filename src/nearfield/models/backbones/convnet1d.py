"""Three convolutions over time, with every band as a channel: Groeger's ConvNet1D."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.backbones.least import check_least
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling


class ConvNet1D(nn.Module):
    """(B, C, bands, T) -> (B, 128, T / 8), rounded down."""

    pooling: Pooling = "flatten"

    def __init__(self, rows: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            block(rows, 64, 2, dropout), block(64, 64, 2, dropout), block(64, 128, 3, dropout)
        )
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        map: Tensor = self.blocks(picture.flatten(1, 2))
        return map


def block(given: int, width: int, size: int, dropout: float) -> nn.Sequential:
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
        return self.begun(ConvNet1D(channels * bands, self.dropout))
