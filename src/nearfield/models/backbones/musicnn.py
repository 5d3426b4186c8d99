"""Filters shaped after music: tall ones for timbre, long ones for rhythm, at whatever pitch they fit best.

Pons and Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging", after their
published code, in which ReLU comes before batch norm and the filters for rhythm slide over single bands. With
96 bands, batch norm on the input and a layer to 50 tags (behind dropout of 0.5, the embedding's setting) it
has 787,159 weights, 777,107 of them here.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.backbones.least import check_least
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling

_HEIGHTS = (0.4, 0.7)
"""Of a filter for timbre, as a share of the bands."""
_LENGTHS = (128, 64, 32)
"""Of a filter for rhythm, in frames."""
_NEAR = 7
"""Frames that filters for timbre, and the layers behind the front, see at once."""


class Front(nn.Module):
    """(B, C, bands, T) -> (B, filters, T): how well each filter fits at each frame, at its best pitch."""

    def __init__(self, channels: int, bands: int, timbral: int, temporal: int) -> None:
        super().__init__()
        tall = [(int(share * bands), _NEAR, timbral) for share in _HEIGHTS if timbral]
        long = [(1, frames, temporal) for frames in _LENGTHS if temporal]
        self.filters = nn.ModuleList(_filters(channels, *shape) for shape in tall + long)
        self.width = sum(count for _, _, count in tall + long)

    def forward(self, picture: Tensor) -> Tensor:
        return torch.cat([filters(picture).amax(2) for filters in self.filters], dim=1)


def _filters(channels: int, bands: int, frames: int, count: int) -> nn.Sequential:
    """As many frames out as in; of an even number of frames the longer half lies ahead, as in TensorFlow."""
    before = (frames - 1) // 2
    return nn.Sequential(
        nn.ZeroPad2d((before, frames - 1 - before, 0, 0)),
        nn.Conv2d(channels, count, (bands, frames)),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(count),
    )


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

    def forward(self, picture: Tensor) -> Tensor:
        front = self.front(picture)
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
        nn.Conv1d(given, width, _NEAR, padding=_NEAR // 2), nn.ReLU(inplace=True), nn.BatchNorm1d(width)
    )


class MusicnnSettings(Loadable):
    """Filters for timbre and for rhythm, three layers over time, and one on top of their maximum and mean."""

    kind: Literal["musicnn"] = "musicnn"
    timbral: int = Field(204, ge=0, le=1024)
    """Filters of each of the two heights, 0.4 and 0.7 of the bands, 7 frames long; 0: none."""
    temporal: int = Field(51, ge=0, le=1024)
    """Filters of each of the three lengths, 128, 64 and 32 frames, one band high; 0: none."""
    width: int = Field(64, ge=4, le=1024)
    """Channels of the three layers over time."""
    dense: int = Field(200, ge=4, le=4096)
    """Numbers that come out."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Share of the pooled numbers set to 0 before the layer on top while training."""

    @model_validator(mode="after")
    def _hears(self) -> Self:
        if not self.timbral + self.temporal:
            raise ValueError("timbral and temporal cannot both be 0: no filter would be left.")
        return self

    def build(self, channels: int, bands: int, frames: int) -> Musicnn:
        """For pictures (B, channels, bands, any number of frames); raises RequestError below 3 bands."""
        check_least(self.kind, (bands, frames), (3 if self.timbral else 1, 1))
        return self.begun(Musicnn(channels, bands, self))
