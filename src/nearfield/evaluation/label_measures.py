"""The part of an evaluation that needs labels: probes, retrieval, clusters, centroids."""

from functools import partial

import numpy as np

from nearfield.core.nouns import Floats, Ints
from nearfield.evaluation.chance import expected_label_scores, guess_scores
from nearfield.evaluation.classification import class_table, classification_scores, confusion
from nearfield.evaluation.clusters import cluster_scores
from nearfield.evaluation.dense_probe import dense_predictions
from nearfield.evaluation.findings import Case, Findings, Side
from nearfield.evaluation.geometry import centroid_scores, centroids, pair_scores, shuffled_spread
from nearfield.evaluation.neighbours import Search, available
from nearfield.evaluation.probe_curve import probe_curve
from nearfield.evaluation.probes import Labelled, fit_label_probe, vote
from nearfield.evaluation.retrieval import label_means_without, label_scores, relevant_counts


def measure_labels(case: Case, found: Findings) -> None:
    """Adds every measure of labels that the split allows."""
    known = case.here.labelled
    at = np.flatnonzero(known)
    if not len(at):
        return
    if len(at) < len(known):
        found.note(
            f"{len(known) - len(at)} of {len(known)} clips have no label; label measures leave them out."
        )
    here, train = case.here.keep(known), case.train.keep(case.train.labelled)
    _shape(case, here, found)
    distance = case.settings.distance
    _retrieval("retrieval", here, here.search(here, distance, barred=True), at, found)
    _retrieval("retrieval_with_group", here, here.search(here, distance, barred=False), at, found)
    if not len(train):
        found.note("Train holds no labelled clips: no probes, no retrieval from train.")
        return
    from_train = here.search(train, distance, barred=True)
    _retrieval("retrieval_from_train", train, from_train, at, found, here.facts.labels)
    if len(np.unique(train.facts.labels)) < 2:
        found.note("Train holds clips of one class only: no probes.")
        return
    _probe(case, here, train, at, found)
    _other_probes(case, here, train, at, found)


def _probe(case: Case, here: Side, train: Side, at: Ints, found: Findings) -> None:
    labels, names = here.facts.labels, here.facts.label_names
    probe = fit_label_probe(_labelled(train), _val(case), case.settings.balanced)
    if not probe.chosen:
        found.note(f"No labelled val split to choose the probe's strength on: C = {probe.strength:g}.")
    if not probe.model.converged:
        found.note(f"The probe did not converge: its gradient is still {probe.model.gradient:.1e}.")
    unseen = int((~np.isin(labels, probe.classes)).sum())
    if unseen:
        found.note(f"{unseen} of {len(labels)} clips are of classes that train lacks; they count as wrong.")
    predicted = probe.predict(here.vectors)
    found.metrics |= {
        "probe/converged": float(probe.model.converged),
        "probe/strength": probe.strength,
        "probe/unseen_clips": float(unseen),
    }
    _classification("probe", labels, predicted, at, found)
    if case.settings.probe_curve:
        found.probe_curve = probe_curve(probe, _labelled(train), _labelled(here), case.settings.seed)
    found.predicted = np.full(found.size, -1, dtype=np.int64)
    found.predicted[at] = predicted
    found.per_class = class_table(labels, predicted, names, train.facts.labels)
    found.confusion = confusion(labels, predicted, names)


def _other_probes(case: Case, here: Side, train: Side, at: Ints, found: Findings) -> None:
    labels = here.facts.labels
    voted = vote(here.search(train, case.settings.distance, barred=True), train.facts.labels)
    if (voted >= 0).all():
        _classification("knn", labels, voted, at, found)
    else:
        found.note("Some clips may find nobody in train: no nearest-neighbour probe.")
    if case.settings.dense_probe:
        dense = dense_predictions(_labelled(train), _val(case), here.vectors, case.settings.seed)
        _classification("dense_probe", labels, dense, at, found)
    in_train = np.bincount(train.facts.labels)
    for name, scores in (
        ("chance", guess_scores(train.facts.labels, labels)),
        ("majority", _plain(classification_scores(labels, np.full_like(labels, in_train.argmax())))),
    ):
        found.metrics |= {f"baseline/{name}/probe/{metric}": value for metric, value in scores.items()}


def _classification(prefix: str, labels: Ints, predicted: Ints, at: Ints, found: Findings) -> None:
    """Scores with intervals: accuracy is a mean over clips, the F1s are worked out anew in every draw."""
    scores = _plain(classification_scores(labels, predicted))
    found.means(prefix, {"accuracy": (predicted == labels).astype(np.float64)}, at)
    f1s = [name for name in scores if name != "accuracy"]
    found.metrics |= {f"{prefix}/{name}": scores[name] for name in f1s}
    if found.resamples is None:
        return

    def redrawn(weights: Floats) -> Floats:
        values = classification_scores(labels, predicted, weights[:, at])
        return np.stack([values[name] for name in f1s], axis=1)

    drawn = found.resamples.apply(redrawn)
    for column, name in enumerate(f1s):
        found.drawn(f"{prefix}/{name}", drawn[:, column], at)


def _retrieval(
    prefix: str, gallery: Side, search: Search, at: Ints, found: Findings, query_labels: Ints | None = None
) -> None:
    labels = gallery.facts.labels if query_labels is None else query_labels
    relevant = relevant_counts(search, labels, gallery.facts.labels)
    able = int((relevant > 0).sum())
    found.metrics |= {
        f"{prefix}/queries": float(able),
        f"{prefix}/queries_left_out": float(len(labels) - able),
    }
    if able < len(labels):
        found.note(
            f"{prefix}: {able} of {len(labels)} queries have a clip of their label to find; "
            "the others are left out."
        )
    scores = label_scores(search, labels, gallery.facts.labels)
    if query_labels is None:
        found.within(prefix, scores, at, partial(label_means_without, search, labels))
    else:
        found.means(prefix, scores, at)
    found.averages(f"baseline/chance/{prefix}", expected_label_scores(relevant, available(search)))


def _shape(case: Case, here: Side, found: Findings) -> None:
    settings, labels = case.settings, here.facts.labels
    spherical = settings.distance == "cosine"
    found.centroids = centroids(here.vectors, labels, here.facts.label_names, spherical)
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
        found.note(f"Clusters are measured on {int(scores['clips'])} drawn clips of {len(labels)}.")


def _val(case: Case) -> Labelled | None:
    if case.val is None:
        return None
    val = case.val.keep(case.val.labelled)
    return _labelled(val) if len(val) else None


def _labelled(side: Side) -> Labelled:
    return Labelled(side.vectors, side.facts.labels)


def _plain(scores: dict[str, Floats]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in scores.items()}
