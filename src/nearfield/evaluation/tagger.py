"""A tagger judged by what it says itself: how its own scores of every tag rank the clips.

Conventions: scores (N, K) of any scale, larger means rather has the tag, one column a tag; a row of NaN was
not asked and takes no part. A clip without any tag is not known to lack them, and takes none either. Beside
`tagging/...`, which reads tags out of vectors by a probe, these figures are `tagger/...`.
"""

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Facts, Floats
from nearfield.evaluation.checks import check_lengths
from nearfield.evaluation.findings import Findings
from nearfield.evaluation.result import ClipTagScores, TagScore
from nearfield.evaluation.tag_table import TagTable


def measure_tagger(scores: Floats, facts: Facts, found: Findings) -> tuple[TagScore, ...]:
    """Adds `tagger/roc_auc` and `tagger/pr_auc` with intervals and chance, and the scores of every clip.

    `scores` (N, K) and `facts` are of the N clips of the split that `found` is of; gives the table of tags,
    empty where no clip can be scored. Raises RequestError where the columns are not the collection's tags.
    """
    check_lengths(len(facts), predictions=scores)
    if scores.ndim != 2 or scores.shape[1] != len(facts.tag_names):
        raise RequestError(
            f"predictions: one column for each of the {len(facts.tag_names)} tags is wanted; "
            f"given: shape {scores.shape}."
        )
    asked = np.isfinite(scores).all(axis=1) if scores.shape[1] else np.zeros(len(facts), dtype=bool)
    at = np.flatnonzero(asked & facts.tags.any(axis=1))
    if not len(at):
        return ()
    if len(at) < len(facts):
        found.note(f"tagger: {len(at)} of {len(facts)} clips have tags and were heard by the tagger.")
    tags, every = facts.tags[at], np.arange(scores.shape[1])
    table = TagTable.of(tags, scores[at], at, found)
    table.add_means("tagger", found)
    found.metrics["tagger/tags"] = float(table.scored)
    found.tag_scores["tagger"] = ClipTagScores(at, facts.tag_names, tags, scores[at])
    return table.rows(facts.tag_names, tags.sum(axis=0), every)
