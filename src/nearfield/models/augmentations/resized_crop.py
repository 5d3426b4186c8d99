"""A piece of the picture drawn to its whole size, or the whole drawn smaller: pitch, pace and formants move.

Niizumi et al. 2021, "BYOL for audio", section III-B2: the crop may reach beyond the picture.
"""

import math
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Domain, Occasional, Span, uniform


class ResizedCrop(Augmentation):
    """Draws a random rectangle of each picture to the picture's size, by straight lines between cells.

    Its sides are drawn evenly on a logarithmic axis, its place evenly; beyond the edges stand the outermost
    cells.
    """

    domain: Domain = "picture"

    def __init__(self, settings: "ResizedCropSettings") -> None:
        super().__init__(settings.probability)
        self.sides = {"bands": settings.bands, "frames": settings.frames}

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        drawn: dict[str, Tensor] = {}
        for name, (least, most) in self.sides.items():
            size = uniform(shape[0], (math.log(least), math.log(most)), generator).exp()
            place = uniform(shape[0], (-1.0, 1.0), generator)
            drawn |= {name: size, f"{name}_middle": (1 - size).abs() * place}
        return drawn

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        # From where in the input, in halves of its sides from the middle, each place of the output is taken.
        nothing = torch.zeros_like(drawn["bands"])
        across = torch.stack([drawn["frames"], nothing, drawn["frames_middle"]], dim=1)
        along = torch.stack([nothing, drawn["bands"], drawn["bands_middle"]], dim=1)
        grid = F.affine_grid(torch.stack([across, along], dim=1), list(signal.shape), align_corners=False)
        return F.grid_sample(signal, grid, padding_mode="border", align_corners=False)


class ResizedCropSettings(Occasional):
    """A piece of the picture drawn to its whole size, or the whole drawn smaller."""

    kind: Literal["resized_crop"] = "resized_crop"
    bands: Span = (0.6, 1.5)
    """Height of the crop as a share of the picture's: least, most; above 1 the picture comes out smaller."""
    frames: Span = (0.6, 1.5)
    """Length of the crop as a share of the picture's: least and most."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, sides in (("bands", self.bands), ("frames", self.frames)):
            if any(not 0.05 <= side <= 20 for side in sides):
                raise ValueError(f"{name} must lie from 0.05 to 20. Given: {list(sides)}.")
        return self

    def build(self, sample_rate: int, hop: int) -> ResizedCrop:
        """For pictures (B, C, bands, frames)."""
        return ResizedCrop(self)
