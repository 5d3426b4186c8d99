"""Clips of one label cut up, shuffled and mixed, after the winner of DCASE 2018 task 5.

T. Inoue, P. Vinayavekhin, S. Wang, D. Wood, N. Greco, R. Tachibana, "Domestic activities classification based
on CNN using shuffling and mixing data augmentation", DCASE challenge 2018, technical report.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from nearfield.models.augmentations.augmentation import Augmentation, Occasional, each


class ShuffleMix(Augmentation):
    """Half an item and half another of the same label in its batch, the pieces of both in an order of chance.

    An item without a label, or the only one of its label, is shuffled and mixed with nothing. What is left of
    a length that the pieces do not divide stays at the end.
    """

    domain = "wave"

    def __init__(self, settings: "ShuffleMixSettings") -> None:
        super().__init__(settings.probability)
        self.pieces = settings.pieces

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        items = shape[0]
        return {
            "order": torch.rand(items, self.pieces, generator=generator).argsort(1),
            "chances": torch.rand(items, items, generator=generator),
        }

    def _bend(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        labels = drawn.get("labels")
        shuffled = self._shuffled(signal, drawn["order"])
        if labels is None:
            return shuffled
        alike = ((labels[:, None] == labels) & (labels >= 0)).fill_diagonal_(False)
        partner = torch.where(alike, drawn["chances"], -1.0).argmax(1)
        mixed = (shuffled + shuffled[partner]) / 2
        return torch.where(each(alike.any(1), signal), mixed, shuffled)

    def _shuffled(self, signal: Tensor, order: Tensor) -> Tensor:
        length = signal.shape[-1] // self.pieces
        items, channels, _ = signal.shape
        whole = signal[..., : length * self.pieces].reshape(items, channels, self.pieces, length)
        index = order[:, None, :, None].expand(-1, channels, -1, length)
        moved = torch.gather(whole, 2, index).flatten(-2)
        return torch.cat([moved, signal[..., length * self.pieces :]], -1)


class ShuffleMixSettings(Occasional):
    """Clips of one label cut up, shuffled and mixed; for the relation by labels alone."""

    kind: Literal["shuffle_mix"] = "shuffle_mix"
    pieces: int = Field(5, ge=1, le=100)
    """Into how many pieces of one length a clip is cut; 1 only mixes."""

    def build(self, sample_rate: int, hop: int) -> ShuffleMix:
        """For waves (B, C, T) at any rate."""
        return ShuffleMix(self)
