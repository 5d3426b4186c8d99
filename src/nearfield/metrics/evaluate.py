"""Evaluation of a split: all metrics that apply to it, in one result."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from nearfield.core.errors import DataError, choose
from nearfield.core.parallel import one_thread
from nearfield.core.text import count
from nearfield.core.types import ClipMetadata, Floats, Ints, Vectors
from nearfield.metrics.chance import expected_label_scores, guess_scores
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.classification import class_table, classification_scores, confusion, skill_scores
from nearfield.metrics.clusters import cluster_scores
from nearfield.metrics.geometry import (
    HUB_NEIGHBOURS,
    centroid_scores,
    centroids,
    effective_rank,
    hubness,
    mean_norm,
    pair_scores,
    shuffled_spread,
)
from nearfield.metrics.intervals import Resamples
from nearfield.metrics.neighbors import Search, available, nearest
from nearfield.metrics.nuisance import measure_columns
from nearfield.metrics.probes import (
    Labelled,
    LabelProbe,
    dense_predictions,
    fit_label_probe,
    probe_curve,
    vote,
)
from nearfield.metrics.registry import MetricPlugin, metric_plugins, row_of
from nearfield.metrics.result import Case, ClipScores, EmbeddedClips, EvaluationSettings, Findings, Result
from nearfield.metrics.retrieval import (
    Blocks,
    label_means_without,
    label_scores,
    margin_scores,
    relevant_counts,
)
from nearfield.metrics.tag_metrics import measure_tagger, measure_tags
from nearfield.metrics.temporal import (
    first_without,
    near_by,
    near_in_time,
    of_recording,
    same_recording,
    triplet_scores,
)

# Metrics that need labels: probes, retrieval, clusters, centroids.


def measure_labels(case: Case, found: Findings) -> None:
    """Adds all label metrics that are defined for the split."""
    known = case.here.labelled
    at = np.flatnonzero(known)
    if not len(at):
        return
    if len(at) < len(known):
        found.note(
            f"{len(known) - len(at)} of {len(known)} clips have no label; label metrics leave them out."
        )
    here, train = case.here.keep(known), case.train.keep(case.train.labelled)
    _shape(case, here, found)
    distance = case.settings.distance
    _retrieval("retrieval", here, here.search(here, distance, barred=True), at, found)
    _retrieval("retrieval_with_group", here, here.search(here, distance, barred=False), at, found)
    if not len(train):
        found.note("Train has no labeled clips: no probes, no retrieval from train.")
        return
    from_train = here.search(train, distance, barred=True)
    _retrieval("retrieval_from_train", train, from_train, at, found, here.metadata.labels)
    margins = margin_scores(from_train, here.metadata.labels, train.metadata.labels)
    found.means("retrieval_from_train", margins, at)
    if len(np.unique(train.metadata.labels)) < 2:
        found.note("Train has clips of one class only: no probes.")
        return
    _probe(case, here, train, at, found)
    _other_probes(case, here, train, at, found)


def _probe(case: Case, here: EmbeddedClips, train: EmbeddedClips, at: Ints, found: Findings) -> None:
    labels, names = here.metadata.labels, here.metadata.label_names
    probe = fit_label_probe(_labelled(train), _val(case), case.settings.balanced)
    if not probe.chosen:
        found.note(f"No labeled val split to choose the probe's regularization: C = {probe.strength:g}.")
    steepest = max(probe.model, probe.calibrated, key=lambda model: model.gradient)
    if not steepest.converged:
        found.note(f"The probe did not converge: its gradient is still {steepest.gradient:.1e}.")
    unseen = int((~np.isin(labels, probe.classes)).sum())
    if unseen:
        found.note(f"{unseen} of {len(labels)} clips have classes absent from train; they count as wrong.")
    predicted = probe.predict(here.vectors)
    found.metrics |= {
        "probe/converged": float(steepest.converged),
        "probe/strength": probe.strength,
        "probe/unseen_clips": float(unseen),
    }
    _classification("probe", labels, predicted, at, found)
    found.means("probe", _skills(probe, here, train), at)
    if case.settings.probe_curve:
        found.probe_curve = probe_curve(probe, _labelled(train), _labelled(here), case.settings.seed)
    found.predicted = np.full(found.size, -1, dtype=np.int64)
    found.predicted[at] = predicted
    found.per_class = class_table(labels, predicted, names, train.metadata.labels)
    found.confusion = confusion(labels, predicted, names)


def _skills(probe: LabelProbe, here: EmbeddedClips, train: EmbeddedClips) -> dict[str, Floats]:
    frequencies = np.bincount(train.metadata.labels)[probe.classes] / len(train)
    return skill_scores(here.metadata.labels, probe.classes, probe.probabilities(here.vectors), frequencies)


def _other_probes(case: Case, here: EmbeddedClips, train: EmbeddedClips, at: Ints, found: Findings) -> None:
    labels = here.metadata.labels
    voted = vote(here.search(train, case.settings.distance, barred=True), train.metadata.labels)
    if (voted >= 0).all():
        _classification("knn", labels, voted, at, found)
    else:
        found.note("Some clips have no permitted neighbor in train: no nearest-neighbor probe.")
    if case.settings.dense_probe:
        dense = dense_predictions(_labelled(train), _val(case), here.vectors, case.settings.seed)
        _classification("dense_probe", labels, dense, at, found)
    in_train = np.bincount(train.metadata.labels)
    for name, scores in (
        ("chance", guess_scores(train.metadata.labels, labels)),
        ("majority", _plain(classification_scores(labels, np.full_like(labels, in_train.argmax())))),
    ):
        found.metrics |= {f"baseline/{name}/probe/{metric}": value for metric, value in scores.items()}


def _classification(prefix: str, labels: Ints, predicted: Ints, at: Ints, found: Findings) -> None:
    """Adds scores with intervals: accuracy is a mean over clips, F1 is computed again in each resample."""
    scores = _plain(classification_scores(labels, predicted))
    found.means(prefix, {"accuracy": (predicted == labels).astype(np.float64)}, at)
    f1s = [name for name in scores if name != "accuracy"]
    found.metrics |= {f"{prefix}/{name}": scores[name] for name in f1s}
    if found.resamples is None:
        return

    def resampled(weights: Floats) -> Floats:
        values = classification_scores(labels, predicted, weights[:, at])
        return np.stack([values[name] for name in f1s], axis=1)

    drawn = found.resamples.apply(resampled)
    for column, name in enumerate(f1s):
        found.drawn(f"{prefix}/{name}", drawn[:, column], at)


def _retrieval(
    prefix: str,
    gallery: EmbeddedClips,
    search: Search,
    at: Ints,
    found: Findings,
    query_labels: Ints | None = None,
) -> None:
    labels = gallery.metadata.labels if query_labels is None else query_labels
    relevant = relevant_counts(search, labels, gallery.metadata.labels)
    able = int((relevant > 0).sum())
    found.metrics |= {
        f"{prefix}/queries": float(able),
        f"{prefix}/queries_left_out": float(len(labels) - able),
    }
    if able < len(labels):
        found.note(
            f"{prefix}: {able} of {len(labels)} queries have another clip of their label; "
            "the other queries are left out."
        )
    scores = label_scores(search, labels, gallery.metadata.labels)
    if query_labels is None:
        found.within(prefix, scores, at, partial(label_means_without, search, labels))
    else:
        found.means(prefix, scores, at)
    found.averages(f"baseline/chance/{prefix}", expected_label_scores(relevant, available(search)))


def _shape(case: Case, here: EmbeddedClips, found: Findings) -> None:
    settings, labels = case.settings, here.metadata.labels
    spherical = settings.distance == "cosine"
    found.centroids = centroids(here.vectors, labels, here.metadata.label_names, spherical)
    pairs = pair_scores(here.vectors, labels, settings.distance, settings.seed)
    shape = centroid_scores(found.centroids) | pairs
    found.metrics |= {f"geometry/{name}": value for name, value in shape.items()}
    by_chance = shuffled_spread(here.vectors, labels, spherical, seed=settings.seed)
    if by_chance is not None:
        found.metrics["baseline/chance/geometry/centroid_spread"] = by_chance
    scores, baseline = cluster_scores(here.vectors, labels, settings.distance, settings.seed)
    found.metrics |= {f"clusters/{name}": value for name, value in scores.items()}
    found.metrics |= {f"baseline/chance/clusters/{name}": value for name, value in baseline.items()}
    if scores and scores["clips"] < len(labels):
        found.note(f"Clusters are measured on a random {int(scores['clips'])} of {len(labels)} clips.")


def _val(case: Case) -> Labelled | None:
    if case.val is None:
        return None
    val = case.val.keep(case.val.labelled)
    return _labelled(val) if len(val) else None


def _labelled(clips: EmbeddedClips) -> Labelled:
    return Labelled(clips.vectors, clips.metadata.labels)


def _plain(scores: dict[str, Floats]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in scores.items()}


# Metrics that need neither labels nor tags: geometry and time.


def measure_space(case: Case, found: Findings) -> None:
    """Adds the metrics that are defined for any split."""
    here, settings = case.here, case.settings
    search = here.search(here, settings.distance, barred=False)
    index, _ = nearest(search, HUB_NEIGHBOURS)
    found.metrics |= {
        "geometry/effective_rank": effective_rank(here.vectors),
        "geometry/hubness": hubness(index),
        "geometry/mean_norm": mean_norm(here.vectors),
    }
    if not here.labelled.any():
        # Without labels, clips of one recording are taken as positives.
        pairs = pair_scores(here.vectors, here.metadata.recordings, settings.distance, settings.seed)
        found.metrics |= {f"geometry/{name}": value for name, value in pairs.items()}

    recordings = here.metadata.recordings
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
    if _has_times(here.metadata):
        _time(case, search, index[:, 0], found)


def _time(case: Case, search: Search, first: Ints, found: Findings) -> None:
    """Adds metrics of nearest clips and of triplets, by the times of clips in their recordings."""
    metadata, settings = case.here.metadata, case.settings
    scores = {
        "same_recording_at_1": same_recording(first, metadata.recordings),
        "near_in_time_at_1": near_in_time(
            first, metadata.recordings, metadata.start_times, settings.near_seconds
        ),
    }
    relevant = {
        "same_recording_at_1": partial(of_recording, metadata.recordings),
        "near_in_time_at_1": partial(
            near_by, metadata.recordings, metadata.start_times, settings.near_seconds
        ),
    }
    found.within(
        "time",
        scores,
        np.arange(len(case.here)),
        lambda blocks: {name: first_without(search, blocks, each) for name, each in relevant.items()},
    )
    triplets = triplet_scores(
        case.here.vectors,
        metadata.recordings,
        metadata.start_times,
        settings.near_seconds,
        settings.distance,
        settings.seed,
    )
    if triplets:
        accuracy = triplets.pop("triplet_accuracy")
        found.metrics |= {"time/triplet_accuracy": accuracy, "baseline/chance/time/triplet_accuracy": 0.5}
        found.metrics |= {f"geometry/{name}": value for name, value in triplets.items()}


def _has_times(metadata: ClipMetadata) -> bool:
    """Whether a recording has clips with different start times (whole files all start at 0)."""
    order = np.lexsort((metadata.start_times, metadata.recordings))
    recordings, start_times = metadata.recordings[order], metadata.start_times[order]
    later = (recordings[1:] == recordings[:-1]) & (recordings[1:] >= 0) & (start_times[1:] > start_times[:-1])
    return bool(later.any())


# Metrics of other packages.


def measure_plugins(case: Case, found: Findings) -> None:
    """Adds the metrics of other packages; a note names those that fail."""
    for prefix, plugin in metric_plugins().items():
        own = Findings(found.size, found.resamples, found.blocks)
        try:
            plugin.measure(case, own)
            _check_plugin(plugin, own)
        except Exception as error:  # whatever a foreign metric does wrong, ours are measured
            found.note(f"The metrics {prefix}/... of another package failed: {type(error).__name__}: {error}")
        else:
            found.add(own)


def _check_plugin(plugin: MetricPlugin, own: Findings) -> None:
    """Raises ValueError for a metric without a row or out of its range, or without what its row promises."""
    known = {name for name in own.metrics if (row := row_of(name)) and row.family == plugin.family}
    for name, value in own.metrics.items():
        if name not in known:
            raise ValueError(f"{name} has no row. Add a Metric to the plugin, or leave it out.")
        if not np.isfinite(value):
            raise ValueError(f"{name} is {value}. Leave it out where it is not defined.")
        low, high = _range_of(name)
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}, and its row has the range {low:g} to {high:g}.")
        searched = plugin.family.searches_within and own.blocks is not None and name in own.scores
        if searched and name not in own.without:
            raise ValueError(f"{name} searches clips among themselves: add it by found.within.")


# The whole evaluation.
#
# Clips with labels: probes, retrieval by label, clusters, centroids. Clips with tags: the tag probe,
# retrieval by tags, and rankings by a tagger's own scores. Recordings with several clips: metrics of time.
# Further columns: whether a probe can predict, for example, the microphone or the speaker. All: geometry.
# Metrics under `baseline/` ignore the embeddings. For baselines from other embeddings, call `evaluate` with
# them and rename the metrics by `Result.prefixed`.
#
# Conventions
# -----------
# `retrieval/...` searches the split without the query's group, `retrieval_from_train/...` searches train
# (without the query's group, in case it leaks), `retrieval_with_group/...` searches the split including the
# group; the query itself is never returned. For a clip of unknown group, its recording is used. A clip
# without tags may not have been tagged, so tag metrics leave it out.

FEW_GROUPS = 10
"""Number of groups below which a note calls the intervals rough."""


def evaluate(
    vectors: Vectors,
    metadata: ClipMetadata,
    splits: Mapping[str, Ints],
    settings: EvaluationSettings | None = None,
    predictions: Floats | None = None,
) -> Result:
    """Evaluates the embeddings of one split.

    Parameters
    ----------
    vectors
        (N, D) embeddings, one per clip.
    metadata
        Labels, tags, groups and times of the N clips.
    splits
        Names of splits to row numbers. Probes are fitted on `train`; `val` chooses their regularization.
    settings
        What is evaluated; by default the split `test`.
    predictions
        (N, K) scores of a tagger for each tag, evaluated in addition; by default those of `metadata`, if any.

    Returns
    -------
    Result
        Metrics, intervals, tables and scores per clip.

    Raises
    ------
    DataError
        If the split has no clips.
    WorkError
        If embeddings are not finite.
    """
    settings = settings or EvaluationSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), metadata=metadata.labels)
    rows = splits.get(settings.split, np.zeros(0, dtype=np.int64))
    if not len(rows):
        filled = [name for name, members in splits.items() if len(members)]
        raise DataError(f"split {settings.split!r} has no clips. {choose(settings.split, filled)}")

    def clips_of(name: str) -> EmbeddedClips:
        members = np.asarray(splits.get(name, []), dtype=np.int64)
        return EmbeddedClips(vectors[members], metadata.take(members), members)

    # Choices made on the evaluated split would bias its scores upwards.
    val = None if settings.split == "val" or not len(splits.get("val", ())) else clips_of("val")
    case = Case(clips_of(settings.split), clips_of("train"), val, settings)
    resamples = _resamples(case)
    found = Findings(len(rows), resamples, Blocks.by(case.here.sources) if resamples else None)
    given = metadata.predictions if predictions is None else predictions
    with one_thread():
        measure_labels(case, found)
        measure_tags(case, found)
        measure_space(case, found)
        measure_columns(case, found)
        measure_plugins(case, found)
        if given is not None:
            check_lengths(len(vectors), predictions=given)
            found.per_tag_of_tagger = measure_tagger(given[rows], case.here.metadata, found)
        found.resample_means(_range_of)
    return _result(case, np.asarray(rows, dtype=np.int64), found)


def _range_of(name: str) -> tuple[float, float]:
    row = row_of(name)
    assert row is not None, name
    return row.metric.range


def _resamples(case: Case) -> Resamples | None:
    settings = case.settings
    if settings.draws == 0:
        return None
    resamples = Resamples.of(case.here.sources, settings.draws, settings.seed)
    return resamples if resamples.groups > 1 else None


def _result(case: Case, rows: Ints, found: Findings) -> Result:
    groups = found.resamples.groups if found.resamples else 0
    if groups and groups < FEW_GROUPS and found.intervals:
        found.note(f"The split has only {count(groups, 'group')}: its intervals are rough.")
    if case.settings.draws and not groups:
        found.note("The split has a single group: intervals, which need the variation of groups, are absent.")
    if case.settings.split == "train":
        found.note("Model and probes were trained on these clips: the scores do not apply to unseen sound.")
    no_predictions = np.full(len(rows), -1, dtype=np.int64)
    predicted = found.predicted if len(found.predicted) else no_predictions
    blocks = found.blocks
    if blocks and blocks.count < blocks.groups and found.without:
        found.note(
            f"For intervals of searches within the split and of areas under curves, its "
            f"{count(blocks.groups, 'group')} are left out in {blocks.count} blocks."
        )
    clips = ClipScores(
        rows=rows,
        groups=case.here.sources,
        reference=case.here.metadata.labels,
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
