"""Triplets by tag: two clips that have it, one that does not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from nearfield.core.errors import DataError
from nearfield.core.nouns import Bools, Draw, Facts, Ints, Pairs
from nearfield.core.seeds import stream
from nearfield.core.settings import Settings
from nearfield.learning.relations.synonyms import Synonyms, merge_synonyms
from nearfield.learning.samplers.cutting import cut
from nearfield.learning.samplers.refusal import draw_allowed
from nearfield.learning.samplers.windows import random_starts


class TagTriplets(Settings):
    """A tag is drawn uniformly, then two clips with it and one without. Clips without tags are left out.

    An epoch has as many triplets as there are clips. Unless guarded, the negative lacks that one tag and may
    share others with the anchor: `shared_share` says how many do.
    """

    kind: Literal["tag_triplets"] = "tag_triplets"
    batch: int = Field(32, ge=1)
    """Triplets a batch."""
    guard: bool = False
    """The negative shares no tag at all with the anchor."""
    synonyms: Synonyms = ()
    """Groups of tags that mean the same; each group counts as one tag, which a negative lacks as a whole."""

    def build(self, facts: Facts, rows: Ints, clip_seconds: float, seed: int) -> "TagTripletSampler":
        """The sampler over `rows`. Raises DataError where no tag makes a triplet."""
        tags, names = merge_synonyms(facts.tags, facts.tag_names, self.synonyms, "sampler")
        tagged = rows[tags[rows].any(axis=1)]
        if not len(tagged):
            raise DataError(
                "sampler: tag_triplets: none of the clips to train on has a tag. Name the column that holds "
                "them (data.tags), or take another sampler: balanced, shuffle, tiles, views."
            )
        words = _packed(tags[tagged])
        can = np.ones(len(tagged), dtype=np.bool_)
        if self.guard:
            can = _strangers(words, words, stream(seed, "opposites")) >= 0
        table = _table(tags[tagged], can)
        if not len(table.usable):
            third = (
                "that shares none with one of them. Set sampler.guard to false" if self.guard else "without"
            )
            raise DataError(
                f"sampler: tag_triplets: none of {len(names)} tags has two clips with it and a third {third}."
            )
        dropped = tuple(names[tag] for tag in np.setdiff1d(np.arange(len(names)), table.usable))
        return TagTripletSampler(facts, tagged, clip_seconds, seed, self, dropped, table, words)


class Triplets(NamedTuple):
    """One epoch's triplets, each array (triplets,)."""

    tags: Ints
    """Number of the tag, counted with synonyms merged."""
    anchors: Ints
    """Row numbers, as the next two."""
    positives: Ints
    negatives: Ints


class _Table(NamedTuple):
    """Who has which tag."""

    members: Ints
    """Positions among the tagged clips, tag after tag, ascending within each."""
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


