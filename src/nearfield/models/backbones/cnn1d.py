"""Three convolutions over time with every band as a channel: what taggers of music start from.

The baseline of the course GCT634 (KAIST, 2021). With 96 bands, batch norm on the input and a layer to 50 tags
it has 17,300 weights: 15,648 here, 2 in the input's batch norm and 1,650 in the last layer.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling


class CNN1D(nn.Module):
    """(B, C, bands, T) -> (B, width, about T / 27): 188 frames become 64, 22 and 8."""

    pooling: Pooling = "mean"

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_block(rows, width), _block(width, width), _block(width, width))
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        map: Tensor = self.blocks(picture.flatten(1, 2))
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
        return self.begun(CNN1D(channels * bands, self.width))
