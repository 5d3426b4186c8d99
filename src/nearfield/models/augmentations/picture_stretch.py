"""Faster or slower on pictures: columns are spread or drawn together around the middle."""

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Occasional, Span, one_of, uniform


class PictureStretch(Augmentation):
    """Resamples each picture's time axis by straight lines between columns, keeping its length.

    Slower: both ends are cut. Faster: the first and the last column fill what opens.
    """

    domain = "picture"

    def __init__(self, settings: "PictureStretchSettings") -> None:
        super().__init__(settings.probability)
        self.rate, self.rates = settings.rate, settings.rates

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        if self.rates:
            return {"rate": one_of(shape[0], self.rates, generator)}
        return {"rate": uniform(shape[0], self.rate, generator)}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        last = signal.shape[-1] - 1
        place = torch.arange(last + 1, device=signal.device) - last / 2
        source = (place * drawn["rate"][:, None] + last / 2).clamp(0, last)[:, None, None]
        before = source.floor()
        left = signal.gather(-1, before.long().expand_as(signal))
        right = signal.gather(-1, (before.long() + 1).clamp(max=last).expand_as(signal))
        return torch.lerp(left, right, source - before)


class PictureStretchSettings(Occasional):
    """Faster or slower, on pictures."""

    kind: Literal["picture_stretch"] = "picture_stretch"
    rate: Span = (0.8, 1.25)
    """Speed: least and most; 2 is twice as fast."""
    rates: tuple[float, ...] = ()
    """Only these speeds, each as often; none: any that `rate` allows."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, speeds in (("rate", self.rate), ("rates", self.rates)):
            if any(not 0.1 <= speed <= 10 for speed in speeds):
                raise ValueError(f"{name} must lie from 0.1 to 10. Given: {list(speeds)}.")
        return self

    def build(self, sample_rate: int, hop: int) -> PictureStretch:
        """For pictures (B, C, bands, frames)."""
        return PictureStretch(self)
