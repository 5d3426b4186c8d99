"""Augmentations of images: flips, rotation, scale, translation."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, BaseAugmentationSettings, uniform


class Flip(Augmentation):
    """Mirrors each image along one axis."""

    domain = "spectrogram"

    def __init__(self, settings: "FlipSettings") -> None:
        super().__init__(settings.probability)
        self.axis = -1 if settings.axis == "horizontal" else -2

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return signal.flip(self.axis)


class FlipSettings(BaseAugmentationSettings):
    """Mirrors images, for objects without a fixed orientation."""

    kind: Literal["flip"] = "flip"
    probability: float = Field(0.5, ge=0.0, le=1.0)
    """Probability that an item is mirrored, 0 to 1."""
    axis: Literal["horizontal", "vertical"] = "horizontal"
    """horizontal: left and right are swapped (reverses time in a spectrogram); vertical: top and bottom."""

    def build(self, sample_rate: int, hop: int) -> Flip:
        """Creates the augmentation for images (B, C, H, W)."""
        return Flip(self)


class Affine(Augmentation):
    """Rotates, scales and translates each image about its center; border pixels are repeated outside."""

    domain = "spectrogram"

    def __init__(self, settings: "AffineSettings") -> None:
        super().__init__(settings.probability)
        self.settings = settings

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        turn, shift = math.radians(self.settings.max_degrees), self.settings.max_shift
        size = math.log1p(self.settings.max_scale)
        return {
            "turn": uniform(shape[0], (-turn, turn), generator),
            "scale": uniform(shape[0], (-size, size), generator).exp(),
            "right": uniform(shape[0], (-shift, shift), generator),
            "down": uniform(shape[0], (-shift, shift), generator),
        }

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        height, width = signal.shape[2:]
        cosine, sine = drawn["turn"].cos() / drawn["scale"], drawn["turn"].sin() / drawn["scale"]
        # Position in the input for each position of the output, from the center, in halves of the sides.
        across = torch.stack([cosine, -sine * height / width], dim=1)
        along = torch.stack([sine * width / height, cosine], dim=1)
        turned = torch.stack([across, along], dim=1)
        moved = turned @ (-2 * torch.stack([drawn["right"], drawn["down"]], dim=1))[..., None]
        grid = F.affine_grid(torch.cat([turned, moved], dim=2), list(signal.shape), align_corners=False)
        return F.grid_sample(signal, grid, padding_mode="border", align_corners=False)


class AffineSettings(BaseAugmentationSettings):
    """Rotates, scales and translates images."""

    kind: Literal["affine"] = "affine"
    max_degrees: float = Field(10.0, ge=0.0, le=180.0)
    """Largest rotation in either direction, in degrees, 0 to 180."""
    max_shift: float = Field(0.1, ge=0.0, le=1.0)
    """Largest translation in each direction, as a fraction of the side of the image, 0 to 1."""
    max_scale: float = Field(0.1, ge=0.0, le=4.0)
    """Largest change of size, 0 to 4: with 0.1, the scale is from 1 / 1.1 to 1.1."""

    def build(self, sample_rate: int, hop: int) -> Affine:
        """Creates the augmentation for images (B, C, H, W)."""
        return Affine(self)
