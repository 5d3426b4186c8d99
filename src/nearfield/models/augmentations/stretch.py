"""Faster or slower at the same pitch."""

from typing import Any, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from nearfield.models.augmentations.augmentation import Occasional, Span, one_of
from nearfield.models.augmentations.borrowed import Borrowed


class Stretch(Borrowed):
    """Plays each wave faster or slower, its length kept: cut at the end, or silence after it."""

    _parameter = "rate"

    def __init__(self, settings: "StretchSettings", sample_rate: int) -> None:
        super().__init__(settings.probability, sample_rate, settings.rate)
        self.rates = settings.rates

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        if not self.rates:
            return super()._draw(shape, generator)
        return {"amount": one_of(shape[0], self.rates, generator)}

    def _transform(self) -> Any:
        from audiomentations import TimeStretch

        return TimeStretch(leave_length_unchanged=True, p=1.0)


class StretchSettings(Occasional):
    """Faster or slower at the same pitch; slow to compute, `picture_stretch` is its quick relative."""

    kind: Literal["stretch"] = "stretch"
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

    def build(self, sample_rate: int, hop: int) -> Stretch:
        """For waves (B, C, T) at `sample_rate` Hz. Raises RequestError where audiomentations is missing."""
        return Stretch(self, sample_rate)
