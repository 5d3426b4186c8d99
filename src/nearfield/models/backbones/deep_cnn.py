"""Six convolutions, each on half the map of the one before, with dropout on what comes out.

H. Kim's deeper tagger for the course GCT634 (KAIST, 2021): 96 bands and 188 frames end in 64 channels of
1 x 2 places, laid flat to 128 numbers.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.backbones.blocks import Pool, block
from nearfield.models.backbones.least import check_least, least
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling

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

    def forward(self, picture: Tensor) -> Tensor:
        map: Tensor = self.dropout(self.blocks(picture))
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
        return self.begun(DeepCNN(channels, self.width, self.dropout))
