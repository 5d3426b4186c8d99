"""The part of an evaluation that needs neither labels nor tags: the shape of the space, and time."""

import numpy as np

from nearfield.core.nouns import Facts
from nearfield.evaluation.chance import expected_label_scores
from nearfield.evaluation.findings import Case, Findings
from nearfield.evaluation.geometry import effective_rank, hubness, mean_norm, pair_scores
from nearfield.evaluation.neighbours import available
from nearfield.evaluation.retrieval import relevant_counts, same_source_share
from nearfield.evaluation.temporal import time_scores, triplet_accuracy


def measure_space(case: Case, found: Findings) -> None:
    """Adds every measure that any split allows."""
    here, settings = case.here, case.settings
    found.metrics |= {
        "geometry/effective_rank": effective_rank(here.vectors),
        "geometry/hubness": hubness(here.vectors, settings.distance),
        "geometry/mean_norm": mean_norm(here.vectors),
    }
    if not (here.facts.labels >= 0).any():
        # Without labels, clips of one recording are the ones that may be hoped to be alike.
        pairs = pair_scores(here.vectors, here.facts.recordings, settings.distance, settings.seed)
        found.metrics |= {f"geometry/{name}": value for name, value in pairs.items()}
    _recordings(case, found)
    _time(case, found)


def _recordings(case: Case, found: Findings) -> None:
    """How much of the retrieval within the split is the finding again of one's own recording."""
    recordings = case.here.facts.recordings
    search = case.here.search(case.here, case.settings.distance, barred=False)
    at = np.arange(len(recordings))
    share = same_source_share(search, recordings, recordings)
    found.means("retrieval", {"same_recording_share": share}, at)
    chance = expected_label_scores(relevant_counts(search, recordings, recordings), available(search))
    found.averages("baseline/chance/retrieval", {"same_recording_share": chance["recall_at_1"]})


def _time(case: Case, found: Findings) -> None:
    facts, settings = case.here.facts, case.settings
    if not _clocked(facts):
        return
    scores = time_scores(
        case.here.vectors, facts.recordings, facts.moments, settings.near_seconds, settings.distance
    )
    if not np.isfinite(scores["near_in_time_at_1"]).any():
        return
    found.means("time", scores, np.arange(len(case.here)))
    accuracy = triplet_accuracy(
        case.here.vectors,
        facts.recordings,
        facts.moments,
        settings.near_seconds,
        settings.distance,
        settings.seed,
    )
    if accuracy is not None:
        found.metrics |= {"time/triplet_accuracy": accuracy, "baseline/chance/time/triplet_accuracy": 0.5}


def _clocked(facts: Facts) -> bool:
    """Whether some recording has clips at different moments: whole files all begin at 0."""
    order = np.lexsort((facts.moments, facts.recordings))
    recordings, moments = facts.recordings[order], facts.moments[order]
    later = (recordings[1:] == recordings[:-1]) & (recordings[1:] >= 0) & (moments[1:] > moments[:-1])
    return bool(later.any())
