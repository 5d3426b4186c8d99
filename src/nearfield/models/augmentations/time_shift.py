"""Earlier or later, around in a circle: what leaves at one end comes in at the other."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Domain, Occasional, integers


class TimeShift(Augmentation):
    """Rolls each item by a number of steps (samples, or frames) drawn evenly from both directions."""

    def __init__(self, settings: "TimeShiftSettings", steps_per_second: float) -> None:
        super().__init__(settings.probability)
        self.domain = settings.domain
        self.largest = round(settings.max_seconds * steps_per_second)

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"steps": integers(shape[0], self.largest, generator)}

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        length = signal.shape[-1]
        source = (torch.arange(length, device=signal.device) - drawn["steps"][:, None]) % length
        return signal.gather(-1, source.view(-1, *[1] * (signal.ndim - 2), length).expand_as(signal))


class TimeShiftSettings(Occasional):
    """Earlier or later, around in a circle."""

    kind: Literal["time_shift"] = "time_shift"
    max_seconds: float = Field(0.5, ge=0.0, le=600.0)
    """The furthest shift, in either direction."""
    domain: Domain = "picture"
    """picture: whole frames are shifted; wave: samples are."""

    def build(self, sample_rate: int, hop: int) -> TimeShift:
        """For waves at `sample_rate` Hz, or pictures with a frame every `hop` samples of them."""
        return TimeShift(self, sample_rate / hop if self.domain == "picture" else sample_rate)
