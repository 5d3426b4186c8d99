"""Scores by position: whether clips at the beginnings and ends of recordings have lower scores."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from nearfield.analysis.explain.opened_run import OpenedRun
from nearfield.core.errors import RequestError
from nearfield.core.types import Bools, ClipMetadata, Distance, Floats, Ints
from nearfield.metrics.checks import check_lengths
from nearfield.metrics.intervals import (
    Resamples,
    by_t,
    jackknife_deviation,
    jackknife_interval,
    share_interval,
    spread,
    weighted_mean,
)
from nearfield.metrics.neighbors import Search, nearest
from nearfield.metrics.result import EmbeddedClips
from nearfield.metrics.retrieval import Blocks, Left, deepest, means_without, recall_of_first, sharing
from nearfield.metrics.temporal import first_is_relevant, of_recording
from nearfield.training.encode import embed_setup
from nearfield.training.windows import starts_in

# Scores of clips by their position in the recording.
#
# Conventions: the position of a clip is that of its middle, 0 at the beginning of its recording and 1 at the
# end. A recording begins with its first clip and ends with its last one, unless its span is given. Recordings
# of a single clip are left out. Intervals resample groups; if clips are searched among themselves, each group
# is left out as query and from the gallery instead (`metrics/retrieval.py`).

PARTS = ("first", "middle", "last")
EDGE = 0.1
"""Fraction of a recording at each end that is its first or last part."""


@dataclass(frozen=True)
class PlaceScore:
    """The score of clips in one part of their recordings."""

    part: str
    """One of PARTS."""
    clips: int
    score: float | None
    """Mean over the clips; None without clips."""
    interval: tuple[float, float] | None
    """95 % interval by resampling groups (`share_interval`) or by the jackknife (`jackknife_interval`)."""
    less: float | None
    """Score of the middle part minus this one; None for the middle part."""
    less_interval: tuple[float, float] | None
    """95 % t interval of this difference, with the standard deviation from resampling or jackknife; None if
    it is 0."""


@dataclass(frozen=True)
class Among:
    """A search of the scored clips among themselves; the score of a clip depends on its nearest clips."""

    search: Search
    relevant: Callable[[int], Bools]
    """Maps the row of a clip to a (N,) mask of its relevant clips."""
    score: Callable[[int, Left], Floats]
    """Maps a row and its ranking without each block to (B,) scores; NaN if undefined."""


def relative_places(metadata: ClipMetadata, spans: Floats | None = None) -> Floats:
    """Computes (N,) the position of the middle of each clip in its recording, 0..1; NaN for single clips.

    `spans` (N, 2) are start and end of the recording of each clip in seconds, if known.
    """
    check_lengths(len(metadata), spans=spans)
    begins, ends = metadata.start_times, metadata.start_times + metadata.seconds
    if spans is None:
        first, last = _spans(metadata.recordings, begins, ends)
    else:
        first, last = spans[:, 0], spans[:, 1]
    length = last - first
    inside = (metadata.recordings >= 0) & (length > metadata.seconds + 1e-9)
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
    """Computes the mean score in the first part, the middle and the last part of recordings.

    Parameters
    ----------
    scores
        (N,) score of each clip in 0..1 (for example 1 if the prediction is correct); NaN without a score.
    places
        (N,) positions (`relative_places`).
    groups
        (N,) groups, the unit of resampling.
    draws
        Number of resamples.
    seed
        Seed of the resamples.
    edge
        Fraction of a recording at each end, between 0 and 0.5.
    among
        The search of these clips among themselves, if the scores come from one; the jackknife is then used.

    Returns
    -------
    tuple of PlaceScore
        One per part.

    Raises
    ------
    RequestError
        If lengths differ, `edge` is out of range, or no clip has both a score and a position.
    """
    if not 0 < edge < 0.5:
        raise RequestError(f"position: edge must be above 0 and below 0.5. Given: {edge:g}.")
    check_lengths(len(scores), places=places, groups=groups)
    kept = np.isfinite(scores) & np.isfinite(places)
    if not kept.any():
        raise RequestError(
            "position: no clip with a score is part of a longer recording. Give clips that are cut from "
            "recordings, with their start times."
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
    """Computes (3, draws) resampled means of the parts, and the number of groups in each part."""
    counts = [resamples.groups_with(np.isfinite(column)) for column in columns]
    return resamples.apply(weighted_mean(columns.T)).T, counts


def _left_out(
    means: list[float | None], part: Ints, blocks: Blocks, among: Among
) -> tuple[Floats, list[int]]:
    """Computes (3, B) means of the parts without each block, and the number of blocks in each part."""

    def score(row: int, left: Left) -> dict[str, Floats]:
        return {PARTS[part[row]]: among.score(row, left)} if part[row] >= 0 else {}

    depth = np.full(len(part), 1 + deepest(blocks))
    found = means_without(among.search, blocks, depth, among.relevant, score)
    values = np.full((len(PARTS), blocks.count), np.nan)
    for number, (name, mean) in enumerate(zip(PARTS, means, strict=True)):
        if mean is not None:
            # Blocks that contain all clips of a part do not contribute to its variance.
            values[number] = np.where(np.isfinite(found[name]), found[name], mean)
    return values, [len(np.unique(blocks.of[part == number])) for number in range(len(PARTS))]


def _spans(recordings: Ints, begins: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Computes (N,) start of the first and (N,) end of the last clip of the recording of each clip."""
    codes = np.unique(recordings, return_inverse=True)[1]
    first, last = np.full(codes.max(initial=0) + 1, np.inf), np.full(codes.max(initial=0) + 1, -np.inf)
    np.minimum.at(first, codes, begins)
    np.maximum.at(last, codes, ends)
    return first[codes], last[codes]


