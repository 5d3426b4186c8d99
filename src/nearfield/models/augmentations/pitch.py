"""Higher or lower at the same speed."""

from typing import Any, Literal, Self

from pydantic import model_validator

from nearfield.models.augmentations.augmentation import Occasional, Span
from nearfield.models.augmentations.borrowed import Borrowed


class Pitch(Borrowed):
    """Moves each wave up or down by some semitones, its length kept."""

    _parameter = "num_semitones"

    def _transform(self) -> Any:
        from audiomentations import PitchShift

        return PitchShift(p=1.0)


class PitchSettings(Occasional):
    """Higher or lower at the same speed; slow to compute, `band_shift` is its quick relative."""

    kind: Literal["pitch"] = "pitch"
    semitones: Span = (-2.0, 2.0)
    """Semitones: least and most; below 0 is lower."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.semitones[0] < -24 or self.semitones[1] > 24:
            raise ValueError(f"semitones must lie from -24 to 24. Given: {list(self.semitones)}.")
        return self

    def build(self, sample_rate: int, hop: int) -> Pitch:
        """For waves (B, C, T) at `sample_rate` Hz. Raises RequestError where audiomentations is missing."""
        return Pitch(self.probability, sample_rate, self.semitones)
