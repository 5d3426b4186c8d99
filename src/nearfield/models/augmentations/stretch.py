"""Faster or slower at the same pitch."""

from typing import Any, Literal, Self

from pydantic import model_validator

from nearfield.models.augmentations.augmentation import Occasional, Span
from nearfield.models.augmentations.borrowed import Borrowed


class Stretch(Borrowed):
    """Plays each wave faster or slower, its length kept: cut at the end, or silence after it."""

    _parameter = "rate"

    def _transform(self) -> Any:
        from audiomentations import TimeStretch

        return TimeStretch(leave_length_unchanged=True, p=1.0)


class StretchSettings(Occasional):
    """Faster or slower at the same pitch; slow to compute, `picture_stretch` is its quick relative."""

    kind: Literal["stretch"] = "stretch"
    rate: Span = (0.8, 1.25)
    """Speed: least and most; 2 is twice as fast."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.rate[0] < 0.1 or self.rate[1] > 10:
            raise ValueError(f"rate must lie from 0.1 to 10. Given: {list(self.rate)}.")
        return self

    def build(self, sample_rate: int, hop: int) -> Stretch:
        """For waves (B, C, T) at `sample_rate` Hz. Raises RequestError where audiomentations is missing."""
        return Stretch(self.probability, sample_rate, self.rate)
