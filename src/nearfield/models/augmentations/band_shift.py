"""Up or down by whole bands: a quick relative of a change of pitch, on pictures."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Occasional, integers


class BandShift(Augmentation):
    """Moves each picture's rows up or down; at the edge that opens, the outermost row is repeated."""

    domain = "picture"

    def __init__(self, settings: "BandShiftSettings") -> None:
        super().__init__(settings.probability)
        self.largest = settings.max_bands

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"bands": integers(shape[0], self.largest, generator)}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        bands = signal.shape[2]
        source = (torch.arange(bands, device=signal.device) - drawn["bands"][:, None]).clamp(0, bands - 1)
        return signal.gather(2, source[:, None, :, None].expand_as(signal))


class BandShiftSettings(Occasional):
    """Up or down by whole bands."""

    kind: Literal["band_shift"] = "band_shift"
    max_bands: int = Field(3, ge=1, le=256)
    """Bands at most, in either direction."""

    def build(self, sample_rate: int, hop: int) -> BandShift:
        """For pictures (B, C, bands, frames)."""
        return BandShift(self)
