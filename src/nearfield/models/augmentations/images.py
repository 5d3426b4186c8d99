"""Augmentations of images: flips, rotation, scale, translation."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, BaseAugmentationSettings, uniform

# Mirrored: for pictures of things that have no left and right, or no up and down.


class Flip(Augmentation):
    """Mirrors each picture along one axis."""

    domain = "spectrogram"

    def __init__(self, settings: "FlipSettings") -> None:
        super().__init__(settings.probability)
        self.axis = -1 if settings.axis == "horizontal" else -2

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return signal.flip(self.axis)


class FlipSettings(BaseAugmentationSettings):
    """Mirrored along one axis."""

    kind: Literal["flip"] = "flip"
    probability: float = Field(0.5, ge=0.0, le=1.0)
    """Each item's chance of being mirrored."""
    axis: Literal["horizontal", "vertical"] = "horizontal"
    """horizontal: left and right change places (in a sound's picture, time runs backwards); vertical: top
    and bottom do."""

    def build(self, sample_rate: int, hop: int) -> Flip:
        """For pictures (B, C, H, W)."""
        return Flip(self)


# Turned, moved, larger or smaller: for pictures of things, not of sounds.


class Affine(Augmentation):
    """Turns, scales and moves each picture about its middle; pixels at the edge fill what opens."""

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
        # From where in the input, in halves of its sides from the middle, each place of the output is taken.
        across = torch.stack([cosine, -sine * height / width], dim=1)
        along = torch.stack([sine * width / height, cosine], dim=1)
        turned = torch.stack([across, along], dim=1)
        moved = turned @ (-2 * torch.stack([drawn["right"], drawn["down"]], dim=1))[..., None]
        grid = F.affine_grid(torch.cat([turned, moved], dim=2), list(signal.shape), align_corners=False)
        return F.grid_sample(signal, grid, padding_mode="border", align_corners=False)


class AffineSettings(BaseAugmentationSettings):
    """Turned, moved, larger or smaller."""

    kind: Literal["affine"] = "affine"
    max_degrees: float = Field(10.0, ge=0.0, le=180.0)
    """Turn at most, in either direction."""
    max_shift: float = Field(0.1, ge=0.0, le=1.0)
    """Shift at most, as a share of the picture's side, in each direction."""
    max_scale: float = Field(0.1, ge=0.0, le=4.0)
    """Growth at most: 0.1 is from 1 / 1.1 to 1.1 times the size."""

    def build(self, sample_rate: int, hop: int) -> Affine:
        """For pictures (B, C, H, W)."""
        return Affine(self)