# Scores by position of clips, or of windows of clips.
#
# If clips are cut from longer recordings, their own scores are used. If clips are whole recordings, every
# window is embedded and scored: 1 if the nearest train clip of another group has the label (or a tag) of its
# clip, or, without labels and tags, if the nearest other window is of the same clip.

LEAST = 3
"""Smallest number of windows of a recording, for a first, a middle and a last part."""

SCORES = (
    "probe/accuracy",
    "retrieval_from_train/recall_at_1",
    "retrieval/multilabel_recall_at_1",
    "time/same_recording_at_1",
)
"""Scores of clips that are used, if they exist."""
SAME_CLIP = "same_clip_at_1"
"""The score of windows without labels and tags."""


@dataclass(frozen=True)
class Positions:
    """Scores of the first part, the middle and the last part of recordings."""

    of: Literal["clips", "windows"]
    edge: float
    """Fraction of a recording at each end that is its first or last part."""
    scores: dict[str, tuple[PlaceScore, ...]]
    """Scores of the parts by name."""


def positions(opened: OpenedRun, scores: dict[str, Floats], distance: Distance) -> Positions | None:
    """Computes scores by position from (n,) scores of the explained clips by metric; None if not possible."""
    here = EmbeddedClips(opened.vectors[opened.rows], opened.setup.metadata.take(opened.rows))
    places = relative_places(here.metadata)
    found = {
        name: _of_clips(name, scores[name], places, here, distance)
        for name in SCORES
        if name in scores and (np.isfinite(scores[name]) & np.isfinite(places)).any()
    }
    kept = {name: parts for name, parts in found.items() if all(part.clips for part in parts)}
    return Positions("clips", EDGE, kept) if kept else _of_windows(opened, here)


