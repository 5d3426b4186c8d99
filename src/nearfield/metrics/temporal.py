"""Metrics from time, without labels: are clips that are near in time near in the space?

Conventions
-----------
Embeddings (N, D); `recordings` are class numbers, -1 means unknown; `start_times` are seconds on the clock of
the recording. A clip without another clip of its recording scores NaN; it is left out of the mean.

Metrics
-------
- `same_recording_at_1`: fraction of clips whose nearest other clip is from the same recording.
- `near_in_time_at_1`: fraction of clips whose nearest other clip is from the same recording and starts at
  most `near` seconds away, among clips that have such a clip.
- `triplet_accuracy`: fraction of a fixed random sample of triplets (clip, one near in time, one of another
  recording) whose clip near in time is nearer; 0.5 by chance.
- `neighbour_distance`, `opposite_distance`: mean distance to the clip near in time and to the clip of
  another recording, in the same triplets.
- `neighbour_overlap`: the common area of the histograms of both distances, 0 (disjoint) to 1 (equal).
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
"""Number of random triplets; if there are few long recordings, about one in twenty is invalid and dropped."""

_SLACK = 1e-6
"""Tolerance in seconds for the rounding of start times."""


def same_recording(first: Ints, recordings: Ints) -> Floats:
    """Scores whether the nearest other clip is from the same recording.

    Parameters
    ----------
    first
        (N,) row of each clip's nearest other clip; -1 for none.
    recordings
        (N,) class numbers; -1 means unknown.

    Returns
    -------
    ndarray
        (N,) 1 or 0; NaN for clips without another clip of their recording.
    """
    sizes = np.bincount(recordings[recordings >= 0], minlength=1)
    findable = (recordings >= 0) & (sizes[np.maximum(recordings, 0)] > 1)
    together = (first >= 0) & (recordings[first] == recordings)
    return np.where(findable, together, np.nan)


def near_in_time(first: Ints, recordings: Ints, start_times: Floats, near: float) -> Floats:
    """Scores whether the nearest other clip is from the same recording and near in time.

    Parameters
    ----------
    first
        (N,) row of each clip's nearest other clip; -1 for none.
    recordings
        (N,) class numbers; -1 means unknown.
    start_times
        (N,) start of each clip in its recording, in seconds.
    near
        Largest difference of start times, in seconds.

    Returns
    -------
    ndarray
        (N,) 1 or 0; NaN for clips without such a clip.
    """
    low, high, place = _windows(recordings, start_times, near)
    findable = (recordings >= 0) & ((high - low)[place] > 1)
    close = (recordings[first] == recordings) & (np.abs(start_times[first] - start_times) <= near + _SLACK)
    return np.where(findable, (first >= 0) & close, np.nan)


def first_without(search: Search, blocks: Blocks, relevant: Callable[[int], Bools]) -> Floats:
    """Computes the mean of one of these scores without each block; returns (B,).

    `search` is among the N clips themselves; `relevant` maps the row of a clip to the (N,) mask of the clips
    that its nearest clip should be one of.
    """

    def score(row: int, left: Left) -> dict[str, Floats]:
        return {"first": first_is_relevant(row, left)}

    depth = np.full(len(search.queries), 1 + deepest(blocks))
    return means_without(search, blocks, depth, relevant, score)["first"]


def first_is_relevant(_: int, left: Left) -> Floats:
    """(B,) 1 if the nearest remaining clip is relevant; NaN if no relevant clip remains."""
    found = (left.there & (left.rank <= 1)).any(axis=0)
    return np.where(left.relevant > 0, found, np.nan)


def of_recording(recordings: Ints, row: int) -> Bools:
    """(N,) mask of the clips from the recording of the clip in `row`."""
    return np.asarray((recordings == recordings[row]) & (recordings[row] >= 0))


def near_by(recordings: Ints, start_times: Floats, near: float, row: int) -> Bools:
    """(N,) mask of the clips from the same recording that start at most `near` seconds away."""
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
    """Scores random triplets of a clip, a clip near in time, and a clip of another recording.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    recordings
        (N,) class numbers; -1 means unknown.
    start_times
        (N,) start of each clip in its recording, in seconds.
    near
        Largest difference of start times, in seconds.
    distance
        Distance of the space.
    seed
        Seed of the triplets.

    Returns
    -------
    dict
        `triplet_accuracy` (ties count half), `neighbour_distance`, `opposite_distance` and
        `neighbour_overlap`; empty if there are no triplets.
    """
    check_lengths(len(vectors), recordings=recordings, start_times=start_times)
    triplets = _sample_triplets(recordings, start_times, near, seed)
    if not len(triplets):
        return {}
    wide = vectors.astype(np.float64)
    positive = pair_distances(wide, triplets[:, [0, 1]], distance)
    negative = pair_distances(wide, triplets[:, [0, 2]], distance)
    return {
        "triplet_accuracy": float(((positive < negative) + 0.5 * (positive == negative)).mean()),
        "neighbour_distance": float(positive.mean()),
        "opposite_distance": float(negative.mean()),
        "neighbour_overlap": overlap(positive, negative),
    }


def _windows(recordings: Ints, start_times: Floats, near: float) -> tuple[Ints, Ints, Ints]:
    """Sorts clips by recording and time; returns begin and end of each window, and each position."""
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


def _sample_triplets(recordings: Ints, start_times: Floats, near: float, seed: int) -> Ints:
    """(P, 3) rows: a clip, one near in time, one of another recording."""
    low, high, place = _windows(recordings, start_times, near)
    order = np.argsort(place)
    anchors = np.flatnonzero((recordings >= 0) & ((high - low)[place] > 1))
    others = np.flatnonzero(recordings >= 0)
    if not len(anchors) or len(np.unique(recordings[others])) < 2:
        return np.zeros((0, 3), dtype=np.int64)
    rng = stream(seed, "time triplets")
    anchor = anchors[rng.integers(len(anchors), size=TRIPLETS)]
    at = place[anchor]
    drawn = rng.integers(low[at], high[at] - 1)
    # The window includes the anchor itself; positions from it on are shifted by one to skip it.
    positive = order[drawn + (drawn >= at)]
    negative = others[rng.integers(len(others), size=TRIPLETS)]
    kept = recordings[negative] != recordings[anchor]
    return np.asarray(np.stack([anchor, positive, negative], axis=1)[kept])
