"""Fully connected layers over the whole picture laid flat: the plainest encoder, or a linear projection."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling


class Dense(nn.Module):
    """(B, C, bands, T) -> (B, last width); with no widths (B, C x bands x T)."""

    pooling: Pooling = "flatten"

    def __init__(self, values: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for given, width in pairwise([values, *widths]):
            self.layers.extend([nn.Linear(given, width), nn.ReLU(inplace=True)])
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        map: Tensor = self.layers(picture.flatten(1))
        return map


class DenseSettings(Loadable):
    """Knows nothing of time or pitch: what any other backbone should beat."""

    kind: Literal["dense"] = "dense"
    widths: tuple[Annotated[int, Field(ge=2, le=8192)], ...] = (256,)
    """Values of each layer, each followed by a ReLU; none: the embedding is a linear projection."""

    def build(self, channels: int, bands: int, frames: int) -> Dense:
        """For pictures of exactly (B, channels, bands, frames)."""
        return self.begun(Dense(channels * bands * frames, self.widths))
