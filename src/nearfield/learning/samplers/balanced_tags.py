"""Batches in which every tag has its turn, for clips with several tags.

Tags come in equal number, so clips of rare tags come more often than others. Of the clips of a tag those
come first that were visited least in the epoch, by whichever of their tags: a clip with a rare and a common
tag does not come twice while others wait.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from nearfield.core.errors import DataError, RequestError
from nearfield.core.nouns import Bools, Draw, Facts, Ints
from nearfield.core.seeds import stream
from nearfield.core.settings import Settings
from nearfield.core.words import count
from nearfield.learning.relations.synonyms import Synonyms, merge_synonyms
from nearfield.learning.samplers.windows import random_starts


class BalancedTags(Settings):
    """Tags are drawn evenly, then clips that have them; none is twice in a batch, however many it has.

    An epoch draws as many clips as there are. Clips without tags are left out.
    """

    kind: Literal["balanced_tags"] = "balanced_tags"
    batch_size: int = Field(32, ge=2)
    """Clips a batch."""
    per_tag: int = Field(2, ge=1)
    """Clips drawn for a tag before the next one has its turn: 2 or more give each anchor company."""
    synonyms: Synonyms = ()
    """Groups of tags that mean the same; each group counts as one tag."""

    def build(self, facts: Facts, rows: Ints, clip_seconds: float, seed: int) -> "BalancedTagSampler":
        """The sampler over `rows`. Raises DataError without tags, RequestError for too large a batch."""
        tags, names = merge_synonyms(facts.tags, facts.tag_names, self.synonyms, "sampler")
        tagged = rows[tags[rows].any(axis=1)]
        if not len(tagged):
            raise DataError(
                "sampler: balanced_tags: none of the clips to train on has a tag. Name the column that holds "
                "them (data.tags), or take another sampler: balanced, shuffle, tiles, views."
            )
        if len(tagged) < self.batch_size:
            raise RequestError(
                f"sampler: balanced_tags: batch_size is {self.batch_size}, and {len(tagged)} of the clips to "
                "train on have tags; none comes twice in a batch. Make the batch smaller, or take shuffle."
            )
        dropped = tuple(np.array(names)[~tags[tagged].any(axis=0)].tolist())
        without = len(rows) - len(tagged)
        return BalancedTagSampler(facts, tagged, tags[tagged], clip_seconds, seed, self, dropped, without)


@dataclass(frozen=True)
class BalancedTagSampler:
    """Goes round the tags in random order and deals the clips of each."""

    facts: Facts
    rows: Ints
    """The clips that have tags."""
    tags: Bools
    """Theirs, synonyms merged."""
    clip_seconds: float
    seed: int
    settings: BalancedTags
    dropped: tuple[str, ...]
    """Tags that no clip has."""
    untagged: int
    """Clips left out for having no tag."""

    @property
    def batch_size(self) -> int:
        """Clips in every batch, without exception."""
        return self.settings.batch_size

    @property
    def is_short(self) -> bool:
        """Never: too few clips are refused, as none comes twice in a batch."""
        return False

    @property
    def clips_per_epoch(self) -> int:
        """The least number of whole batches that hold as many clips as there are."""
        return -(-len(self.rows) // self.batch_size) * self.batch_size

    def epoch(self, number: int) -> Iterator[Draw]:
        """The draws of epoch `number`; clips drawn for one tag stand together."""
        chance = stream(self.seed, "batches", number)
        visits = np.zeros(len(self.rows), dtype=np.int64)  # by any tag: the decks share it
        decks = [_Deck(np.flatnonzero(has), visits, chance) for has in self.tags.T if has.any()]
        turns = _turns(decks, chance)
        for _ in range(self.clips_per_epoch // self.batch_size):
            batch: list[int] = []
            while len(batch) < self.batch_size:
                deck = next(turns)
                for _ in range(min(self.settings.per_tag, self.batch_size - len(batch))):
                    batch += deck.deal(batch)
            rows = self.rows[batch]
            yield Draw(rows, random_starts(self.facts, rows, self.clip_seconds, chance))

    def describe(self) -> str:
        """One line: batch, epoch, and what is left out."""
        line = (
            f"Batches of {self.batch_size} different clips: {self.settings.per_tag} for each of "
            f"{int(self.tags.any(axis=0).sum())} tags in turn. {count(len(self.rows), 'training clip')}, "
            f"{self.clips_per_epoch:,} per epoch."
        )
        return line + (f" Left out: {self.untagged} clips without a tag." if self.untagged else "")


class _Deck:
    """The clips of one tag, those that were visited least first, in random order among equals."""

    def __init__(self, members: Ints, visits: Ints, chance: np.random.Generator) -> None:
        self.members, self.visits, self.chance = members, visits, chance
        self.level = -1
        self.left: list[int] = []

    def deal(self, taken: Sequence[int]) -> list[int]:
        """A clip that is not in `taken`, or none where all are."""
        while True:
            while self.left:
                clip = self.left.pop()
                if self.visits[clip] == self.level:  # else another tag has visited it meanwhile
                    self.visits[clip] += 1
                    return [clip]
            free = np.setdiff1d(self.members, taken)
            if not len(free):
                return []
            self.level = int(self.visits[free].min())
            self.left = self.chance.permutation(free[self.visits[free] == self.level]).tolist()


def _turns(decks: list[_Deck], chance: np.random.Generator) -> Iterator[_Deck]:
    """Every deck once a round, every round in another order."""
    while True:
        for place in chance.permutation(len(decks)).tolist():
            yield decks[place]