@dataclass(frozen=True)
class TagTripletSampler:
    """Draws the triplets of an epoch at once and cuts them into batches."""

    facts: Facts
    rows: Ints
    """The clips that have tags."""
    clip_seconds: float
    seed: int
    settings: TagTriplets
    dropped: tuple[str, ...]
    """Tags of which no triplet can be made."""
    table: _Table
    words: Ints

    @property
    def batch_size(self) -> int:
        """Windows a batch; the last of an epoch may hold fewer, or one triplet more."""
        return 3 * self.settings.batch

    @property
    def clips_per_epoch(self) -> int:
        """Windows drawn in an epoch: three for each clip that has tags."""
        return 3 * len(self.rows)

    def epoch(self, number: int) -> Iterator[Draw]:
        """The draws of epoch `number`, laid out as anchors, positives, negatives; `pairs` is set."""
        triplets = self.triplets(number)
        chance = stream(self.seed, "windows", number)
        for part in cut(np.arange(len(self.rows)), self.settings.batch):
            rows = np.concatenate(
                [triplets.anchors[part], triplets.positives[part], triplets.negatives[part]]
            )
            places = torch.arange(len(part))
            pairs = Pairs.from_triplets(places, places + len(part), places + 2 * len(part), len(rows))
            yield Draw(rows, random_starts(self.facts, rows, self.clip_seconds, chance), pairs)

    def triplets(self, number: int) -> Triplets:
        """The triplets of epoch `number` in their order, by row number."""
        chance = stream(self.seed, "batches", number)
        tags, anchors, positives, negatives = self._places(chance)
        return Triplets(tags, self.rows[anchors], self.rows[positives], self.rows[negatives])

    def shared_share(self, number: int) -> float:
        """Share (0..1) of epoch `number`'s negatives that have another tag in common with their anchor."""
        _, anchors, _, negatives = self._places(stream(self.seed, "batches", number))
        return 1.0 - float(_apart(self.words[anchors], self.words[negatives]).mean())

    def describe(self) -> str:
        """One line: batch, epoch, what is left out, and how clean the negatives are."""
        line = (
            f"tag_triplets: batches of {self.batch_size} ({self.settings.batch} triplets), "
            f"{self.clips_per_epoch} windows an epoch over {len(self.table.usable)} tags; "
            f"{self.shared_share(0):.1%} of negatives share another tag with their anchor"
        )
        return line + (f"; tags without triplets: {', '.join(self.dropped)}" if self.dropped else "")

    def _places(self, chance: np.random.Generator) -> tuple[Ints, Ints, Ints, Ints]:
        """Tags, and positions among the tagged clips."""
        table, count = self.table, len(self.rows)
        tags = table.usable[chance.integers(len(table.usable), size=count)]
        asker = table.askers[table.asker_begins[tags] + chance.integers(table.asker_sizes[tags])]
        other = table.begins[tags] + chance.integers(table.sizes[tags] - 1)
        other += other >= asker
        anchors, positives = table.members[asker], table.members[other]

        if self.settings.guard:
            negatives = _strangers(self.words[anchors], self.words, chance)
        else:
            negatives = _without(table, tags, count, chance)
        return tags, anchors, positives, negatives


def _table(tags: Bools, can: Bools) -> _Table:
    """The members of each tag; `can` says which clips can be an anchor."""
    which, members = np.nonzero(tags.T)
    sizes = tags.sum(axis=0)
    askers = np.flatnonzero(can[members])
    asker_sizes = np.bincount(which[askers], minlength=tags.shape[1])
    usable = np.flatnonzero((sizes >= 2) & (sizes < len(tags)) & (asker_sizes > 0))
    begins, asker_begins = np.cumsum(sizes) - sizes, np.cumsum(asker_sizes) - asker_sizes
    lacking = which * (len(tags) + 1) + members - (np.arange(len(members)) - begins[which])
    return _Table(members, begins, sizes, lacking, askers, asker_begins, asker_sizes, usable)


def _without(table: _Table, tags: Ints, count: int, chance: np.random.Generator) -> Ints:
    """One of `count` clips for each of `tags`, uniform among those that lack it.

    The r-th clip that lacks a tag stands at r plus the number of members before it: those that have at most
    r lacking clips before themselves. One search over the lists of all tags finds it.
    """
    drawn = chance.integers(count - table.sizes[tags])
    found = np.searchsorted(table.lacking, tags * (count + 1) + drawn, "right")
    return drawn + found - table.begins[tags]


def _packed(tags: Bools) -> Ints:
    """(N, words) the tags of each clip as bits, 64 a word: two clips share one where `&` leaves any."""
    bits = np.packbits(tags, axis=1)
    padding = -bits.shape[1] % 8
    return np.ascontiguousarray(np.pad(bits, ((0, 0), (0, padding)))).view(np.int64)


def _apart(some: Ints, others: Ints) -> Bools:
    """(B,) whether two clips share no tag, from their packed tags (B, words)."""
    apart: Bools = (some & others == 0).all(axis=1)
    return apart


def _strangers(askers: Ints, words: Ints, chance: np.random.Generator) -> Ints:
    """For each asker's packed tags one clip that shares none with it, uniformly; -1 where all share."""
    count = len(words)
    if np.bitwise_and.reduce(words, axis=0).any():  # a tag that every clip has: nobody need be asked
        return np.full(len(askers), -1, dtype=np.int64)

    def draw(some: Ints) -> Ints:
        return chance.integers(count, size=len(some))

    def allowed(some: Ints, drawn: Ints) -> Bools:
        return _apart(askers[some], words[drawn])

    return draw_allowed(len(askers), draw, allowed, count, chance)
