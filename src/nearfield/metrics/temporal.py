"""What time alone can judge: whether the space finds again what was near in one recording, with no labels.

Conventions
-----------
Vectors (N, D); `recordings` class numbers, -1 not known; `start_times` seconds on the recording's clock. A
clip that has no other clip of its recording has nothing to find: NaN, counted and left out of the mean.

Metrics
-------
- `same_recording_at_1`: share of clips whose nearest other clip is of the same recording.
- `near_in_time_at_1`: share whose nearest other clip is of the same recording and begins at most `near`
  seconds away, among clips that have such a one.
- `triplet_accuracy`: share of fixed drawn triplets (clip, one near in time, one of another recording) in
  which the one near in time is nearer; 0.5 is chance.
- `neighbour_distance`, `opposite_distance`: mean distance to the one near in time, and to the one of another
  recording, in the same triplets.
- `neighbour_overlap`: the area that the histograms of the two share, 0 (apart) to 1 (the same).
"""

from collections.abc import Callable

import numpy as np

from nearfield.core.rng import stream
from nearfield.core.types import Bools, Distance, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths
from nearfield.metrics.geometry import overlap, pair_distances
from nearfield.metrics.neighbors import Search
from nearfield.metrics.retrieval import Blocks, Left, deepest, means_without

TRIPLETS = 20_000
"""Triplets drawn; a twentieth or so are lost where few recordings are long."""

_SLACK = 1e-6
"""Seconds, so that rounding of moments does not put a clip out of its window."""


def same_recording(first: Ints, recordings: Ints) -> Floats:
    """(N,) 1 where a clip's nearest other clip, row `first`, is of its recording; NaN where it is alone."""
    sizes = np.bincount(recordings[recordings >= 0], minlength=1)
    findable = (recordings >= 0) & (sizes[np.maximum(recordings, 0)] > 1)
    together = (first >= 0) & (recordings[first] == recordings)
    return np.where(findable, together, np.nan)


def near_in_time(first: Ints, recordings: Ints, start_times: Floats, near: float) -> Floats:
    """(N,) 1 where it also begins at most `near` seconds away; NaN where none of its recording does."""
    low, high, place = _windows(recordings, start_times, near)
    findable = (recordings >= 0) & ((high - low)[place] > 1)
    close = (recordings[first] == recordings) & (np.abs(start_times[first] - start_times) <= near + _SLACK)
    return np.where(findable, (first >= 0) & close, np.nan)


def first_without(search: Search, blocks: Blocks, relevant: Callable[[int], Bools]) -> Floats:
    """(B,) either of these measures without each block of the clips, which are searched among themselves.

    `relevant`: a clip's row to (N,) what its nearest other clip should be.
    """

    def score(row: int, left: Left) -> dict[str, Floats]:
        return {"first": first_is_relevant(row, left)}

    depth = np.full(len(search.queries), 1 + deepest(blocks))
    return means_without(search, blocks, depth, relevant, score)["first"]


def first_is_relevant(_: int, left: Left) -> Floats:
    """(B,) 1 where the nearest that is left is relevant to the query; NaN where nothing relevant is left."""
    found = (left.there & (left.rank <= 1)).any(axis=0)
    return np.where(left.relevant > 0, found, np.nan)


def of_recording(recordings: Ints, row: int) -> Bools:
    """(N,) the clips of a clip's recording."""
    return np.asarray((recordings == recordings[row]) & (recordings[row] >= 0))


def near_by(recordings: Ints, start_times: Floats, near: float, row: int) -> Bools:
    """(N,) those that also begin at most `near` seconds away."""
    return np.asarray(
        of_recording(recordings, row) & (np.abs(start_times - start_times[row]) <= near + _SLACK)
    )


def triplet_scores(
    vectors: Vectors,
    recordings: Ints,
    start_times: Floats,
    near: float,
    distance: Distance = "cosine",
    seed: int = 0,
) -> dict[str, float]:
    """`triplet_accuracy` of drawn triplets, ties half, and distances in them; empty where there are none."""
    check_lengths(len(vectors), recordings=recordings, start_times=start_times)
    triplets = _draw_triplets(recordings, start_times, near, seed)
    if not len(triplets):
        return {}
    wide = vectors.astype(np.float64)
    near_by = pair_distances(wide, triplets[:, [0, 1]], distance)
    far_off = pair_distances(wide, triplets[:, [0, 2]], distance)
    return {
        "triplet_accuracy": float(((near_by < far_off) + 0.5 * (near_by == far_off)).mean()),
        "neighbour_distance": float(near_by.mean()),
        "opposite_distance": float(far_off.mean()),
        "neighbour_overlap": overlap(near_by, far_off),
    }


def _windows(recordings: Ints, start_times: Floats, near: float) -> tuple[Ints, Ints, Ints]:
    """With clips in order of recording and moment: where those near in time begin, end; each clip's place."""
    order = np.lexsort((start_times, recordings))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    low, high = (np.empty(len(order), dtype=np.int64) for _ in range(2))
    starts = np.unique(recordings[order], return_index=True)[1].tolist()
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        clock = start_times[order[start:end]]
        low[start:end] = start + np.searchsorted(clock, clock - near - _SLACK)
        high[start:end] = start + np.searchsorted(clock, clock + near + _SLACK, side="right")
    return low, high, place


def _draw_triplets(recordings: Ints, start_times: Floats, near: float, seed: int) -> Ints:
    """(P, 3) rows: a clip, one near it in time, one of another recording."""
    low, high, place = _windows(recordings, start_times, near)
    order = np.argsort(place)
    anchors = np.flatnonzero((recordings >= 0) & ((high - low)[place] > 1))
    others = np.flatnonzero(recordings >= 0)
    if not len(anchors) or len(np.unique(recordings[others])) < 2:
        return np.zeros((0, 3), dtype=np.int64)
    chance = stream(seed, "time triplets")
    anchor = anchors[chance.integers(len(anchors), size=TRIPLETS)]
    at = place[anchor]
    drawn = chance.integers(low[at], high[at] - 1)
    # The window holds the clip itself: whoever stands at or past it moves on by one.
    neighbour = order[drawn + (drawn >= at)]
    opposite = others[chance.integers(len(others), size=TRIPLETS)]
    kept = recordings[opposite] != recordings[anchor]
    return np.asarray(np.stack([anchor, neighbour, opposite], axis=1)[kept])
