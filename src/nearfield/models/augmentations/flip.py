"""Mirrored: for pictures of things that have no left and right, or no up and down."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Occasional


class Flip(Augmentation):
    """Mirrors each picture along one axis."""

    domain = "picture"

    def __init__(self, settings: "FlipSettings") -> None:
        super().__init__(settings.probability)
        self.axis = -1 if settings.axis == "horizontal" else -2

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return signal.flip(self.axis)


class FlipSettings(Occasional):
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
