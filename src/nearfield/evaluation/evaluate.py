"""Puts every measure that applies to a split into one result.

Clips with labels: probes, retrieval by label, clusters, centroids. Clips with tags: the tag probe, retrieval
by tags, and how a tagger's own scores rank. Recordings with several clips: what time alone can judge. Further
columns: whether the space gives away the microphone or the speaker. Any clips: the shape of the space. Beside
them, under `baseline/`, what can be had without listening. Baselines of other vectors are had by calling
`evaluate` with them and naming its metrics by `Result.prefixed`.

Conventions
-----------
`retrieval/...` searches the split without the query's own group, `retrieval_from_train/...` searches train
(without it too, should a group leak), `retrieval_with_group/...` searches the split with the group left in;
the query itself is never found. A clip whose group is not known goes by its recording. A clip without any
tag is not known to lack them: tag measures leave it out.
"""

from collections.abc import Mapping

import numpy as np

from nearfield.core.errors import DataError, choose
from nearfield.core.nouns import Facts, Floats, Ints, Vectors
from nearfield.core.words import count
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.findings import Case, EvaluationSettings, Findings, Side
from nearfield.evaluation.intervals import Resamples
from nearfield.evaluation.label_measures import measure_labels
from nearfield.evaluation.left_out import Blocks
from nearfield.evaluation.nuisance import measure_columns
from nearfield.evaluation.result import ClipScores, Result
from nearfield.evaluation.space_measures import measure_space
from nearfield.evaluation.tag_measures import measure_tags
from nearfield.evaluation.tagger import measure_tagger
from nearfield.evaluation.threads import one_thread

FEW_GROUPS = 10
"""Groups below which an interval is said to be rough."""


def evaluate(
    vectors: Vectors,
    facts: Facts,
    splits: Mapping[str, Ints],
    settings: EvaluationSettings | None = None,
    predictions: Floats | None = None,
) -> Result:
    """Scores one split of a space.

    `vectors` (N, D), one a clip; `facts` of the same N clips; `splits` names to rows, of which `train`
    teaches the probes and `val` decides their strength. `predictions` (N, K) are a tagger's own scores, to be
    judged beside the space; without them those of `facts` are taken, if it has some. Raises DataError where
    the split holds no clips, WorkError where vectors are not finite.
    """
    settings = settings or EvaluationSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), facts=facts.labels)
    rows = splits.get(settings.split, np.zeros(0, dtype=np.int64))
    if not len(rows):
        filled = [name for name, members in splits.items() if len(members)]
        raise DataError(f"split {settings.split!r} holds no clips. {choose(settings.split, filled)}")

    def side(name: str) -> Side:
        members = np.asarray(splits.get(name, []), dtype=np.int64)
        return Side(vectors[members], facts.take(members), members)

    # Choices made on the split that is scored would flatter it.
    val = None if settings.split == "val" or not len(splits.get("val", ())) else side("val")
    case = Case(side(settings.split), side("train"), val, settings)
    resamples = _resamples(case)
    found = Findings(len(rows), resamples, Blocks.by(case.here.sources) if resamples else None)
    said = facts.predictions if predictions is None else predictions
    with one_thread():
        measure_labels(case, found)
        measure_tags(case, found)
        measure_space(case, found)
        measure_columns(case, found)
        if said is not None:
            check_lengths(len(vectors), predictions=said)
            found.per_tag_of_tagger = measure_tagger(said[rows], case.here.facts, found)
        found.resample_means()
    return _result(case, np.asarray(rows, dtype=np.int64), found)


def _resamples(case: Case) -> Resamples | None:
    settings = case.settings
    if settings.draws == 0:
        return None
    resamples = Resamples.of(case.here.sources, settings.draws, settings.seed)
    return resamples if resamples.groups > 1 else None


def _result(case: Case, rows: Ints, found: Findings) -> Result:
    groups = found.resamples.groups if found.resamples else 0
    if groups and groups < FEW_GROUPS and found.intervals:
        found.note(f"The split holds {count(groups, 'group')} only: its intervals are rough.")
    if case.settings.draws and not groups:
        found.note("The split holds one group only: no intervals, for nothing says how another would fare.")
    if case.settings.split == "train":
        found.note("These clips taught the space and the probes: the scores say nothing of unheard sound.")
    unread = np.full(len(rows), -1, dtype=np.int64)
    predicted = found.predicted if len(found.predicted) else unread
    blocks = found.blocks
    if blocks and blocks.count < blocks.groups and found.without:
        found.note(
            f"Intervals of searches within the split and of areas under curves leave its "
            f"{count(blocks.groups, 'group')} out in {blocks.count} blocks of several."
        )
    clips = ClipScores(
        rows=rows,
        groups=case.here.sources,
        reference=case.here.facts.labels,
        predicted=predicted,
        scores=found.scores,
        without={name: values[blocks.of] for name, values in found.without.items()} if blocks else {},
        blocks=blocks.of if blocks else case.here.sources,
    )
    return Result(
        split=case.settings.split,
        metrics=found.metrics,
        intervals=found.intervals,
        per_class=found.per_class,
        per_tag=found.per_tag,
        confusion=found.confusion,
        probe_curve=found.probe_curve,
        centroids=found.centroids,
        clips=clips,
        notes=tuple(found.notes),
        per_tag_of_tagger=found.per_tag_of_tagger,
        tag_scores=found.tag_scores,
    )
