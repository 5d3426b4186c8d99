"""Does a space fail at beginnings and ends? Scores of clips by where in its file each one lies.

Conventions: a clip's place is that of its middle, 0 where its recording begins and 1 where it ends. A
recording begins with its first clip and ends with its last unless its span is given. Recordings of a single
clip have no inside and take no part. Intervals resample the groups; where the clips are searched among
themselves, each group is left out as query and from what is found (`left_out.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Bools, Facts, Floats, Ints
from nearfield.evaluation.checks import check_lengths
from nearfield.evaluation.intervals import (
    Resamples,
    jackknife_deviation,
    jackknife_interval,
    share_interval,
    weighted_mean,
)
from nearfield.evaluation.left_out import Blocks, Left, deepest, means_without
from nearfield.evaluation.neighbours import Search
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
    """95 %, by resampling groups (`share_interval`) or by leaving each out (`jackknife_interval`)."""
    less: float | None
    """Score of the middle less this one: how much weaker; None for the middle itself."""
    less_interval: tuple[float, float] | None
    """95 % of that difference: t, with a deviation found likewise; None where it does not deviate."""


@dataclass(frozen=True)
class Among:
    """A search of the scored clips among themselves, in which each is judged by the nearest that it finds."""

    search: Search
    relevant: Callable[[int], Bools]
    """A clip's row to (N,) what counts as found."""
    score: Callable[[int, Left], Floats]
    """The row and what is left to (B,) its score without each block, NaN where it has none."""


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
    scores: Floats,
    places: Floats,
    groups: Ints,
    draws: int = 1000,
    seed: int = 0,
    edge: float = EDGE,
    among: Among | None = None,
) -> tuple[PlaceScore, ...]:
    """The mean of `scores` in the first `edge` of the recordings, in the middle, and in the last `edge`.

    `scores` (N,) from 0 to 1, one a clip (1 where the probe was right, say), NaN where there is none;
    `places` (N,) of `relative_places`; `groups` (N,) are resampled whole. `among`: the search that the scores
    are of, where it is of these clips among themselves; then groups are left out instead. Raises RequestError
    where lengths differ, `edge` is not between 0 and 0.5, or no clip has both a score and a place.
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
    part = np.where(kept, np.digitize(places, [edge, 1 - edge]), -1)
    masks = part == np.arange(len(PARTS))[:, None]
    means = [float(scores[mask].mean()) if mask.any() else None for mask in masks]
    interval: Callable[[float, Floats, int], tuple[float, float] | None]
    deviation: Callable[[Floats], float | None]
    if among is None:
        values, counts = _resampled(
            np.where(masks, scores, np.nan)[:, kept], Resamples.of(groups[kept], draws, seed)
        )
        deviation, interval = spread, share_interval
    else:
        values, counts = _left_out(means, part, Blocks.by(groups), among)
        deviation, interval = jackknife_deviation, jackknife_interval
    rows = []
    for number, name in enumerate(PARTS):
        mean, middle = means[number], None if name == "middle" else means[1]
        less = None if mean is None or middle is None else middle - mean
        fewer, gaps = min(counts[1], counts[number]), deviation(values[1] - values[number])
        rows.append(
            PlaceScore(
                part=name,
                clips=int(masks[number].sum()),
                score=mean,
                interval=None if mean is None else interval(mean, values[number], counts[number]),
                less=less,
                less_interval=None if less is None else by_t(less, gaps, fewer)[0],
            )
        )
    return tuple(rows)


def _resampled(columns: Floats, resamples: Resamples) -> tuple[Floats, list[int]]:
    """(3, draws) means of the parts under resampling, and how many groups each part has clips of."""
    counts = [resamples.groups_with(np.isfinite(column)) for column in columns]
    return resamples.apply(weighted_mean(columns.T)).T, counts


def _left_out(
    means: list[float | None], part: Ints, blocks: Blocks, among: Among
) -> tuple[Floats, list[int]]:
    """(3, B) means of the parts without each block, and how many blocks each part has clips of."""

    def score(row: int, left: Left) -> dict[str, Floats]:
        return {PARTS[part[row]]: among.score(row, left)} if part[row] >= 0 else {}

    depth = np.full(len(part), 1 + deepest(blocks))
    found = means_without(among.search, blocks, depth, among.relevant, score)
    values = np.full((len(PARTS), blocks.count), np.nan)
    for number, (name, mean) in enumerate(zip(PARTS, means, strict=True)):
        if mean is not None:
            # A part that is gone with a block shows nothing of how far it may be off.
            values[number] = np.where(np.isfinite(found[name]), found[name], mean)
    return values, [len(np.unique(blocks.of[part == number])) for number in range(len(PARTS))]


def _spans(recordings: Ints, begins: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """(N,) when the first clip of each clip's recording begins, and when its last one ends."""
    codes = np.unique(recordings, return_inverse=True)[1]
    first, last = np.full(codes.max(initial=0) + 1, np.inf), np.full(codes.max(initial=0) + 1, -np.inf)
    np.minimum.at(first, codes, begins)
    np.maximum.at(last, codes, ends)
    return first[codes], last[codes]
