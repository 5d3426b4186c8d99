"""Two recurrent layers that read the picture frame by frame: Groeger's GRUNet."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling


class Recurrent(nn.Module):
    """(B, C, bands, T) -> (B, 2 x width, T): what the second layer says at each frame."""

    pooling: Pooling = "last"

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.first = nn.GRU(rows, width, batch_first=True)
        self.second = nn.GRU(width, 2 * width, batch_first=True)
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        sequence, _ = self.first(picture.flatten(1, 2).transpose(1, 2))
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
        return self.begun(Recurrent(channels * bands, self.width))
