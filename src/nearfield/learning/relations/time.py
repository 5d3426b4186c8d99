"""Relation by time: windows of one recording, or of several recorders, that are close in time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count, islice
from typing import ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from pydantic import Field

from nearfield.core.errors import DataError, RequestError, choose
from nearfield.core.settings import Settings
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Floats, Ints, Pairs
from nearfield.learning.relations.base import BaseRelationSettings

# Columns of a collection, for conditions such as another session or another node.


def column(metadata: ClipMetadata, name: str, where: str) -> Ints:
    """Returns (N,) the class numbers of a column, -1 where it is empty.

    `recording` and `group` are columns, too. Raises RequestError, which names the key `where`, if there is no
    column `name`.
    """
    known = {"recording": metadata.recordings, "group": metadata.groups, **metadata.columns}
    if name not in known:
        raise RequestError(f"{where}: the collection has no column {name!r}. {choose(name, known)}")
    return known[name]


def same(numbers: Ints) -> Bools:
    """Returns (B, B) whether two items have the same number, both known (0 or more)."""
    equal: Bools = (numbers[:, None] == numbers[None, :]) & (numbers >= 0)[:, None]
    return equal


def other(numbers: Ints) -> Bools:
    """Returns (B, B) whether two items have different numbers, both known (0 or more)."""
    known = numbers >= 0
    differ: Bools = (numbers[:, None] != numbers[None, :]) & known[:, None] & known[None, :]
    return differ


# Several recorders of one scene: their windows with the same start are positives.
#
# Such a pair has the same sound from different microphones and places. Without such pairs, a network trained
# with pairs close in time may learn to distinguish rooms and recorders.


class Across(Settings):
    """Windows of one scene from two recorders at the same time."""

    column: str = "node"
    """Column of the recorder; the two windows have different values."""
    clock: str = "session"
    """Column of the scene; the two windows have the same value. Recordings of one scene share one clock."""
    within_seconds: float = Field(0.5, ge=0)
    """Largest difference of the start times, in seconds; 0 or more."""

    def read(self, metadata: ClipMetadata, where: str) -> "Scenes":
        """Reads recorders and scenes from `metadata`. Raises RequestError if a column is unknown."""
        recorders = column(metadata, self.column, f"{where}.column")
        return Scenes(recorders, column(metadata, self.clock, f"{where}.clock"))


@dataclass(frozen=True)
class Scenes:
    """Recorder and scene of each item, as class numbers; -1 means unknown."""

    recorders: Ints
    clocks: Ints

    def take(self, rows: Ints) -> Self:
        """Returns the recorders and scenes of some rows."""
        return type(self)(self.recorders[rows], self.clocks[rows])

    def together(self) -> Bools:
        """Returns (B, B) whether two items belong to one scene."""
        return same(self.clocks)

    def across(self) -> Bools:
        """Returns (B, B) whether two items belong to one scene and to different recorders."""
        return self.together() & other(self.recorders)

    def runs(self, start_times: Ints, span: int) -> tuple[Ints, Ints]:
        """Returns all pairs of items of one scene with different recorders that start within `span`.

        Parameters
        ----------
        start_times
            (M,) start of each item on the clock of its scene, in ticks.
        span
            Largest difference of the start times, in ticks.

        Returns
        -------
        tuple
            (P,) first and (P,) second items, sorted by the first; each pair occurs in both orders.
        """
        known = np.flatnonzero((self.clocks >= 0) & (self.recorders >= 0))
        order = known[np.lexsort((start_times[known], self.clocks[known]))]
        if not len(order):
            return order, order
        # Scenes are placed one after another on one axis, more than `span` apart.
        begun = np.flatnonzero(np.diff(self.clocks[order], prepend=-1))
        scene = np.repeat(np.arange(len(begun)), np.diff(begun, append=len(order)))
        clock = start_times[order] - start_times[order[begun]][scene]
        lengths = np.maximum.reduceat(clock, begun) + span + 1
        axis = clock + (np.cumsum(lengths) - lengths)[scene]
        low, high = np.searchsorted(axis, axis - span, "left"), np.searchsorted(axis, axis + span, "right")
        sizes = high - low
        places = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - low, sizes)
        first, second = np.repeat(order, sizes), order[places]
        differ = self.recorders[first] != self.recorders[second]
        first, second = first[differ], second[differ]
        by_first = np.lexsort((second, first))
        return first[by_first], second[by_first]


# Windows are positives if they are close in time in one recording.


class Time(BaseRelationSettings):
    """Windows close in time in one recording are positives, windows of different recordings negatives.
    Distant windows of one recording are ignored."""

    kind: Literal["time"] = "time"
    range_seconds: float = Field(5.0, gt=0)
    """Largest difference of the start times of positives, in seconds; above 0."""
    other_group: bool = False
    """Whether negatives must also belong to different groups (speaker, source, place)."""
    other: tuple[str, ...] = ()
    """Columns of the collection (such as session, node) in which negatives must also differ; a window with an
    empty cell there has no negatives."""
    not_synchronous: float | None = Field(None, gt=0)
    """Smallest difference of the start times of negatives, in seconds, if several recorders of one scene
    share
    one clock; none: no such condition."""
    across: Across | None = None
    """Windows of one scene from two recorders are positives if they start at the same time, and are ignored
    elsewhere within range_seconds; none: positives come from one recording only."""
    far_is_unlike: bool = False
    """Whether windows of one recording are negatives if they start further apart than range_seconds plus
    gap_seconds."""
    gap_seconds: float = Field(0.0, ge=0)
    """Seconds beyond range_seconds in which windows of one recording are ignored, with far_is_unlike."""

    folders_are_labels: ClassVar[bool] = False

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "TimeRelation":
        """Creates the relation over the clips of `metadata`.

        Raises DataError for images or if no recording is known, and RequestError if a column is unknown.
        """
        if not (metadata.seconds > 0).any():
            raise DataError(
                "relation: time: the clips have no duration; this relation needs sound. For images, use "
                "labels, tags or views."
            )
        if not (metadata.recordings >= 0).any():
            raise DataError(
                "relation: time: the recording of no clip is known. Name its column (data.recording), or use "
                "the relation views."
            )
        differing = [column(metadata, name, "relation.other") for name in self.other]
        differing += [metadata.groups] if self.other_group else []
        scenes = self.across.read(metadata, "relation.across") if self.across else None
        return TimeRelation(metadata, self, tuple(differing), scenes)


@dataclass(frozen=True)
class TimeRelation:
    """Creates `Pairs` from the start of each window on the clock of its recording.

    A window that occurs twice is ignored as a pair, because nothing can be learned from it. Clips of unknown
    recording are ignored; with `other_group`, clips of unknown group have no negatives.
    """

    metadata: ClipMetadata
    settings: Time
    differing: tuple[Ints, ...]
    """(N,) each: class numbers in which negatives must differ, besides the recording."""
    scenes: Scenes | None
    kind: ClassVar[str] = "time"

    def __call__(self, indices: BatchIndices) -> Pairs:
        """Returns the pairs of a batch."""
        recordings = self.metadata.recordings[indices.rows]
        here = same(recordings)
        start_times = ticks(self.metadata.start_times[indices.rows] + indices.starts)
        apart = np.abs(start_times[:, None] - start_times[None, :])
        window = (indices.rows[:, None] == indices.rows[None, :]) & (apart == 0)
        positive = here & (apart <= reach(self.settings.range_seconds)) & ~window
        negative = other(recordings)
        for numbers in self.differing:
            negative &= other(numbers[indices.rows])
        if self.settings.not_synchronous is not None:
            negative &= apart >= clear(self.settings.not_synchronous)
        if self.scenes is not None and self.settings.across is not None:
            scenes, within = self.scenes.take(indices.rows), self.settings.across.within_seconds
            positive |= scenes.across() & other(recordings) & (apart <= reach(within))
            negative &= ~(scenes.together() & (apart <= reach(max(within, self.settings.range_seconds))))
        if self.settings.far_is_unlike:
            negative |= here & (apart > reach(self.settings.range_seconds + self.settings.gap_seconds))
        return Pairs(torch.from_numpy(positive), torch.from_numpy(negative))


def ticks(seconds: Floats | float) -> Ints:
    """Converts seconds to whole microseconds, because sums of seconds are not exact as floats."""
    return np.rint(np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)


def reach(seconds: float) -> int:
    """Returns the largest difference of two `ticks` within `seconds`; plus 1, as both were rounded."""
    return int(ticks(seconds)) + 1


def clear(seconds: float) -> int:
    """Returns the smallest difference of two `ticks` of at least `seconds`; less 1, as both were rounded."""
    return int(ticks(seconds)) - 1


# False negatives: negatives with the same label, which occur when training without labels.

SYNCHRONOUS = 1.0
"""Windows that start less than this many seconds apart are synchronous in `false_negative_report`."""


class Epochs(Protocol):
    """The method of a sampler that `false_negative_report` uses."""

    def epoch(self, number: int) -> Iterable[BatchIndices]:
        """Yields the batches of epoch `number`."""
        ...


def false_negative_rate(
    draws: Iterable[BatchIndices], labels: Ints, relation: Callable[[BatchIndices], Pairs] | None = None
) -> float | None:
    """Computes the fraction of negatives whose two clips have the same label.

    Parameters
    ----------
    draws
        Batches of a sampler.
    labels
        (N,) class numbers; -1 means unknown. Pairs with an unknown clip are not counted.
    relation
        Determines the negatives of batches whose sampler does not set pairs.

    Returns
    -------
    float or None
        0..1; None if no pair is counted.

    Raises
    ------
    RequestError
        If a batch has no pairs and `relation` is None.
    """
    judged = wrong = 0
    for indices in draws:
        given = torch.from_numpy(labels[indices.rows])
        known = given >= 0
        cells = _pairs(indices, relation).negative & known[:, None] & known[None, :]
        judged += int(cells.sum())
        wrong += int((cells & (given[:, None] == given[None, :])).sum())
    return wrong / judged if judged else None


def false_negative_report(
    sampler: Epochs,
    relation: Callable[[BatchIndices], Pairs] | None,
    metadata: ClipMetadata,
    batches: int = 50,
) -> dict[str, float]:
    """Computes what fraction of negatives agree in label, group, recording, time or another column.

    Parameters
    ----------
    sampler
        The sampler of the batches.
    relation
        Determines the negatives of batches whose sampler does not set pairs.
    metadata
        Metadata of the N clips.
    batches
        Number of batches, from the first of epoch 0.

    Returns
    -------
    dict
        Fractions (0..1) by name: `label`, `group`, `recording` and each further column (pairs with an unknown
        clip are not counted); `synchronous`: the start times differ by less than a second, which is
        meaningful if the recordings share one clock. Names without counted pairs are missing.

    Raises
    ------
    RequestError
        If a batch has no pairs and `relation` is None.
    """
    columns = {
        "label": metadata.labels,
        "group": metadata.groups,
        "recording": metadata.recordings,
        **metadata.columns,
    }
    judged = dict.fromkeys((*columns, "synchronous"), 0)
    common = dict(judged)
    for indices in islice((indices for number in count() for indices in sampler.epoch(number)), batches):
        one, other = _pairs(indices, relation).negative.numpy().nonzero()
        for name, numbers in columns.items():
            first, second = numbers[indices.rows[one]], numbers[indices.rows[other]]
            known = (first >= 0) & (second >= 0)
            judged[name] += int(known.sum())
            common[name] += int((known & (first == second)).sum())
        start_times = ticks(metadata.start_times[indices.rows] + indices.starts)
        near = np.abs(start_times[one] - start_times[other]) < clear(SYNCHRONOUS)
        judged["synchronous"] += len(near) if metadata.start_times.any() else 0
        common["synchronous"] += int(near.sum())
    return {name: common[name] / times for name, times in judged.items() if times}


def _pairs(indices: BatchIndices, relation: Callable[[BatchIndices], Pairs] | None) -> Pairs:
    if indices.pairs is not None:
        return indices.pairs
    if relation is None:
        raise RequestError("The sampler sets no pairs. Pass the relation that determines them.")
    return relation(indices)
