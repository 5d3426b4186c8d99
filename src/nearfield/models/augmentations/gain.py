"""Louder or quieter."""

from typing import Literal

import torch
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Decibels, Occasional, each, uniform


class Gain(Augmentation):
    """Multiplies each wave by one factor."""

    domain = "wave"

    def __init__(self, settings: "GainSettings") -> None:
        super().__init__(settings.probability)
        self.decibels = settings.decibels

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"decibels": uniform(shape[0], self.decibels, generator)}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return signal * 10 ** (each(drawn["decibels"], signal) / 20)


class GainSettings(Occasional):
    """Louder or quieter; a normalisation that takes the level away undoes it."""

    kind: Literal["gain"] = "gain"
    decibels: Decibels = (-6.0, 6.0)
    """Decibels: least and most; below 0 is quieter."""

    def build(self, sample_rate: int, hop: int) -> Gain:
        """For waves (B, C, T) at any rate."""
        return Gain(self)
