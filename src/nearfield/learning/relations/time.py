"""Windows are alike when they lie close in time in one recording."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from nearfield.core.errors import DataError
from nearfield.core.nouns import Draw, Facts, Floats, Ints, Pairs
from nearfield.core.settings import Settings
from nearfield.learning.relations.across import Across, Scenes
from nearfield.learning.relations.columns import column, other, same


class Time(Settings):
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

    introductions: ClassVar[dict[str, str]] = {
        "range_seconds": (
            "How near in time two windows of one recording must be to count as alike (Jean et al. 2019; "
            "Jansen et al. 2018). Too near, and they share the same event, so that little but its "
            "recording is learnt; too far, and what was going on has changed, so that unlike sounds are "
            "pulled together."
        ),
        "across": (
            "Whether one moment of a scene, heard by two recorders, is alike. Time within one recording also "
            "teaches its room and microphone, which neighbours share and opposites do not; the same sound "
            "from two microphones can only be alike by the sound (Arandjelović and Zisserman 2017 use sight "
            "and sound of one moment so)."
        ),
    }

    def build(self, facts: Facts) -> "TimeRelation":
        """The relation over the clips of `facts`.

        Raises DataError for pictures and unknown recordings, RequestError for unknown columns.
        """
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
        differing = [column(facts, name, "relation.other") for name in self.other]
        differing += [facts.groups] if self.other_group else []
        scenes = self.across.read(facts, "relation.across") if self.across else None
        return TimeRelation(facts, self, tuple(differing), scenes)


@dataclass(frozen=True)
class TimeRelation:
    """Fills `Pairs` from the moment at which each window starts on its recording's clock.

    The very same window drawn twice is neither alike nor unlike: it would teach nothing. Windows of clips
    whose recording is unknown take no part; with `other_group` an unknown group is nobody's other.
    """

    facts: Facts
    settings: Time
    differing: tuple[Ints, ...]
    """(N,) each: class numbers in which unlike windows must differ, besides the recording."""
    scenes: Scenes | None
    kind: ClassVar[str] = "time"

    def __call__(self, draw: Draw) -> Pairs:
        """(B, B) cells of a batch."""
        recordings = self.facts.recordings[draw.rows]
        here = same(recordings)
        moments = ticks(self.facts.moments[draw.rows] + draw.starts)
        apart = np.abs(moments[:, None] - moments[None, :])
        window = (draw.rows[:, None] == draw.rows[None, :]) & (apart == 0)
        alike = here & (apart <= reach(self.settings.range_seconds)) & ~window
        unlike = other(recordings)
        for numbers in self.differing:
            unlike &= other(numbers[draw.rows])
        if self.settings.not_synchronous is not None:
            unlike &= apart >= clear(self.settings.not_synchronous)
        if self.scenes is not None and self.settings.across is not None:
            scenes, within = self.scenes.take(draw.rows), self.settings.across.within_seconds
            alike |= scenes.across() & other(recordings) & (apart <= reach(within))
            unlike &= ~(scenes.together() & (apart <= reach(max(within, self.settings.range_seconds))))
        if self.settings.far_is_unlike:
            unlike |= here & (apart > reach(self.settings.range_seconds + self.settings.gap_seconds))
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
