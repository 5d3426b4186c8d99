"""The part of an evaluation that needs neither labels nor tags: the shape of the space, and time."""

from functools import partial

import numpy as np

from nearfield.core.nouns import Facts, Ints
from nearfield.evaluation.chance import expected_label_scores
from nearfield.evaluation.findings import Case, Findings
from nearfield.evaluation.geometry import HUB_NEIGHBOURS, effective_rank, hubness, mean_norm, pair_scores
from nearfield.evaluation.neighbours import Search, available, nearest
from nearfield.evaluation.retrieval import relevant_counts
from nearfield.evaluation.temporal import (
    first_without,
    near_by,
    near_in_time,
    of_recording,
    same_recording,
    triplet_scores,
)


def measure_space(case: Case, found: Findings) -> None:
    """Adds every measure that any split allows."""
    here, settings = case.here, case.settings
    search = here.search(here, settings.distance, barred=False)
    index, _ = nearest(search, HUB_NEIGHBOURS)
    found.metrics |= {
        "geometry/effective_rank": effective_rank(here.vectors),
        "geometry/hubness": hubness(index),
        "geometry/mean_norm": mean_norm(here.vectors),
    }
    if not here.labelled.any():
        # Without labels, clips of one recording are the ones that may be hoped to be alike.
        pairs = pair_scores(here.vectors, here.facts.recordings, settings.distance, settings.seed)
        found.metrics |= {f"geometry/{name}": value for name, value in pairs.items()}

    recordings = here.facts.recordings
    shares = same_recording(index[:, 0], recordings)
    same = partial(of_recording, recordings)
    found.within(
        "retrieval",
        {"same_recording_share": shares},
        np.arange(len(here)),
        lambda blocks: {"same_recording_share": first_without(search, blocks, same)},
    )
    chance = expected_label_scores(relevant_counts(search, recordings, recordings), available(search))
    found.averages("baseline/chance/retrieval", {"same_recording_share": chance["recall_at_1"]})
    if _clocked(here.facts):
        _time(case, search, index[:, 0], found)


def _time(case: Case, search: Search, first: Ints, found: Findings) -> None:
    """What the clock of the recordings says of the nearest clips, and of triplets."""
    facts, settings = case.here.facts, case.settings
    scores = {
        "same_recording_at_1": same_recording(first, facts.recordings),
        "near_in_time_at_1": near_in_time(first, facts.recordings, facts.moments, settings.near_seconds),
    }
    relevant = {
        "same_recording_at_1": partial(of_recording, facts.recordings),
        "near_in_time_at_1": partial(near_by, facts.recordings, facts.moments, settings.near_seconds),
    }
    found.within(
        "time",
        scores,
        np.arange(len(case.here)),
        lambda blocks: {name: first_without(search, blocks, each) for name, each in relevant.items()},
    )
    triplets = triplet_scores(
        case.here.vectors,
        facts.recordings,
        facts.moments,
        settings.near_seconds,
        settings.distance,
        settings.seed,
    )
    if triplets:
        accuracy = triplets.pop("triplet_accuracy")
        found.metrics |= {"time/triplet_accuracy": accuracy, "baseline/chance/time/triplet_accuracy": 0.5}
        found.metrics |= {f"geometry/{name}": value for name, value in triplets.items()}


def _clocked(facts: Facts) -> bool:
    """Whether some recording has clips at different moments: whole files all begin at 0."""
    order = np.lexsort((facts.moments, facts.recordings))
    recordings, moments = facts.recordings[order], facts.moments[order]
    later = (recordings[1:] == recordings[:-1]) & (recordings[1:] >= 0) & (moments[1:] > moments[:-1])
    return bool(later.any())
