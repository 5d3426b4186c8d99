"""Windows are alike when they lie close in time in one recording."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from nearfield.core.errors import DataError
from nearfield.core.nouns import Bools, Draw, Facts, Floats, Ints, Pairs
from nearfield.core.settings import Settings


class Time(Settings):
    """Close in one recording: alike. In another recording: unlike. Far in the same one: neither."""

    kind: Literal["time"] = "time"
    range_seconds: float = Field(5.0, gt=0)
    """Largest time from one window's start to the other's for the two to be alike, in seconds."""
    other_group: bool = False
    """Windows of two recordings are unlike only where the group (speaker, source, place) differs as well."""
    not_synchronous: float | None = Field(None, gt=0)
    """Windows of two recordings that start less than this many seconds apart are not unlike: for several
    recorders of one scene, whose moments are on one clock."""
    far_is_unlike: bool = False
    """Windows of one recording that lie further apart than range and gap are unlike."""
    gap_seconds: float = Field(0.0, ge=0)
    """Seconds beyond the range in which windows of one recording are still neither, with far_is_unlike."""

    introductions: ClassVar[dict[str, str]] = {
        "range_seconds": (
            "How near in time two windows of one recording must be to count as alike (Jean et al. 2019; "
            "Jansen et al. 2018). Too near, and they share the same event, so that little but its "
            "recording is learnt; too far, and what was going on has changed, so that unlike sounds are "
            "pulled together."
        ),
    }

    def build(self, facts: Facts) -> "TimeRelation":
        """The relation over the clips of `facts`. Raises DataError for pictures and unknown recordings."""
        if not (facts.seconds > 0).any():
            raise DataError(
                "relation: time: the clips have no length in time. It needs sound; for pictures take labels, "
                "tags or views."
            )
        if not (facts.recordings >= 0).any():
            raise DataError(
                "relation: time: no clip's recording is known. Name the column that holds it "
                "(data.recording), or take the relation views."
            )
        return TimeRelation(facts, self)


@dataclass(frozen=True)
class TimeRelation:
    """Fills `Pairs` from the moment at which each window starts on its recording's clock.

    The very same window drawn twice is neither alike nor unlike: it would teach nothing. Windows of clips
    whose recording is unknown take no part; with `other_group` an unknown group is nobody's other.
    """

    facts: Facts
    settings: Time
    kind: ClassVar[str] = "time"

    def __call__(self, draw: Draw) -> Pairs:
        """(B, B) cells of a batch."""
        recordings = self.facts.recordings[draw.rows]
        same = _same(recordings)
        moments = ticks(self.facts.moments[draw.rows] + draw.starts)
        apart = np.abs(moments[:, None] - moments[None, :])
        window = (draw.rows[:, None] == draw.rows[None, :]) & (apart == 0)
        alike = same & (apart <= reach(self.settings.range_seconds)) & ~window
        unlike = _other(recordings)
        if self.settings.other_group:
            unlike &= _other(self.facts.groups[draw.rows])
        if self.settings.not_synchronous is not None:
            unlike &= apart >= clear(self.settings.not_synchronous)
        if self.settings.far_is_unlike:
            unlike |= same & (apart > reach(self.settings.range_seconds + self.settings.gap_seconds))
        return Pairs(torch.from_numpy(alike), torch.from_numpy(unlike))


def ticks(seconds: Floats | float) -> Ints:
    """Times in whole microseconds, in which they are compared: sums of seconds are not exact in floats."""
    return np.rint(np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)


def reach(seconds: float) -> int:
    """The largest difference of two `ticks` that counts as within `seconds`: each was rounded by itself."""
    return int(ticks(seconds)) + 1


def clear(seconds: float) -> int:
    """The smallest difference of two `ticks` that counts as `seconds` or more."""
    return int(ticks(seconds)) - 1


def _same(numbers: Ints) -> Bools:
    same: Bools = (numbers[:, None] == numbers[None, :]) & (numbers >= 0)[:, None]
    return same


def _other(numbers: Ints) -> Bools:
    known = numbers >= 0
    other: Bools = (numbers[:, None] != numbers[None, :]) & known[:, None] & known[None, :]
    return other
