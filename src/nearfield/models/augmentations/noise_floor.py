"""A steady noise under the sound, added in the picture: every cell of a log-mel gets the same power more."""

import math
from typing import Literal

import torch
from torch import Tensor

from nearfield.models.augmentations.augmentation import (
    Augmentation,
    Decibels,
    Domain,
    Occasional,
    each,
    uniform,
)

NEPER = 10 / math.log(10)
"""Decibels in one unit of a natural logarithm of power."""


class NoiseFloor(Augmentation):
    """Adds to each cell's power a floor that lies some decibels under the item's loudest cell.

    What `noise` does to waves, without its ripple and without a wave: kept pictures can be used.
    """

    domain: Domain = "picture"

    def __init__(self, settings: "NoiseFloorSettings") -> None:
        super().__init__(settings.probability)
        self.depth_db = settings.depth_db
        self.scale = {"ln_power": 1.0, "ln_magnitude": 2.0, "db": 1 / NEPER}[settings.unit]

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"depth": uniform(shape[0], self.depth_db, generator)}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        power = signal * self.scale
        loudest = power.amax(dim=tuple(range(1, signal.ndim)), keepdim=True)
        floor = loudest - each(drawn["depth"], signal) / NEPER
        return torch.logaddexp(power, floor) / self.scale


class NoiseFloorSettings(Occasional):
    """A steady noise under the sound, added in the picture."""

    kind: Literal["noise_floor"] = "noise_floor"
    depth_db: Decibels = (25.0, 70.0)
    """Decibels of the item's loudest cell over the floor: least and most."""
    unit: Literal["ln_magnitude", "ln_power", "db"] = "ln_magnitude"
    """What the picture is: natural logarithm of magnitude (log_mel as it comes) or of power, or decibels."""

    def build(self, sample_rate: int, hop: int) -> NoiseFloor:
        """For log-mel pictures (B, C, bands, frames) of any rate."""
        return NoiseFloor(self)
