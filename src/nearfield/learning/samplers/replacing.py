"""Triplets by tag in which the errors of an earlier tagger replace the positive and the negative.

As a homework of GCT634 (KAIST, 2021) rearranged its triplets: where the tagger missed a tag of the anchor,
the positive becomes a clip that has it; where it named a tag wrongly, the negative becomes a clip that has
that one. What the tagger got right stays as the drawn tag made it.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.learning.samplers.by_prediction import clips_with, mistakes, pick, strangers_with
from nearfield.learning.samplers.by_tag import ByTag
from nearfield.learning.samplers.tag_sets import Triplets


@dataclass(frozen=True)
class Replacing:
    """The rule by tag over N tagged clips, and the tags of each clip that replace a part of its triplet."""

    by_tag: ByTag
    tags: Bools
    """(N, K)"""
    missed: Bools
    """(N, K) tags that a clip's positive may be drawn by in place of the drawn tag; two others have each."""
    wrong: Bools
    """(N, K) the same of its negative."""
    unasked: int
    """Clips that the tagger said nothing of."""

    @classmethod
    def of(cls, tags: Bools, predictions: Floats, top: int, guard: bool, chance: np.random.Generator) -> Self:
        """The rule over clips with tags (N, K) of which a tagger said `predictions` (N, K), NaN where it was
        not asked; `chance` as for `ByTag.of`."""
        asked = np.asarray(np.isfinite(predictions).all(axis=1))
        missed, wrong = (
            found & asked[:, None] & (tags.sum(axis=0) - tags >= 2)
            for found in mistakes(tags, predictions, top)
        )
        if guard:
            wrong &= strangers_with(tags, tags) >= 2
        return cls(ByTag.of(tags, guard, chance), tags, missed, wrong, int((~asked).sum()))

    @property
    def words(self) -> Ints:
        """(N, words) packed tags."""
        return self.by_tag.words

    @property
    def usable(self) -> Ints:
        """Tags of which a triplet can be made."""
        return self.by_tag.usable

    @property
    def count(self) -> int:
        """Triplets an epoch: as many as clips; none where no error replaces anything."""
        return self.by_tag.count if self.missed.any() or self.wrong.any() else 0

    def draw(self, chance: np.random.Generator) -> Triplets:
        """One epoch's triplets."""
        tags, anchors, positives, negatives = (part.copy() for part in self.by_tag.draw(chance))
        at = np.flatnonzero(self.missed[anchors].any(axis=1))
        tags[at] = pick(self.missed[anchors[at]], chance)
        taken = np.stack([anchors[at], negatives[at]], axis=1)
        positives[at] = clips_with(tags[at], self.tags, taken, None, self.words, chance)
        at = np.flatnonzero(self.wrong[anchors].any(axis=1))
        against = pick(self.wrong[anchors[at]], chance)
        taken = np.stack([anchors[at], positives[at]], axis=1)
        strange_to = anchors[at] if self.by_tag.guard else None
        negatives[at] = clips_with(against, self.tags, taken, strange_to, self.words, chance)
        return Triplets(tags, anchors, positives, negatives)

    def describe(self) -> str:
        """What the triplets are drawn over, and how many clips have their triplets rearranged."""
        near, far = (int(found.any(axis=1).sum()) for found in (self.missed, self.wrong))
        return (
            f"{self.by_tag.describe()}; the tagger's errors replace the positive of {near} and the negative "
            f"of {far} of {len(self.tags)} clips ({self.unasked} without a prediction)"
        )
