"""The picture laid flat: the embedding's last layer is then a linear projection of it, and all there is.

The plainest embedding of the course GCT634 (KAIST, 2021): from 96 bands x 188 frames to 4,096 numbers
73,928,704 weights (18,048 x 4,096 and 4,096 biases), to which batch norm on the input adds 2.
"""

from typing import Literal

from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.pooling import Pooling


class LinearProjection(nn.Module):
    """(B, C, bands, T) -> (B, C x bands x T); no weights of its own."""

    pooling: Pooling = "flatten"

    def forward(self, picture: Tensor) -> Tensor:
        return picture.flatten(1)


class LinearProjectionSettings(Loadable):
    """No network at all: the embedding is linear in the picture, whose every cell has its own weights."""

    kind: Literal["linear_projection"] = "linear_projection"

    def build(self, channels: int, bands: int, frames: int) -> LinearProjection:
        """For pictures (B, channels, bands, frames), all of one size."""
        return self.begun(LinearProjection())
