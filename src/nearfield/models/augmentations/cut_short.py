"""A sound that ends early: silence from some frame on, as behind a clip that is shorter than its window."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Domain, Occasional, uniform


class CutShort(Augmentation):
    """Fills each picture with the value of silence from a random frame to its end."""

    domain: Domain = "picture"

    def __init__(self, settings: "CutShortSettings") -> None:
        super().__init__(settings.probability)
        self.least, self.silence = settings.least_share, settings.silence

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        share = uniform(shape[0], (self.least, 1.0), generator)
        return {"frames": (share * shape[3]).ceil().long().clamp(1, shape[3])}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        after = torch.arange(signal.shape[3], device=signal.device) >= drawn["frames"][:, None]
        return signal.masked_fill(after[:, None, None, :], self.silence)


class CutShortSettings(Occasional):
    """Silence from some frame on."""

    kind: Literal["cut_short"] = "cut_short"
    least_share: float = Field(0.3, gt=0.0, le=1.0)
    """Share of the frames, from the first on, that always stay."""
    silence: float = math.log(1e-6)
    """The picture's value in silence: the logarithm of the feature's floor."""

    def build(self, sample_rate: int, hop: int) -> CutShort:
        """For pictures (B, C, bands, frames)."""
        return CutShort(self)
