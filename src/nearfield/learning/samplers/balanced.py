"""Samplers of balanced batches: a number of labels (or tags) with a number of clips each."""

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

# Batches with an exact number of labels and of clips per label.
#
# An epoch contains every clip, and repeats as few as possible. A label with 5 clips and 4 clips per batch is
# in two batches of the shortest epoch, so three of its clips are repeated. If one label has most of the
# clips, the clips of the other labels are repeated more often, because every batch needs several labels.


class Balanced(BaseSamplerSettings):
    """Batches of `classes` labels with `per_class` clips each. Clips without a label are left out.

    If there are fewer labels than `classes`, each batch contains all of them and is smaller.
    """

    kind: Literal["balanced"] = "balanced"
    classes: int = Field(8, ge=2)
    """Number of labels per batch, 2 or more; all labels if there are fewer."""
    per_class: int = Field(4, ge=1)
    """Number of clips of each label in a batch; 1 or more."""
    small: Literal["duplicate", "drop"] = "duplicate"
    """Labels with fewer clips than per_class: their clips are repeated in a batch (duplicate), or they are
    left
    out and named in the output (drop)."""
    visits: Literal["clips", "classes"] = "clips"
    """What is drawn equally often in an epoch: clips (each about once), or classes (the labels of each batch
    are drawn uniformly, so clips of rare labels are drawn more often)."""

    needs: ClassVar[Literal["labels", "tags", "time"] | None] = "labels"
    clip_by_clip: ClassVar[bool] = True

    def without_positives(self, by: Literal["labels", "views"]) -> str | None:
        """Returns why batches with one clip per label contain no positives."""
        if self.per_class > 1:
            return None
        if by == "views":
            return "sampler.kind: balanced draws no two views of a clip in a batch"
        return "sampler.per_class: batches with 1 clip of each label contain no positives"

    def for_validation(self, labels: Ints) -> Self:
        """Returns settings that repeat no clip in a batch, because repeats without augmentation are
        identical."""
        clips = np.unique(labels[labels >= 0], return_counts=True)[1]
        fewest = int(clips[clips > 1].min(initial=self.per_class))
        return self.model_copy(update={"per_class": min(self.per_class, fewest), "small": "drop"})

    def windows(self) -> int:
        """Returns the number of clips per batch."""
        return self.classes * self.per_class

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "BalancedSampler":
        """Creates the sampler over `rows`.

        Raises DataError if no clip has a label, and RequestError if there are fewer than two labels.
        """
        labelled = rows[metadata.labels[rows] >= 0]
        if not len(labelled):
            raise DataError(
                "sampler: balanced: none of the clips to train on has a label. Name the column with the "
                f"labels (data.label), or use another sampler: {samplers_without('labels')}."
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
        cures = ["add clips of more labels"]
        if self.small == "drop" and present > kept:
            cures.append(
                f"set sampler.small to duplicate or lower sampler.per_class ({present} labels in all)"
            )
        raise RequestError(
            f"sampler: balanced: classes is {self.classes}, but the clips to train on have {kept} "
            f"label{'' if kept == 1 else 's'}{small}. Remedy: {', or '.join(cures)}."
        )


@dataclass(frozen=True)
class BalancedSampler:
    """Draws the labels of each batch, then clips of each label."""

    metadata: ClipMetadata
    members: list[Ints]
    """Rows of the clips of each label that is used."""
    clip_seconds: float
    seed: int
    settings: Balanced
    dropped: tuple[str, ...]
    """Names of the labels left out because they have too few clips."""
    unlabelled: int
    """Number of clips left out because they have no label."""

    @property
    def classes(self) -> int:
        """Number of labels per batch: that of the settings, or all labels if there are fewer."""
        return min(self.settings.classes, len(self.members))

    @property
    def is_short(self) -> bool:
        """Whether there are fewer labels than the settings require."""
        return self.classes < self.settings.classes

    @property
    def batch_size(self) -> int:
        """Number of clips in every batch."""
        return self.classes * self.settings.per_class

    @property
    def batches_per_epoch(self) -> int:
        """Smallest number of batches that can contain every clip (`visits: clips`), or that have as many
        clips in
        total as there are (`visits: classes`)."""
        sizes = self._sizes()
        if self.settings.visits == "classes":
            return int(-(-sizes.sum() // self.batch_size))
        hands = -(-sizes // self.settings.per_class)
        return int(max(hands.max(), -(-hands.sum() // self.classes)))

    @property
    def clips_per_epoch(self) -> int:
        """Number of clips in an epoch, with repeats."""
        return self.batches_per_epoch * self.batch_size

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """Yields the batches of epoch `number`; the clips of a label are adjacent."""
        rng = stream(self.seed, "batches", number)
        queues = [_ClassQueue(rows, rng) for rows in self.members]
        even = self.settings.visits == "clips"
        for classes in self._by_clips(rng) if even else self._uniform(rng):
            rows = np.concatenate([queues[label].next_batch(self.settings.per_class) for label in classes])
            yield BatchIndices(rows, random_starts(self.metadata, rows, self.clip_seconds, rng))

    def describe(self) -> str:
        """Describes batches, epochs and clips left out, in one line."""
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
        """Yields the labels of each batch, drawn without replacement, weighted by their remaining quota.

        The quota of a label is the number of batches that contain it. A label whose remaining quota equals
        the number of remaining batches must be drawn now. This always succeeds: the remaining quotas sum to
        `classes` times the remaining batches, and none exceeds the number of remaining batches."""
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
    """Computes (classes,) the number of batches of an epoch that contain each label.

    Each label gets enough batches for all its clips. The remaining batches are assigned one at a time to the
    label whose clips are then repeated least; ties are broken at random.

    Parameters
    ----------
    sizes
        (classes,) number of clips of each label.
    per_class
        Number of clips of a label per batch.
    batches
        Number of batches, the upper limit for each label.
    total
        Sum of the result.
    rng
        Generator that breaks ties.
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
    """Draws the clips of one label in one random permutation after another."""

    def __init__(self, rows: Ints, rng: np.random.Generator) -> None:
        self.rows = rows
        self.rng = rng
        self.left = rows[:0]

    def next_batch(self, count: int) -> Ints:
        """Returns (count,) rows: all different if there are enough, else each equally often within one."""
        whole, rest = divmod(count, len(self.rows))
        if len(self.left) < rest:
            fresh = self.rng.permutation(self.rows)
            again = np.isin(fresh, self.left)
            self.left = np.concatenate([self.left, fresh[~again], fresh[again]])
        drawn, self.left = self.left[:rest], self.left[rest:]
        return np.concatenate([*[self.rows] * whole, drawn])


# Batches balanced by tags, for clips with several tags.
#
# All tags are drawn equally often, so clips with rare tags are drawn more often. Among the clips of a tag,
# those drawn least often in the epoch (for any of their tags) come first, so a clip with a rare and a common
# tag is not drawn twice before other clips are drawn once.


class BalancedTags(BaseSamplerSettings):
    """Draws tags equally often, then clips that have them; no clip is twice in a batch.

    An epoch draws about as many clips as there are. Clips without tags are left out.
    """

    kind: Literal["balanced_tags"] = "balanced_tags"
    batch_size: int = Field(32, ge=2)
    """Number of clips per batch; 2 or more."""
    per_tag: int = Field(2, ge=1)
    """Number of clips drawn for a tag before the next tag; 1 or more. With 2 or more, each clip has a
    positive in
    the batch."""
    synonyms: Synonyms = ()
    """Groups of tags that mean the same; each group is one tag."""

    needs: ClassVar[Literal["labels", "tags", "time"] | None] = "tags"
    clip_by_clip: ClassVar[bool] = True

    def without_positives(self, by: Literal["labels", "views"]) -> str | None:
        """Returns why batches contain no two views of a clip."""
        reason = "sampler.kind: balanced_tags draws no two views of a clip in a batch"
        return reason if by == "views" else None

    def windows(self) -> int:
        """Returns the number of clips per batch."""
        return self.batch_size

    def build(
        self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int
    ) -> "BalancedTagSampler":
        """Creates the sampler over `rows`.

        Raises DataError if no clip has a tag, and RequestError if fewer clips have tags than a batch needs.
        """
        tags, names = merge_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "sampler")
        tagged = rows[tags[rows].any(axis=1)]
        if not len(tagged):
            raise DataError(
                "sampler: balanced_tags: none of the clips to train on has a tag. Name the column with the "
                f"tags (data.tags), or use another sampler: {samplers_without('tags')}."
            )
        if len(tagged) < self.batch_size:
            raise RequestError(
                f"sampler: balanced_tags: batch_size is {self.batch_size}, but only {len(tagged)} of the "
                "clips to train on have tags, and no clip is twice in a batch. Lower sampler.batch_size, or "
                "use the sampler shuffle."
            )
        dropped = tuple(np.array(names)[~tags[tagged].any(axis=0)].tolist())
        without = len(rows) - len(tagged)
        return BalancedTagSampler(metadata, tagged, tags[tagged], clip_seconds, seed, self, dropped, without)


@dataclass(frozen=True)
class BalancedTagSampler:
    """Draws clips of each tag in turn, in random order of tags."""

    metadata: ClipMetadata
    rows: Ints
    """(n,) rows of the clips that have tags."""
    tags: Bools
    """(n, K) their tags, synonyms merged."""
    clip_seconds: float
    seed: int
    settings: BalancedTags
    dropped: tuple[str, ...]
    """Tags that no clip has."""
    untagged: int
    """Number of clips left out because they have no tag."""

    @property
    def batch_size(self) -> int:
        """Number of clips in every batch."""
        return self.settings.batch_size

    @property
    def is_short(self) -> bool:
        """False, because `build` raises RequestError if there are too few clips."""
        return False

    @property
    def clips_per_epoch(self) -> int:
        """Number of clips in an epoch: that of the clips with tags, rounded up to full batches."""
        return -(-len(self.rows) // self.batch_size) * self.batch_size

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """Yields the batches of epoch `number`; clips drawn for one tag are adjacent."""
        rng = stream(self.seed, "batches", number)
        visits = np.zeros(len(self.rows), dtype=np.int64)  # for any tag: shared by all queues
        queues = [_TagQueue(np.flatnonzero(has), visits, rng) for has in self.tags.T if has.any()]
        turns = _turns(queues, rng)
        for _ in range(self.clips_per_epoch // self.batch_size):
            batch: list[int] = []
            while len(batch) < self.batch_size:
                queue = next(turns)
                for _ in range(min(self.settings.per_tag, self.batch_size - len(batch))):
                    batch += queue.next_batch(batch)
            rows = self.rows[batch]
            yield BatchIndices(rows, random_starts(self.metadata, rows, self.clip_seconds, rng))

    def describe(self) -> str:
        """Describes batches, epochs and clips left out, in one line."""
        line = (
            f"Batches of {self.batch_size} different clips: {self.settings.per_tag} for each of "
            f"{int(self.tags.any(axis=0).sum())} tags in turn. {count(len(self.rows), 'training clip')}, "
            f"{self.clips_per_epoch:,} per epoch."
        )
        return line + (f" Left out: {self.untagged} clips without a tag." if self.untagged else "")


class _TagQueue:
    """Draws the clips of one tag: those drawn least often first, at random among equals."""

    def __init__(self, members: Ints, visits: Ints, rng: np.random.Generator) -> None:
        self.members, self.visits, self.rng = members, visits, rng
        self.level = -1
        self.left: list[int] = []

    def next_batch(self, taken: Sequence[int]) -> list[int]:
        """Returns a clip that is not in `taken`, or an empty list if all are."""
        while True:
            while self.left:
                clip = self.left.pop()
                if self.visits[clip] == self.level:  # otherwise it has been drawn for another tag
                    self.visits[clip] += 1
                    return [clip]
            free = np.setdiff1d(self.members, taken)
            if not len(free):
                return []
            self.level = int(self.visits[free].min())
            self.left = self.rng.permutation(free[self.visits[free] == self.level]).tolist()


def _turns(queues: list[_TagQueue], rng: np.random.Generator) -> Iterator[_TagQueue]:
    """Yields every queue once per round, in a random order in each round."""
    while True:
        for place in rng.permutation(len(queues)).tolist():
            yield queues[place]
