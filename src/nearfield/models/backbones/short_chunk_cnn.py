"""Seven convolutions with small pools, the loudest place of the last map, and one layer on top.

Won, Ferraro, Bogdanov and Serra 2020, "Evaluation of CNN-based automatic music tagging models", after their
published code: with batch norm on the input and a layer to 50 tags (behind dropout of 0.5, the embedding's
setting) 3,687,348 weights, and 12,104,244 with shortcuts.
"""

from itertools import pairwise
from typing import Literal, cast

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.backbones.blocks import block
from nearfield.models.backbones.least import check_least, least
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling

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

    def forward(self, picture: Tensor) -> Tensor:
        return cast(Tensor, self.dense(self.blocks(picture).amax((2, 3))))


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
        return self.begun(ShortChunkCNN(channels, self.width, self.residual))
