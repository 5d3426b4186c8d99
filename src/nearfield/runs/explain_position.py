"""Whether a space fails at beginnings and ends: clips, or windows of clips, by where they lie in recordings.

Clips that are cut from longer recordings are judged by their own scores. Where clips are recordings, every
window is embedded and judged on its own: whether the nearest training clip of another group shares its clip's
label (or a tag of it), or, where nothing is labelled, whether the nearest other window is of its clip.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from nearfield.core.nouns import Distance, Facts, Floats, Ints
from nearfield.data.signals import ArraySignals
from nearfield.evaluation.findings import Side
from nearfield.evaluation.multilabel import recall_of_first, sharing
from nearfield.evaluation.neighbours import Search, nearest
from nearfield.evaluation.position import EDGE, Among, PlaceScore, position_scores, relative_places
from nearfield.evaluation.temporal import first_is_relevant, of_recording
from nearfield.runs.embedding import embed_windows
from nearfield.runs.explain_material import Material
from nearfield.runs.workbench import Sight, windows

LEAST = 3
"""Windows that a recording must have to have a beginning, a middle and an end."""

SCORES = (
    "probe/accuracy",
    "retrieval_from_train/recall_at_1",
    "retrieval/multilabel_recall_at_1",
    "time/same_recording_at_1",
)
"""Scores of clips that are looked at, where there are some."""
SAME_CLIP = "same_clip_at_1"
"""The score of windows where nothing is labelled."""


@dataclass(frozen=True)
class Positions:
    """Scores of the first part, the middle and the last part of recordings."""

    of: Literal["clips", "windows"]
    edge: float
    """Share of a recording at either end that counts as its beginning or end."""
    scores: dict[str, tuple[PlaceScore, ...]]
    """By the name of what is scored."""


def positions(material: Material, scores: dict[str, Floats], distance: Distance) -> Positions | None:
    """`scores`: (n,) for each metric, of the clips explained, by `distance`. None where nothing has an
    inside."""
    here = Side(material.vectors[material.rows], material.bench.facts.take(material.rows))
    places = relative_places(here.facts)
    found = {
        name: _of_clips(name, scores[name], places, here, distance)
        for name in SCORES
        if name in scores and (np.isfinite(scores[name]) & np.isfinite(places)).any()
    }
    kept = {name: parts for name, parts in found.items() if all(part.clips for part in parts)}
    return Positions("clips", EDGE, kept) if kept else _of_windows(material, here)


def _of_clips(
    name: str, scores: Floats, places: Floats, here: Side, distance: Distance
) -> tuple[PlaceScore, ...]:
    """The parts of one of SCORES."""
    if name == "retrieval/multilabel_recall_at_1":
        at, tagged = np.flatnonzero(here.tagged), here.keep(here.tagged)
        tags = tagged.facts.tags
        search = tagged.search(tagged, distance, barred=True)
        by_tags = Among(search, partial(sharing, tags), partial(recall_of_first, tags))
        return position_scores(scores[at], places[at], tagged.sources, among=by_tags)
    among = _of_its_recording(here, distance) if name == "time/same_recording_at_1" else None
    return position_scores(scores, places, here.sources, among=among)


def _of_its_recording(here: Side, distance: Distance) -> Among:
    """Whether the nearest other clip is of the same recording."""
    search = here.search(here, distance, barred=False)
    return Among(search, partial(of_recording, here.facts.recordings), first_is_relevant)


def _of_windows(material: Material, clips: Side) -> Positions | None:
    signals = material.bench.sight.signals
    if not isinstance(signals, ArraySignals):
        return None
    clip_seconds = material.run.recipe.data.clip_seconds
    plan = [windows(float(seconds), clip_seconds) for seconds in clips.facts.seconds]
    long = np.flatnonzero([len(starts) >= LEAST for starts in plan])
    if len(np.unique(clips.sources[long])) < 2:
        return None
    rows = material.rows[long]
    sight = Sight(
        ArraySignals.of([signals.arrays[row] for row in rows], signals.rate),
        material.bench.sight.length,
        material.bench.sight.feature,
    )
    found, of = embed_windows(material.run.embedder, sight, clips.facts.seconds[long], clip_seconds)
    facts = _window_facts(clips.facts.take(long), of.numpy(), [plan[at] for at in long], clip_seconds)
    cut = Side(found.numpy(), facts)
    name, scores = _window_scores(cut, Side(material.vectors, material.bench.facts), material.splits["train"])
    places = relative_places(facts)
    edge = max(EDGE, 1.001 * max(float(places[facts.recordings == each].min()) for each in facts.recordings))
    among = _of_its_recording(cut, "cosine") if name == SAME_CLIP else None
    parts = position_scores(scores, places, cut.sources, edge=edge, among=among)
    return Positions("windows", edge, {name: parts})


def _window_facts(clips: Facts, of: Ints, plan: list[list[float]], seconds: float) -> Facts:
    """What is known of each window; `of` (W,) is its clip, which counts as its recording."""
    starts = np.concatenate([np.array(each) for each in plan])
    lengths = np.full(len(of), seconds)
    return replace(clips.take(of), moments=starts, seconds=lengths, recordings=of)


def _window_scores(cut: Side, whole: Side, train: Ints) -> tuple[str, Floats]:
    """What is scored, and (W,) a score for each window."""
    labelled = bool((cut.facts.labels >= 0).any() and (whole.facts.labels[train] >= 0).any())
    known = whole.labelled[train] if labelled else whole.tagged[train]
    if not known.any() or not (labelled or cut.tagged.any()):
        first = _first(Search.within(cut.vectors))
        return SAME_CLIP, (cut.facts.recordings[first] == cut.facts.recordings).astype(np.float64)
    facts = whole.facts.take(train[known])
    sources = cut.sources, whole.sources[train[known]]
    first = _first(Search(cut.vectors, whole.vectors[train[known]], "cosine", None, *sources))
    if labelled:
        right = (first >= 0) & (facts.labels[first] == cut.facts.labels)
        return "recall_at_1", np.where(cut.labelled, right, np.nan)
    shared = (first >= 0) & (facts.tags[first] & cut.facts.tags).any(axis=1)
    return "multilabel_recall_at_1", np.where(cut.tagged, shared, np.nan)


def _first(search: Search) -> Ints:
    """(Q,) the nearest gallery row, -1 where all are barred."""
    first: Ints = nearest(search, 1)[0][:, 0]
    return first
