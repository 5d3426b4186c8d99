"""White noise under the sound, so loud as a ratio says."""

from typing import Literal

import torch
from torch import Tensor

from nearfield.models.augmentations.augmentation import (
    Augmentation,
    Decibels,
    Occasional,
    each,
    power,
    uniform,
)


class Noise(Augmentation):
    """Adds white noise at a signal-to-noise ratio; silence stays silence.

    One strand of noise is drawn for a batch; each item and channel begins at a place of its own in it and
    wraps around. That is a tenth of the time of drawing every sample.
    """

    domain = "wave"

    def __init__(self, settings: "NoiseSettings") -> None:
        super().__init__(settings.probability)
        self.ratio_db = settings.ratio_db

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            "decibels": uniform(shape[0], self.ratio_db, generator),
            "strand": torch.randn(shape[-1], generator=generator),
            "begin": torch.randint(0, shape[-1], tuple(shape[:2]), generator=generator),
        }

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        strand = drawn["strand"] / drawn["strand"].square().mean().sqrt()
        noise = torch.cat([strand, strand]).unfold(0, len(strand), 1)[drawn["begin"]]
        loudness = (power(signal) * 10 ** (-each(drawn["decibels"], signal) / 10)).sqrt()
        return torch.addcmul(signal, noise, loudness)


class NoiseSettings(Occasional):
    """White noise under the sound."""

    kind: Literal["noise"] = "noise"
    ratio_db: Decibels = (5.0, 30.0)
    """Decibels of the whole sound's power over the noise's: least and most."""

    def build(self, sample_rate: int, hop: int) -> Noise:
        """For waves (B, C, T) at any rate."""
        return Noise(self)
