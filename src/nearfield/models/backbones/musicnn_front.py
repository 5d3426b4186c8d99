"""The filters of musicnn alone: what a stack of other layers may read in place of the picture.

Pons and Serra 2019; see `musicnn.py` for the whole network.
"""

from typing import ClassVar, Literal, Self

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
NEAR = 7
"""Frames that filters for timbre, and the layers behind the front, see at once."""


class Front(nn.Module):
    """(B, C, bands, T) -> (B, filters, T): how well each filter fits at each frame, at its best pitch."""

    def __init__(self, channels: int, bands: int, timbral: int, temporal: int) -> None:
        super().__init__()
        tall = [(int(share * bands), NEAR, timbral) for share in _HEIGHTS if timbral]
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


class MusicnnFront(nn.Module):
    """(B, C, bands, T) -> (B, filters, 1, T), a map one band high that any stack can read."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int, bands: int, settings: "FilterSettings") -> None:
        super().__init__()
        self.front = Front(channels, bands, settings.timbral, settings.temporal)
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        map: Tensor = self.front(picture)
        return map.unsqueeze(2)


class FilterSettings(Loadable):
    """How many filters the front has."""

    timbral: int = Field(204, ge=0, le=1024)
    """Filters of each of the two heights, 0.4 and 0.7 of the bands, 7 frames long; 0: none."""
    temporal: int = Field(51, ge=0, le=1024)
    """Filters of each of the three lengths, 128, 64 and 32 frames, one band high; 0: none."""

    introductions: ClassVar[dict[str, str]] = {
        **Loadable.introductions,
        "timbral": (
            "Filters as tall as most of the spectrum and a few frames long, taken at their best pitch: they "
            "answer to timbre wherever it lies (Pons and Serra 2019). Few miss instruments; many need more "
            "clips."
        ),
        "temporal": (
            "Filters one band high and up to two seconds long: they answer to rhythm and onsets (Pons and "
            "Serra 2019). Without them only the layers behind the front see more than a few frames."
        ),
    }

    @model_validator(mode="after")
    def _hears(self) -> Self:
        if not self.timbral + self.temporal:
            raise ValueError("timbral and temporal cannot both be 0: no filter would be left.")
        return self

    def check_picture(self, bands: int, frames: int) -> None:
        """Raises RequestError below 3 bands, where a filter for timbre would have none."""
        check_least(self.kind, (bands, frames), (3 if self.timbral else 1, 1))


class MusicnnFrontSettings(FilterSettings):
    """Filters for timbre and for rhythm alone, without the layers of musicnn behind them."""

    kind: Literal["musicnn_front"] = "musicnn_front"

    def build(self, channels: int, bands: int, frames: int) -> MusicnnFront:
        """For pictures (B, channels, bands, any number of frames); raises RequestError below 3 bands."""
        self.check_picture(bands, frames)
        return self.begun(MusicnnFront(channels, bands, self))
