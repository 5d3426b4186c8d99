"""Does a space fail at beginnings and ends? Scores of clips by where in its file each one lies.

Conventions: a clip's place is that of its middle, 0 where its recording begins and 1 where it ends. A
recording begins with its first clip and ends with its last unless its span is given. Recordings of a single
clip have no inside and take no part. Intervals resample the scores: where the clips are searched among
themselves, what they find is taken as given, and the intervals are too narrow.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Facts, Floats, Ints
from nearfield.evaluation.checks import check_lengths
from nearfield.evaluation.intervals import Resamples, share_interval, weighted_mean
from nearfield.evaluation.paired import by_t, spread

PARTS = ("first", "middle", "last")
EDGE = 0.1
"""Share of a recording at either end that counts as its beginning or end."""


@dataclass(frozen=True)
class PlaceScore:
    """The score of the clips of one part of their recordings."""

    part: str
    """One of PARTS."""
    clips: int
    score: float | None
    """Mean over its clips; None where there are none."""
    interval: tuple[float, float] | None
    """95 %, by resampling groups (`share_interval`)."""
    less: float | None
    """Score of the middle less this one: how much weaker; None for the middle itself."""
    less_interval: tuple[float, float] | None
    """95 % of that difference: t, with the deviation of the same draws; None where it does not deviate."""


def relative_places(facts: Facts, spans: Floats | None = None) -> Floats:
    """(N,) where in its recording the middle of each clip lies, 0..1; NaN where it has no inside.

    `spans` (N, 2): seconds at which the recording of each clip begins and ends, where that is known.
    """
    check_lengths(len(facts), spans=spans)
    begins, ends = facts.moments, facts.moments + facts.seconds
    if spans is None:
        first, last = _spans(facts.recordings, begins, ends)
    else:
        first, last = spans[:, 0], spans[:, 1]
    length = last - first
    inside = (facts.recordings >= 0) & (length > facts.seconds + 1e-9)
    middle = (begins + ends) / 2 - first
    return np.where(inside, middle / np.where(inside, length, 1), np.nan)


def position_scores(
    scores: Floats, places: Floats, groups: Ints, draws: int = 1000, seed: int = 0, edge: float = EDGE
) -> tuple[PlaceScore, ...]:
    """The mean of `scores` in the first `edge` of the recordings, in the middle, and in the last `edge`.

    `scores` (N,) from 0 to 1, one a clip (1 where the probe was right, say), NaN where there is none;
    `places` (N,) of `relative_places`; `groups` (N,) are resampled whole. Raises RequestError where lengths
    differ, `edge` is not between 0 and 0.5, or no clip has both a score and a place.
    """
    if not 0 < edge < 0.5:
        raise RequestError(f"position: edge is a share above 0 and below 0.5. Given: {edge:g}.")
    check_lengths(len(scores), places=places, groups=groups)
    kept = np.isfinite(scores) & np.isfinite(places)
    if not kept.any():
        raise RequestError(
            "position: no clip with a score lies inside a longer recording. Give clips that are "
            "cut from recordings, with their moments."
        )
    part = np.digitize(places[kept], [edge, 1 - edge])
    masks = part == np.arange(len(PARTS))[:, None]
    resamples = Resamples.of(groups[kept], draws, seed)
    columns = np.where(masks, scores[kept], np.nan).T
    drawn = resamples.apply(weighted_mean(columns)).T
    means = [float(scores[kept][mask].mean()) if mask.any() else None for mask in masks]
    counts = [resamples.groups_with(mask) for mask in masks]
    rows = []
    for number, name in enumerate(PARTS):
        mean, middle = means[number], None if name == "middle" else means[1]
        less = None if mean is None or middle is None else middle - mean
        fewer, gaps = min(counts[1], counts[number]), spread(drawn[1] - drawn[number])
        rows.append(
            PlaceScore(
                part=name,
                clips=int(masks[number].sum()),
                score=mean,
                interval=None if mean is None else share_interval(mean, drawn[number], counts[number]),
                less=less,
                less_interval=None if less is None else by_t(less, gaps, fewer)[0],
            )
        )
    return tuple(rows)


def _spans(recordings: Ints, begins: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """(N,) when the first clip of each clip's recording begins, and when its last one ends."""
    codes = np.unique(recordings, return_inverse=True)[1]
    first, last = np.full(codes.max(initial=0) + 1, np.inf), np.full(codes.max(initial=0) + 1, -np.inf)
    np.minimum.at(first, codes, begins)
    np.maximum.at(last, codes, ends)
    return first[codes], last[codes]
