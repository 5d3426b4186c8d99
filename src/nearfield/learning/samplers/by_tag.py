"""The plain rule for triplets by tag: a tag is drawn uniformly, two clips that have it, one that does not."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.nouns import Bools, Ints
from nearfield.learning.samplers.tag_sets import Triplets, packed, strangers


@dataclass(frozen=True)
class ByTag:
    """Who has which tag among N tagged clips, and the draws from it."""

    words: Ints
    """(N, words) packed tags."""
    guard: bool
    """Negatives share no tag at all with their anchor."""
    members: Ints
    """Clips, tag after tag, ascending within each."""
    begins: Ints
    sizes: Ints
    lacking: Ints
    """For each member, tag * (clips + 1) + the number of clips before it that lack the tag: ascending."""
    askers: Ints
    """Numbers into `members` of those that can be an anchor, tag after tag."""
    asker_begins: Ints
    asker_sizes: Ints
    usable: Ints
    """Tags of which a triplet can be made."""

    @classmethod
    def of(cls, tags: Bools, guard: bool, chance: np.random.Generator) -> "ByTag":
        """The rule over clips with tags (N, K); `chance` only helps to find who has no stranger."""
        words = packed(tags)
        can = np.ones(len(tags), dtype=np.bool_)
        if guard:
            can = strangers(words, words, chance) >= 0
        which, members = np.nonzero(tags.T)
        sizes = tags.sum(axis=0)
        askers = np.flatnonzero(can[members])
        asker_sizes = np.bincount(which[askers], minlength=tags.shape[1])
        usable = np.flatnonzero((sizes >= 2) & (sizes < len(tags)) & (asker_sizes > 0))
        begins, asker_begins = np.cumsum(sizes) - sizes, np.cumsum(asker_sizes) - asker_sizes
        lacking = which * (len(tags) + 1) + members - (np.arange(len(members)) - begins[which])
        return cls(words, guard, members, begins, sizes, lacking, askers, asker_begins, asker_sizes, usable)

    @property
    def count(self) -> int:
        """Triplets an epoch: as many as clips."""
        return len(self.words) if len(self.usable) else 0

    def draw(self, chance: np.random.Generator) -> Triplets:
        """One epoch's triplets."""
        tags = self.usable[chance.integers(len(self.usable), size=self.count)]
        asker = self.askers[self.asker_begins[tags] + chance.integers(self.asker_sizes[tags])]
        other = self.begins[tags] + chance.integers(self.sizes[tags] - 1)
        other += other >= asker
        anchors, positives = self.members[asker], self.members[other]
        if self.guard:
            return Triplets(tags, anchors, positives, strangers(self.words[anchors], self.words, chance))
        return Triplets(tags, anchors, positives, self._without(tags, chance))

    def describe(self) -> str:
        """What the triplets are drawn over."""
        return f"over {len(self.usable)} tags"

    def _without(self, tags: Ints, chance: np.random.Generator) -> Ints:
        """One clip for each of `tags`, uniform among those that lack it.

        The r-th clip that lacks a tag stands at r plus the number of members before it: those that have at
        most r lacking clips before themselves. One search over the lists of all tags finds it.
        """
        clips = len(self.words)
        drawn = chance.integers(clips - self.sizes[tags])
        found = np.searchsorted(self.lacking, tags * (clips + 1) + drawn, "right")
        return drawn + found - self.begins[tags]
