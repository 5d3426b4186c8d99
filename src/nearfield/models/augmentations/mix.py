"""Another clip of the batch, quietly in the background; the louder one keeps its labels."""

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from nearfield.models.augmentations.augmentation import (
    Augmentation,
    Decibels,
    Occasional,
    each,
    power,
    uniform,
)


class Mix(Augmentation):
    """Adds another item of the batch, so many decibels under the item itself.

    A silent item stays silent, and silence adds nothing; an item alone in its batch stays as it is.
    """

    domain = "wave"

    def __init__(self, settings: "MixSettings") -> None:
        super().__init__(settings.probability)
        self.under_db = settings.under_db

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        items = shape[0]
        steps = torch.randint(1, max(2, items), (items,), generator=generator)
        return {
            "partner": (torch.arange(items) + steps) % max(1, items),
            "decibels": uniform(items, self.under_db, generator),
        }

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        partner = drawn["partner"]
        if len(signal) < 2:
            return signal
        own = power(signal)
        others = own[partner]
        ratio = torch.where(others > 0, own / others.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
        return torch.addcmul(
            signal, signal[partner], (ratio * 10 ** (-each(drawn["decibels"], signal) / 10)).sqrt()
        )


class MixSettings(Occasional):
    """Another clip of the batch in the background."""

    kind: Literal["mix"] = "mix"
    under_db: Decibels = (6.0, 20.0)
    """Decibels of the item's power over the other's: least and most; 0 or more, so that labels hold."""

    @model_validator(mode="after")
    def _label_safe(self) -> Self:
        if self.under_db[0] < 0:
            raise ValueError(
                f"under_db must be 0 or more: a louder background would carry the wrong labels. "
                f"Given: {list(self.under_db)}."
            )
        return self

    def build(self, sample_rate: int, hop: int) -> Mix:
        """For waves (B, C, T) at any rate."""
        return Mix(self)
