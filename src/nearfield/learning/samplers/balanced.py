"""Balanced batches: so many labels (or tags) with so many clips each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from nearfield.core.errors import DataError, RequestError
from nearfield.core.rng import stream
from nearfield.core.text import count
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Floats, Ints
from nearfield.learning.relations.labels import Synonyms, merge_synonyms
from nearfield.learning.samplers.base import BaseSamplerSettings, samplers_without
from nearfield.learning.samplers.batches import random_starts

# Batches of so many labels with so many clips each, exactly.
#
# An epoch visits every clip, and no clip more often than the composition of the batches demands: a label with
# 5 clips at 4 a batch is in two batches of the shortest epoch, so three of its clips come twice; where one
# label has most of the clips, every batch needs other labels beside it, and their clips return more often.


class Balanced(BaseSamplerSettings):
    """Each batch holds `classes` labels with `per_class` clips of each; unlabelled clips are left out.

    Where there are fewer labels, each batch holds all of them, and is that much smaller.
    """

    kind: Literal["balanced"] = "balanced"
    classes: int = Field(8, ge=2)
    """Labels a batch, or all that there are where they are fewer."""
    per_class: int = Field(4, ge=1)
    """Clips of each label in a batch."""
    small: Literal["duplicate", "drop"] = "duplicate"
    """What becomes of a label with fewer clips than per_class: they are repeated within a batch, or the
    label is left out (and named in the report)."""
    visits: Literal["clips", "classes"] = "clips"
    """What an epoch visits evenly: clips (each about once), or classes (each batch draws its labels
    uniformly, so that clips of rare labels come more often)."""

    needs: ClassVar[Literal["labels", "tags", "time"] | None] = "labels"
    clip_by_clip: ClassVar[bool] = True

    def without_positives(self, by: Literal["labels", "views"]) -> str | None:
        """Why single clips of each label make no pair."""
        if self.per_class > 1:
            return None
        if by == "views":
            return "sampler.kind: balanced does not bring two views of a clip together"
        return "sampler.per_class: 1 clip of each label makes batches in which no two clips are alike"

    def for_validation(self, labels: Ints) -> Self:
        """Takes no clip twice into a batch: two copies that nothing bends are no distance apart."""
        clips = np.unique(labels[labels >= 0], return_counts=True)[1]
        fewest = int(clips[clips > 1].min(initial=self.per_class))
        return self.model_copy(update={"per_class": min(self.per_class, fewest), "small": "drop"})

    def windows(self) -> int:
        """Clips of all labels of a batch."""
        return self.classes * self.per_class

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "BalancedSampler":
        """The sampler over `rows`. Raises DataError without labels, RequestError with fewer than two."""
        labelled = rows[metadata.labels[rows] >= 0]
        if not len(labelled):
            raise DataError(
                "sampler: balanced: none of the clips to train on has a label. Name the column that holds "
                f"them (data.label), or take another sampler: {samplers_without('labels')}."
            )
        ordered = labelled[np.argsort(metadata.labels[labelled], kind="stable")]
        numbers, begins = np.unique(metadata.labels[ordered], return_index=True)
        members = np.split(ordered, begins[1:])
        kept = [m for m in members if self._keeps(len(m))]
        names = [metadata.label_name(number) for number in numbers]
        dropped = tuple(name for name, m in zip(names, members, strict=True) if not self._keeps(len(m)))
        self._check(len(kept), len(members))
        return BalancedSampler(metadata, kept, clip_seconds, seed, self, dropped, len(rows) - len(labelled))

    def _keeps(self, clips: int) -> bool:
        return clips >= self.per_class or self.small == "duplicate"

    def _check(self, kept: int, present: int) -> None:
        if kept >= 2:
            return
        small = f" with at least {self.per_class} clips" if self.small == "drop" else ""
        cures = ["give clips of more labels"]
        if self.small == "drop" and present > kept:
            cures.append(
                f"set sampler.small to duplicate or lower sampler.per_class ({present} labels in all)"
            )
        raise RequestError(
            f"sampler: balanced: classes is {self.classes}, but the clips to train on have {kept} "
            f"label{'' if kept == 1 else 's'}{small}. Cure: {', or '.join(cures)}."
        )


@dataclass(frozen=True)
class BalancedSampler:
    """Draws the labels of each batch, then deals each label's clips."""

    metadata: ClipMetadata
    members: list[Ints]
    """The rows of each label that is kept."""
    clip_seconds: float
    seed: int
    settings: Balanced
    dropped: tuple[str, ...]
    """Names of the labels left out for having too few clips."""
    unlabelled: int
    """Clips left out for having no label."""

    @property
    def classes(self) -> int:
        """Labels in every batch: as many as are set, or all that there are."""
        return min(self.settings.classes, len(self.members))

    @property
    def is_short(self) -> bool:
        """Whether there are fewer labels than a batch was to hold."""
        return self.classes < self.settings.classes

    @property
    def batch_size(self) -> int:
        """Clips in every batch, without exception."""
        return self.classes * self.settings.per_class

    @property
    def batches_per_epoch(self) -> int:
        """The least number of batches in which every clip has its turn (`visits: clips`), or whose clips
        are together as many as there are (`visits: classes`)."""
        sizes = self._sizes()
        if self.settings.visits == "classes":
            return int(-(-sizes.sum() // self.batch_size))
        hands = -(-sizes // self.settings.per_class)
        return int(max(hands.max(), -(-hands.sum() // self.classes)))

    @property
    def clips_per_epoch(self) -> int:
        """Clips drawn in an epoch, repeats counted."""
        return self.batches_per_epoch * self.batch_size

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """The draws of epoch `number`; the clips of one label stand together in each."""
        rng = stream(self.seed, "batches", number)
        decks = [_ClassQueue(rows, rng) for rows in self.members]
        even = self.settings.visits == "clips"
        for classes in self._by_clips(rng) if even else self._uniform(rng):
            rows = np.concatenate([decks[label].next_batch(self.settings.per_class) for label in classes])
            yield BatchIndices(rows, random_starts(self.metadata, rows, self.clip_seconds, rng))

    def describe(self) -> str:
        """One line: batch, epoch, and what is left out."""
        clips = int(self._sizes().sum())
        there = len(self.members)
        short = f" (sampler.classes is {self.settings.classes}, and there are no more)"
        line = (
            f"Batches of {self.batch_size} clips: {self.classes} of {count(there, 'label')} x "
            f"{self.settings.per_class} clips{short if self.is_short else ''}. "
            f"{count(clips, 'training clip')}, {count(self.batches_per_epoch, 'batch')} per epoch."
        )
        if self.dropped:
            line += f" Left out, with fewer than {self.settings.per_class} clips: {', '.join(self.dropped)}."
        return line + (f" Left out: {self.unlabelled} clips without a label." if self.unlabelled else "")

    def _sizes(self) -> Ints:
        return np.array([len(rows) for rows in self.members], dtype=np.int64)

    def _uniform(self, rng: np.random.Generator) -> Iterator[Ints]:
        for _ in range(self.batches_per_epoch):
            yield rng.permutation(len(self.members))[: self.classes]

    def _by_clips(self, rng: np.random.Generator) -> Iterator[Ints]:
        """The labels of each batch, drawn without replacement and weighted by the hands each has left.

        A label with as many hands left as there are batches must come now. Nothing else can go wrong: the
        hands left are always `classes` times the batches left, and no label has more of them than batches.
        """
        batches = self.batches_per_epoch
        left = share_quotas(self._sizes(), self.settings.per_class, batches, batches * self.classes, rng)
        for to_come in range(batches, 0, -1):
            keys = np.full(len(left), np.inf)
            np.divide(rng.exponential(size=len(left)), left, out=keys, where=left > 0)
            keys[left == to_come] = -1.0
            classes = np.argpartition(keys, self.classes - 1)[: self.classes]
            left[classes] -= 1
            yield classes


def share_quotas(sizes: Ints, per_class: int, batches: int, total: int, rng: np.random.Generator) -> Ints:
    """(classes,) how many batches of an epoch each label is in; together `total`, each `batches` at most.

    Each has enough of them to show all its clips; the rest goes, one by one, to the label whose clips are
    then visited least (ties by chance).
    """
    base = -(-sizes // per_class)

    def at(visits: float) -> Ints:
        return np.clip(np.floor(visits * sizes / per_class).astype(np.int64), base, batches)

    low, high = 0.0, float(per_class * batches)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle).sum() <= total else (low, middle)
    hands = at(low)
    visits: Floats = np.where(hands < batches, (hands + 1) / sizes, np.inf).round(9)
    next_ones = np.lexsort((rng.random(len(sizes)), visits))[: total - int(hands.sum())]
    hands[next_ones] += 1
    return hands


class _ClassQueue:
    """The clips of one label, walked in one fresh permutation after another."""

    def __init__(self, rows: Ints, rng: np.random.Generator) -> None:
        self.rows = rows
        self.rng = rng
        self.left = rows[:0]

    def next_batch(self, count: int) -> Ints:
        """(count,) rows; none twice while there are enough, else all equally often, give or take one."""
        whole, rest = divmod(count, len(self.rows))
        if len(self.left) < rest:
            fresh = self.rng.permutation(self.rows)
            again = np.isin(fresh, self.left)
            self.left = np.concatenate([self.left, fresh[~again], fresh[again]])
        hand, self.left = self.left[:rest], self.left[rest:]
        return np.concatenate([*[self.rows] * whole, hand])


# Batches in which every tag has its turn, for clips with several tags.
#
# Tags come in equal number, so clips of rare tags come more often than others. Of the clips of a tag those
# come first that were visited least in the epoch, by whichever of their tags: a clip with a rare and a common
# tag does not come twice while others wait.


class BalancedTags(BaseSamplerSettings):
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

    needs: ClassVar[Literal["labels", "tags", "time"] | None] = "tags"
    clip_by_clip: ClassVar[bool] = True

    def without_positives(self, by: Literal["labels", "views"]) -> str | None:
        """Why no clip is twice in a batch."""
        said = "sampler.kind: balanced_tags does not bring two views of a clip together"
        return said if by == "views" else None

    def windows(self) -> int:
        """Clips a batch."""
        return self.batch_size

    def build(
        self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int
    ) -> "BalancedTagSampler":
        """The sampler over `rows`. Raises DataError without tags, RequestError for too large a batch."""
        tags, names = merge_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "sampler")
        tagged = rows[tags[rows].any(axis=1)]
        if not len(tagged):
            raise DataError(
                "sampler: balanced_tags: none of the clips to train on has a tag. Name the column that holds "
                f"them (data.tags), or take another sampler: {samplers_without('tags')}."
            )
        if len(tagged) < self.batch_size:
            raise RequestError(
                f"sampler: balanced_tags: batch_size is {self.batch_size}, and {len(tagged)} of the clips to "
                "train on have tags; none comes twice in a batch. Make the batch smaller, or take shuffle."
            )
        dropped = tuple(np.array(names)[~tags[tagged].any(axis=0)].tolist())
        without = len(rows) - len(tagged)
        return BalancedTagSampler(metadata, tagged, tags[tagged], clip_seconds, seed, self, dropped, without)


@dataclass(frozen=True)
class BalancedTagSampler:
    """Goes round the tags in random order and deals the clips of each."""

    metadata: ClipMetadata
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

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """The draws of epoch `number`; clips drawn for one tag stand together."""
        rng = stream(self.seed, "batches", number)
        visits = np.zeros(len(self.rows), dtype=np.int64)  # by any tag: the decks share it
        decks = [_TagQueue(np.flatnonzero(has), visits, rng) for has in self.tags.T if has.any()]
        turns = _turns(decks, rng)
        for _ in range(self.clips_per_epoch // self.batch_size):
            batch: list[int] = []
            while len(batch) < self.batch_size:
                deck = next(turns)
                for _ in range(min(self.settings.per_tag, self.batch_size - len(batch))):
                    batch += deck.next_batch(batch)
            rows = self.rows[batch]
            yield BatchIndices(rows, random_starts(self.metadata, rows, self.clip_seconds, rng))

    def describe(self) -> str:
        """One line: batch, epoch, and what is left out."""
        line = (
            f"Batches of {self.batch_size} different clips: {self.settings.per_tag} for each of "
            f"{int(self.tags.any(axis=0).sum())} tags in turn. {count(len(self.rows), 'training clip')}, "
            f"{self.clips_per_epoch:,} per epoch."
        )
        return line + (f" Left out: {self.untagged} clips without a tag." if self.untagged else "")


class _TagQueue:
    """The clips of one tag, those that were visited least first, in random order among equals."""

    def __init__(self, members: Ints, visits: Ints, rng: np.random.Generator) -> None:
        self.members, self.visits, self.rng = members, visits, rng
        self.level = -1
        self.left: list[int] = []

    def next_batch(self, taken: Sequence[int]) -> list[int]:
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
            self.left = self.rng.permutation(free[self.visits[free] == self.level]).tolist()


def _turns(decks: list[_TagQueue], rng: np.random.Generator) -> Iterator[_TagQueue]:
    """Every deck once a round, every round in another order."""
    while True:
        for place in rng.permutation(len(decks)).tolist():
            yield decks[place]
