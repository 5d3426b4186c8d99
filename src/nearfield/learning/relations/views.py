"""Two views of one clip are alike; everything else is unlike. No knowledge is needed."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from nearfield.core.nouns import Draw, Facts, Pairs
from nearfield.core.settings import Settings


class Views(Settings):
    """Drawn from the same clip: alike. From another clip: unlike."""

    kind: Literal["views"] = "views"

    def build(self, facts: Facts) -> "ViewRelation":
        """The relation; it asks nothing of `facts`."""
        return ViewRelation()


@dataclass(frozen=True)
class ViewRelation:
    """Fills `Pairs` from row numbers alone.

    The very same window drawn twice is alike: augmentation makes two views of it.
    """

    kind: ClassVar[str] = "views"

    def __call__(self, draw: Draw) -> Pairs:
        """(B, B) cells of a batch."""
        rows = torch.from_numpy(draw.rows)
        same = rows[:, None] == rows[None, :]
        unlike = ~same
        return Pairs(same.fill_diagonal_(False), unlike)
