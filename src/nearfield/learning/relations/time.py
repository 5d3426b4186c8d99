"""Relations by time: windows of one recording, or of several recorders, that lie close in time."""

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

# Columns of a collection by name, for rules over them: another session, another node.


def column(metadata: ClipMetadata, name: str, where: str) -> Ints:
    """(N,) class numbers of the column `name`, -1 where it is empty.

    Besides the collection's further columns there are `recording` and `group`. Raises RequestError, with the
    key `where` in front, for any other name.
    """
    known = {"recording": metadata.recordings, "group": metadata.groups, **metadata.columns}
    if name not in known:
        raise RequestError(f"{where}: the collection has no column {name!r}. {choose(name, known)}")
    return known[name]


def same(numbers: Ints) -> Bools:
    """(B, B) whether two items have the same known number."""
    equal: Bools = (numbers[:, None] == numbers[None, :]) & (numbers >= 0)[:, None]
    return equal


def other(numbers: Ints) -> Bools:
    """(B, B) whether two items have known numbers that differ."""
    known = numbers >= 0
    differ: Bools = (numbers[:, None] != numbers[None, :]) & known[:, None] & known[None, :]
    return differ


# One moment heard by several recorders: windows of one scene that start together are alike.
#
# What such a pair shares is the sound; what sets it apart is the microphone and its place. Without it time
# alone may learn to tell rooms and recorders.


class Across(Settings):
    """The same moment of one scene, from another recorder."""

    column: str = "node"
    """Column that names the recorder; the two windows differ in it."""
    clock: str = "session"
    """Column that names the scene: recordings with one value of it have their moments on one clock."""
    within_seconds: float = Field(0.5, ge=0)
    """Largest time between two starts that counts as the same moment, in seconds."""

    def read(self, metadata: ClipMetadata, where: str) -> "Scenes":
        """Recorders and scenes of `metadata`; RequestError, with the key `where`, for unknown columns."""
        recorders = column(metadata, self.column, f"{where}.column")
        return Scenes(recorders, column(metadata, self.clock, f"{where}.clock"))


@dataclass(frozen=True)
class Scenes:
    """Which recorder and which scene each item is of; -1 where not known."""

    recorders: Ints
    clocks: Ints

    def take(self, rows: Ints) -> Self:
        """The same for some rows."""
        return type(self)(self.recorders[rows], self.clocks[rows])

    def together(self) -> Bools:
        """(B, B) whether two items are of one scene."""
        return same(self.clocks)

    def across(self) -> Bools:
        """(B, B) whether two items are of one scene and of two recorders."""
        return self.together() & other(self.recorders)

    def runs(self, start_times: Ints, span: int) -> tuple[Ints, Ints]:
        """(first, second): all pairs of the M items whose recorders differ and that start within `span`.

        `start_times` (M,) and `span` in ticks. Both orders of a pair are given, sorted by the first.
        """
        known = np.flatnonzero((self.clocks >= 0) & (self.recorders >= 0))
        order = known[np.lexsort((start_times[known], self.clocks[known]))]
        if not len(order):
            return order, order
        # One axis on which scenes follow each other, too far apart to touch.
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


# Windows are alike when they lie close in time in one recording.


class Time(BaseRelationSettings):
    """Close in one recording: alike. In another recording: unlike. Far in the same one: neither."""

    kind: Literal["time"] = "time"
    range_seconds: float = Field(5.0, gt=0)
    """Largest time from one window's start to the other's for the two to be alike, in seconds."""
    other_group: bool = False
    """Windows of two recordings are unlike only where the group (speaker, source, place) differs as well."""
    other: tuple[str, ...] = ()
    """Columns of the collection (as session, node) in which windows of two recordings must differ as well to
    be unlike; windows that lack one are nobody's other."""
    not_synchronous: float | None = Field(None, gt=0)
    """Windows of two recordings that start less than this many seconds apart are not unlike: for several
    recorders of one scene, whose moments are on one clock."""
    across: Across | None = None
    """Windows of one scene from two recorders are alike where they start at the same moment; elsewhere
    within the range they are neither."""
    far_is_unlike: bool = False
    """Windows of one recording that lie further apart than range and gap are unlike."""
    gap_seconds: float = Field(0.0, ge=0)
    """Seconds beyond the range in which windows of one recording are still neither, with far_is_unlike."""

    folders_are_labels: ClassVar[bool] = False

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "TimeRelation":
        """The relation over the clips of `metadata`.

        Raises DataError for pictures and unknown recordings, RequestError for unknown columns.
        """
        if not (metadata.seconds > 0).any():
            raise DataError(
                "relation: time: the clips have no length in time. It needs sound; for pictures take labels, "
                "tags or views."
            )
        if not (metadata.recordings >= 0).any():
            raise DataError(
                "relation: time: no clip's recording is known. Name the column that holds it "
                "(data.recording), or take the relation views."
            )
        differing = [column(metadata, name, "relation.other") for name in self.other]
        differing += [metadata.groups] if self.other_group else []
        scenes = self.across.read(metadata, "relation.across") if self.across else None
        return TimeRelation(metadata, self, tuple(differing), scenes)


@dataclass(frozen=True)
class TimeRelation:
    """Fills `Pairs` from the moment at which each window starts on its recording's clock.

    The very same window drawn twice is neither alike nor unlike: it would teach nothing. Windows of clips
    whose recording is unknown take no part; with `other_group` an unknown group is nobody's other.
    """

    metadata: ClipMetadata
    settings: Time
    differing: tuple[Ints, ...]
    """(N,) each: class numbers in which unlike windows must differ, besides the recording."""
    scenes: Scenes | None
    kind: ClassVar[str] = "time"

    def __call__(self, indices: BatchIndices) -> Pairs:
        """(B, B) cells of a batch."""
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
    """Times in whole microseconds, in which they are compared: sums of seconds are not exact in floats."""
    return np.rint(np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)


def reach(seconds: float) -> int:
    """The largest difference of two `ticks` that counts as within `seconds`: each was rounded by itself."""
    return int(ticks(seconds)) + 1


def clear(seconds: float) -> int:
    """The smallest difference of two `ticks` that counts as `seconds` or more."""
    return int(ticks(seconds)) - 1


# How often clips that are pushed apart are in truth the same: the price of learning without labels.

SYNCHRONOUS = 1.0
"""Windows that start less than so many seconds apart are called synchronous in `false_negative_report`."""


class Epochs(Protocol):
    """What is asked of a sampler."""

    def epoch(self, number: int) -> Iterable[BatchIndices]:
        """The draws of epoch `number`."""
        ...


def false_negative_rate(
    draws: Iterable[BatchIndices], labels: Ints, relation: Callable[[BatchIndices], Pairs] | None = None
) -> float | None:
    """Share (0..1) of unlike cells whose two clips have the same label; None where no cell can be judged.

    `labels` (N,) are class numbers, -1 for unknown: cells of unknown clips are not counted. Pairs that the
    sampler set itself are taken as they are; for other draws `relation` says who is unlike (RequestError
    without it).
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
    """Shares (0..1) of the unlike cells in the first `batches` batches whose two windows have in common:

    `label`, `group`, `recording`, and each further column by its name: cells where one of the two is not
    known are not counted; `synchronous`: they start less than a second apart on the clock of their
    recordings, which means something where recordings share one clock. What cannot be judged is left out.
    Pairs are taken as in `false_negative_rate`.
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
        raise RequestError("These draws carry no pairs. Give the relation that fills them.")
    return relation(indices)
