"""Masks: some bands, or some frames, are taken away.

Park et al., "SpecAugment", Interspeech 2019. What is taken away is filled with a mean of the clip.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Domain, Occasional


class FrequencyMask(Augmentation):
    """Fills 0 to `max_bands` neighbouring bands with the clip's mean over bands and frames, `count` times."""

    domain: Domain = "picture"

    def __init__(self, settings: "FrequencyMaskSettings") -> None:
        super().__init__(settings.probability)
        self.count, self.widest = settings.count, settings.max_bands

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return _places(shape[0], self.count, self.widest, shape[2], generator)

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        hidden = _hidden(drawn, signal.shape[2])[:, None, :, None]
        return torch.where(hidden, signal.mean(dim=(2, 3), keepdim=True), signal)


class TimeMask(Augmentation):
    """Fills 0 to `widest` neighbouring frames with each band's mean over the clip, `count` times.

    A band's mean over the clip stays near where it was, for normalisations that take it away.
    """

    domain: Domain = "picture"

    def __init__(self, settings: "TimeMaskSettings", widest: int) -> None:
        super().__init__(settings.probability)
        self.count, self.widest = settings.count, widest

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return _places(shape[0], self.count, self.widest, shape[3], generator)

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        hidden = _hidden(drawn, signal.shape[3])[:, None, None, :]
        return torch.where(hidden, signal.mean(dim=3, keepdim=True), signal)


def _places(
    items: int, count: int, widest: int, length: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """`first` and `width`, (items, count) each: widths from 0 to `widest`, anywhere within the length."""
    width = torch.randint(0, min(widest, length) + 1, (items, count), generator=generator)
    first = (torch.rand(items, count, generator=generator) * (length - width + 1)).long()
    return {"first": first, "width": width}


def _hidden(drawn: dict[str, Tensor], length: int) -> Tensor:
    """(B, length): True where any of an item's masks lies."""
    first, width = drawn["first"][..., None], drawn["width"][..., None]
    place = torch.arange(length, device=first.device)
    return ((place >= first) & (place < first + width)).any(dim=1)


class FrequencyMaskSettings(Occasional):
    """Some neighbouring bands are taken away."""

    kind: Literal["frequency_mask"] = "frequency_mask"
    max_bands: int = Field(8, ge=1, le=1024)
    """Bands in a mask at most."""
    count: int = Field(1, ge=1, le=16)
    """Masks in each picture."""

    def build(self, sample_rate: int, hop: int) -> FrequencyMask:
        """For pictures (B, C, bands, frames)."""
        return FrequencyMask(self)


class TimeMaskSettings(Occasional):
    """Some neighbouring frames are taken away."""

    kind: Literal["time_mask"] = "time_mask"
    max_seconds: float = Field(0.3, gt=0.0, le=600.0)
    """Length of a mask at most."""
    count: int = Field(1, ge=1, le=16)
    """Masks in each picture."""

    def build(self, sample_rate: int, hop: int) -> TimeMask:
        """For pictures with a frame every `hop` samples at `sample_rate` Hz."""
        return TimeMask(self, max(1, round(self.max_seconds * sample_rate / hop)))
