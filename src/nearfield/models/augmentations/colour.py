"""Another microphone or room: a smooth curve over the bands is added to a logarithmic picture."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Occasional


class Colour(Augmentation):
    """Adds to each picture straight lines between `points` random heights, the same in every frame."""

    domain = "picture"

    def __init__(self, settings: "ColourSettings") -> None:
        super().__init__(settings.probability)
        self.deviation, self.points = settings.deviation, settings.points

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"heights": self.deviation * torch.randn(shape[0], 1, self.points, generator=generator)}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        curve = F.interpolate(drawn["heights"], signal.shape[2], mode="linear", align_corners=True)
        return signal + curve[..., None]


class ColourSettings(Occasional):
    """Another microphone or room; a normalisation that takes each band's mean away undoes it."""

    kind: Literal["colour"] = "colour"
    deviation: float = Field(0.5, gt=0.0, le=30.0)
    """Standard deviation of the heights, in the picture's unit: with ln and magnitudes 0.115 is a decibel."""
    points: int = Field(4, ge=2, le=64)
    """Heights drawn, evenly spaced from the lowest band to the highest."""

    def build(self, sample_rate: int, hop: int) -> Colour:
        """For pictures (B, C, bands, frames)."""
        return Colour(self)
