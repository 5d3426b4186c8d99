"""Clips are alike when they carry the same label."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from nearfield.core.errors import DataError
from nearfield.core.nouns import Draw, Facts, Ints, Pairs
from nearfield.core.settings import Settings


class Labels(Settings):
    """Same label: alike. Other label: unlike. Clips without a label take no part."""

    kind: Literal["labels"] = "labels"

    def build(self, facts: Facts) -> "LabelRelation":
        """The relation over the clips of `facts`. Raises DataError where no clip has a label."""
        if not (facts.labels >= 0).any():
            raise DataError(
                "relation: labels: none of the clips has a label. Name the column that holds them "
                "(data.label), or take a relation that needs none: time, views."
            )
        return LabelRelation(facts.labels)


@dataclass(frozen=True)
class LabelRelation:
    """Fills `Pairs` from one class number a clip.

    Two draws of one clip are alike, even of the very same window: where a small class is filled up by
    repeating its clips they are all the company there is, and augmentation bends them apart.
    """

    labels: Ints
    kind: ClassVar[str] = "labels"

    def __call__(self, draw: Draw) -> Pairs:
        """(B, B) cells of a batch; `pairs.labels` is set where each of its items has a label."""
        return Pairs.from_labels(torch.from_numpy(self.labels[draw.rows]))
