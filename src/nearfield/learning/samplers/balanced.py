"""Batches of so many labels with so many clips each, exactly.

An epoch visits every clip, and no clip more often than the composition of the batches demands: a label with
5 clips at 4 a batch is in two batches of the shortest epoch, so three of its clips come twice; where one
label has most of the clips, every batch needs other labels beside it, and their clips return more often.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from nearfield.core.errors import DataError, RequestError
from nearfield.core.nouns import Draw, Facts, Floats, Ints
from nearfield.core.seeds import stream
from nearfield.core.settings import Settings
from nearfield.core.words import count
from nearfield.learning.samplers.windows import random_starts


class Balanced(Settings):
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

    introductions: ClassVar[dict[str, str]] = {
        "per_class": (
            "Clips of each class in a batch. Two are enough to make a pair; more give each anchor a choice "
            "of near and far partners, and more triplets (Hermans et al. 2017). In a batch of a given "
            "size, more of each class means fewer classes, so that hard opposites are met less often; and "
            "small classes are repeated within the batch."
        ),
        "classes": (
            "Classes in a batch: among how many each anchor finds its opposites. Few classes are soon told "
            "apart within a batch, and confusions between the others are never met; many leave few clips "
            "of each in a batch of a given size."
        ),
    }

    def build(self, facts: Facts, rows: Ints, clip_seconds: float, seed: int) -> "BalancedSampler":
        """The sampler over `rows`. Raises DataError without labels, RequestError with fewer than two."""
        labelled = rows[facts.labels[rows] >= 0]
        if not len(labelled):
            raise DataError(
                "sampler: balanced: none of the clips to train on has a label. Name the column that holds "
                "them (data.label), or take another sampler: shuffle, tiles, tag_triplets, views."
            )
        ordered = labelled[np.argsort(facts.labels[labelled], kind="stable")]
        numbers, begins = np.unique(facts.labels[ordered], return_index=True)
        members = np.split(ordered, begins[1:])
        kept = [m for m in members if self._keeps(len(m))]
        names = [facts.label_names[number] for number in numbers]
        dropped = tuple(name for name, m in zip(names, members, strict=True) if not self._keeps(len(m)))
        self._check(len(kept), len(members))
        return BalancedSampler(facts, kept, clip_seconds, seed, self, dropped, len(rows) - len(labelled))

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

    facts: Facts
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

    def epoch(self, number: int) -> Iterator[Draw]:
        """The draws of epoch `number`; the clips of one label stand together in each."""
        chance = stream(self.seed, "batches", number)
        decks = [_Deck(rows, chance) for rows in self.members]
        even = self.settings.visits == "clips"
        for classes in self._by_clips(chance) if even else self._uniform(chance):
            rows = np.concatenate([decks[label].deal(self.settings.per_class) for label in classes])
            yield Draw(rows, random_starts(self.facts, rows, self.clip_seconds, chance))

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

    def _uniform(self, chance: np.random.Generator) -> Iterator[Ints]:
        for _ in range(self.batches_per_epoch):
            yield chance.permutation(len(self.members))[: self.classes]

    def _by_clips(self, chance: np.random.Generator) -> Iterator[Ints]:
        """The labels of each batch, drawn without replacement and weighted by the hands each has left.

        A label with as many hands left as there are batches must come now. Nothing else can go wrong: the
        hands left are always `classes` times the batches left, and no label has more of them than batches.
        """
        batches = self.batches_per_epoch
        left = share_hands(self._sizes(), self.settings.per_class, batches, batches * self.classes, chance)
        for to_come in range(batches, 0, -1):
            keys = np.full(len(left), np.inf)
            np.divide(chance.exponential(size=len(left)), left, out=keys, where=left > 0)
            keys[left == to_come] = -1.0
            classes = np.argpartition(keys, self.classes - 1)[: self.classes]
            left[classes] -= 1
            yield classes


def share_hands(sizes: Ints, per_class: int, batches: int, total: int, chance: np.random.Generator) -> Ints:
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
    next_ones = np.lexsort((chance.random(len(sizes)), visits))[: total - int(hands.sum())]
    hands[next_ones] += 1
    return hands


class _Deck:
    """The clips of one label, walked in one fresh permutation after another."""

    def __init__(self, rows: Ints, chance: np.random.Generator) -> None:
        self.rows = rows
        self.chance = chance
        self.left = rows[:0]

    def deal(self, count: int) -> Ints:
        """(count,) rows; none twice while there are enough, else all equally often, give or take one."""
        whole, rest = divmod(count, len(self.rows))
        if len(self.left) < rest:
            fresh = self.chance.permutation(self.rows)
            again = np.isin(fresh, self.left)
            self.left = np.concatenate([self.left, fresh[~again], fresh[again]])
        hand, self.left = self.left[:rest], self.left[rest:]
        return np.concatenate([*[self.rows] * whole, hand])