def _of_clips(
    name: str, scores: Floats, places: Floats, here: EmbeddedClips, distance: Distance
) -> tuple[PlaceScore, ...]:
    """Computes the parts of one of SCORES."""
    if name == "retrieval/multilabel_recall_at_1":
        at, tagged = np.flatnonzero(here.tagged), here.keep(here.tagged)
        tags = tagged.metadata.tags
        search = tagged.search(tagged, distance, barred=True)
        by_tags = Among(search, partial(sharing, tags), partial(recall_of_first, tags))
        return position_scores(scores[at], places[at], tagged.sources, among=by_tags)
    among = _of_its_recording(here, distance) if name == "time/same_recording_at_1" else None
    return position_scores(scores, places, here.sources, among=among)


def _of_its_recording(here: EmbeddedClips, distance: Distance) -> Among:
    """Creates the search of `time/same_recording_at_1`: whether the nearest other clip is of the same
    recording."""
    search = here.search(here, distance, barred=False)
    return Among(search, partial(of_recording, here.metadata.recordings), first_is_relevant)


def _of_windows(opened: OpenedRun, clips: EmbeddedClips) -> Positions | None:
    if not opened.is_sound:
        return None
    data = opened.run.recipe.data
    plan = [starts_in(float(seconds), data) for seconds in clips.metadata.seconds]
    long = np.flatnonzero([len(starts) >= LEAST for starts in plan])
    if len(np.unique(clips.sources[long])) < 2:
        return None
    embedded = embed_setup(opened.run.embedder, opened.setup, rows=opened.rows[long])
    of = np.repeat(np.arange(len(long)), [len(plan[at]) for at in long])
    metadata = _window_metadata(clips.metadata.take(long), of, [plan[at] for at in long], data.clip_seconds)
    cut = EmbeddedClips(embedded.vectors.numpy(), metadata)
    name, scores = _window_scores(
        cut, EmbeddedClips(opened.vectors, opened.setup.metadata), opened.splits["train"]
    )
    places = relative_places(metadata)
    edge = max(
        EDGE, 1.001 * max(float(places[metadata.recordings == each].min()) for each in metadata.recordings)
    )
    among = _of_its_recording(cut, "cosine") if name == SAME_CLIP else None
    parts = position_scores(scores, places, cut.sources, edge=edge, among=among)
    return Positions("windows", edge, {name: parts})


def _window_metadata(clips: ClipMetadata, of: Ints, plan: list[list[float]], seconds: float) -> ClipMetadata:
    """Returns the metadata of each window; `of` (W,) is its clip, which is also its recording."""
    starts = np.concatenate([np.array(each) for each in plan])
    lengths = np.full(len(of), seconds)
    return replace(clips.take(of), start_times=starts, seconds=lengths, recordings=of)


def _window_scores(cut: EmbeddedClips, whole: EmbeddedClips, train: Ints) -> tuple[str, Floats]:
    """Returns the name of the score, and (W,) the score of each window."""
    labelled = bool((cut.metadata.labels >= 0).any() and (whole.metadata.labels[train] >= 0).any())
    known = whole.labelled[train] if labelled else whole.tagged[train]
    if not known.any() or not (labelled or cut.tagged.any()):
        first = _first(Search.within(cut.vectors))
        return SAME_CLIP, (cut.metadata.recordings[first] == cut.metadata.recordings).astype(np.float64)
    metadata = whole.metadata.take(train[known])
    sources = cut.sources, whole.sources[train[known]]
    first = _first(Search(cut.vectors, whole.vectors[train[known]], "cosine", None, *sources))
    if labelled:
        right = (first >= 0) & (metadata.labels[first] == cut.metadata.labels)
        return "recall_at_1", np.where(cut.labelled, right, np.nan)
    shared = (first >= 0) & (metadata.tags[first] & cut.metadata.tags).any(axis=1)
    return "multilabel_recall_at_1", np.where(cut.tagged, shared, np.nan)


def _first(search: Search) -> Ints:
    """Returns (Q,) the nearest gallery row; -1 if all are barred."""
    first: Ints = nearest(search, 1)[0][:, 0]
    return first
