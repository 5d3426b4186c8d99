"""Filters shaped after music: tall ones for timbre, long ones for rhythm, at whatever pitch they fit best.

Pons and Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging", after their
published code, in which ReLU comes before batch norm and the filters for rhythm slide over single bands. With
96 bands, batch norm on the input and a layer to 50 tags (behind dropout of 0.5, the embedding's setting) it
has 787,159 weights, 777,107 of them here.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.musicnn_front import NEAR, FilterSettings, Front
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling


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
        nn.Conv1d(given, width, NEAR, padding=NEAR // 2), nn.ReLU(inplace=True), nn.BatchNorm1d(width)
    )


class MusicnnSettings(FilterSettings):
    """Filters for timbre and for rhythm, three layers over time, and one on top of their maximum and mean."""

    kind: Literal["musicnn"] = "musicnn"
    width: int = Field(64, ge=4, le=1024)
    """Channels of the three layers over time."""
    dense: int = Field(200, ge=4, le=4096)
    """Numbers that come out."""
    dropout: float = Field(0.5, ge=0.0, lt=1.0)
    """Share of the pooled numbers set to 0 before the layer on top while training."""

    def build(self, channels: int, bands: int, frames: int) -> Musicnn:
        """For pictures (B, channels, bands, any number of frames); raises RequestError below 3 bands."""
        self.check_picture(bands, frames)
        return self.begun(Musicnn(channels, bands, self))
