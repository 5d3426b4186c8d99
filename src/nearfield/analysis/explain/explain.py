"""`nearfield explain`: an analysis of the embeddings of a run beyond its metrics."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from nearfield.analysis.explain.challenge import ChallengeTable, challenge_table
from nearfield.analysis.explain.clusters import ClusterReport, ClusterSettings, cluster_report
from nearfield.analysis.explain.opened_run import OpenedRun
from nearfield.analysis.explain.position import Positions, positions
from nearfield.analysis.suspects.signals import SilenceReport, silence_report
from nearfield.core.types import Distance, Floats, Ints, Vectors
from nearfield.metrics.classification import Confusion, confusion
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.geometry import Apart, centroid_scores, centroids, shuffled_spread
from nearfield.metrics.probes import Labelled, ProbeCurve, fit_label_probe
from nearfield.metrics.result import EvaluationSettings, Result
from nearfield.training.events import Callback, Stage, ignore

# Predictions of a linear probe, trained on the train clips of the collection, or of the run if there are
# none.
#
# A collection with test clips only, such as a separate evaluation set, has no train clips. The probe is then
# trained on the train clips of the run, and its regularization chosen on the val clips of the run.


@dataclass(frozen=True)
class ProbePredictions:
    """Clips with a label and a predicted label."""

    rows: Ints
    """(n,) rows of the collection."""
    reference: Ints
    """(n,) class numbers."""
    predicted: Ints
    """(n,) predicted class numbers."""
    names: tuple[str, ...]
    """Names of the classes; those that are not in the collection are last."""
    by_own_clips: bool
    """Whether the probe was trained on the clips of the run."""

    @property
    def confusion(self) -> Confusion:
        """The confusion matrix."""
        return confusion(self.reference, self.predicted, self.names)


def predict(opened: OpenedRun, evaluated: Result) -> ProbePredictions | None:
    """Predicts labels of the explained clips; None without labels, or without labels to train a probe."""
    clips, names = evaluated.clips, opened.setup.metadata.label_names
    scored = np.flatnonzero((clips.reference >= 0) & (clips.predicted >= 0))
    if len(scored):
        return ProbePredictions(
            clips.rows[scored], clips.reference[scored], clips.predicted[scored], names, False
        )
    labelled = np.flatnonzero(clips.reference >= 0)
    if not opened.run.folder.vectors.is_file() or not len(labelled):
        return None
    own, vectors = opened.run.folder.stored_vectors(["label", "split"])
    names = (*names, *sorted(set(own["label"]) - {"", *names}))
    number = {name: at for at, name in enumerate(names)}
    train, val = (_side(own, vectors, split, number) for split in ("train", "val"))
    if len(np.unique(train.labels)) < 2:
        return None
    rows = clips.rows[labelled]
    predicted = fit_label_probe(train, val if len(val) else None).predict(opened.vectors[rows])
    return ProbePredictions(rows, clips.reference[labelled], predicted, names, True)


def _side(own: pd.DataFrame, vectors: Vectors, split: str, number: dict[str, int]) -> Labelled:
    """The labelled clips of a split of the run's own data."""
    rows = np.flatnonzero(((own["split"] == split) & (own["label"] != "")).to_numpy())
    labels = np.array([number[name] for name in own["label"].iloc[rows]], np.int64)
    return Labelled(vectors[rows], labels)


# The explanation: clusters found without labels, and whether one consists of silence; scores at beginnings
# and ends of recordings; distances between labels; predictability of other columns (microphone, session,
# speaker); and, on the evaluation set of DCASE 2018 task 5, a comparison with published results.

KNOWN_NODE = "known_node"
"""Column that says whether the node of a clip is in the development set, yes or no."""


@dataclass(frozen=True)
class Nuisance:
    """How well another column can be predicted from the embeddings."""

    column: str
    macro_f1: float
    accuracy: float
    chance: float
    """Macro F1 of random predictions with the frequencies of the values."""
    interval: tuple[float, float] | None
    """95 % interval of macro F1."""


@dataclass(frozen=True)
class Explanation:
    """The explanation of one split."""

    run: str
    data: str
    split: str
    clips: int
    distance: Distance
    clusters: ClusterReport
    silence: SilenceReport | None
    """Levels of the clusters of the whole space at the elbow; None for images."""
    positions: Positions | None
    challenge: ChallengeTable | None
    nuisance: tuple[Nuisance, ...]
    apart: Apart | None
    """Distances between labels; None if there are fewer than two."""
    confusion: Confusion | None
    """Confusion matrix of the linear probe; None without labels."""
    class_counts: dict[str, dict[str, int]]
    """Number of clips of each label, or of each tag, by split."""
    notes: tuple[str, ...]
    probe_curve: ProbeCurve | None = None
    """Learning curve of a linear probe trained by gradient descent; metrics are of the exact probe."""

    def plain(self) -> dict[str, Any]:
        """Returns the explanation, without members of clusters, as JSON-serializable values."""
        apart, confusion = self.apart, self.confusion
        return {
            "run": self.run,
            "data": self.data,
            "split": self.split,
            "clips": self.clips,
            "distance": self.distance,
            "clusters": self.clusters.plain(),
            "silence": None if self.silence is None else asdict(self.silence),
            "positions": None if self.positions is None else asdict(self.positions),
            "challenge": None if self.challenge is None else self.challenge.plain(),
            "nuisance": [asdict(row) for row in self.nuisance],
            "apart": apart
            and {
                "names": list(apart.centroids.names),
                "distances": apart.centroids.distances.tolist(),
                "spread": apart.spread,
                "spread_by_chance": apart.spread_by_chance,
            },
            "probe_curve": self.probe_curve and asdict(self.probe_curve),
            "confusion": confusion and {"names": list(confusion.names), "counts": confusion.counts.tolist()},
            "class_counts": self.class_counts,
            "notes": list(self.notes),
        }


def explain(opened: OpenedRun, callback: Callback = ignore, most_clusters: int = 20) -> Explanation:
    """Explains a run; notes say what does not apply to its clips, and why.

    Raises WorkError if the vectors are not finite.
    """
    metadata, rows, notes = opened.setup.metadata, opened.rows, list[str]()
    normalized = opened.run.recipe.embedding.normalize
    distance: Distance = "cosine" if normalized else "euclidean"
    callback(Stage("explain", 0, 3))
    evaluated = evaluate(
        opened.vectors,
        metadata,
        opened.splits,
        EvaluationSettings(split=opened.split, distance=distance, dense_probe=False, probe_curve=True),
    )
    callback(Stage("explain", 1, 3))
    settings = ClusterSettings(most=most_clusters, distance=distance)
    labels = metadata.labels[rows]
    clusters = cluster_report(opened.vectors[rows], labels, metadata.label_names, settings)
    silence = _silence(opened, clusters) if opened.is_sound else None
    callback(Stage("explain", 2, 3))
    placed = positions(opened, evaluated.clips.scores, distance)
    if placed is None:
        notes.append(
            "position: not computed. This needs clips cut from the beginning, middle and end of longer "
            "recordings, or two groups with clips of at least three windows."
        )
    predictions = predict(opened, evaluated)
    if predictions is not None and predictions.by_own_clips:
        notes.append("probe: there are no train clips; the probe was trained on the train clips of the run.")
    table = _challenge(opened, predictions, notes)
    callback(Stage("explain", 3, 3))
    return Explanation(
        run=str(opened.run.folder.path),
        data=opened.collection.name,
        split=opened.split,
        clips=len(rows),
        distance=distance,
        clusters=clusters,
        silence=silence,
        positions=placed,
        challenge=table,
        nuisance=_nuisance(evaluated),
        apart=_apart(opened, normalized),
        confusion=None if predictions is None else predictions.confusion,
        probe_curve=evaluated.probe_curve,
        class_counts=class_counts(opened),
        notes=(*notes, *(note for note in evaluated.notes if note.startswith("nuisance"))),
    )


def class_counts(opened: OpenedRun) -> dict[str, dict[str, int]]:
    """Counts the clips of every label by split, the most frequent first; of every tag without labels."""
    metadata, splits = opened.setup.metadata, opened.splits
    if metadata.label_names:
        has: Floats = (metadata.labels[:, None] == np.arange(len(metadata.label_names))).astype(np.float64)
        names = metadata.label_names
    else:
        has, names = metadata.tags.astype(np.float64), metadata.tag_names
    counts = {split: has[members].sum(axis=0).astype(int).tolist() for split, members in splits.items()}
    order = sorted(range(len(names)), key=lambda at: (-float(has[:, at].sum()), names[at]))
    return {names[at]: {split: counts[split][at] for split in splits} for at in order}


def _silence(opened: OpenedRun, clusters: ClusterReport) -> SilenceReport:
    at_elbow = next(each for each in clusters.spaces[0].found if each.chosen_by == "elbow")
    return silence_report(opened.levels(opened.rows[clusters.rows]), at_elbow.members)


def _challenge(
    opened: OpenedRun, predictions: ProbePredictions | None, notes: list[str]
) -> ChallengeTable | None:
    table = opened.collection.table
    if KNOWN_NODE not in table:
        return None
    if predictions is None:
        notes.append("challenge: the clips have no labels that a probe can predict.")
        return None
    words = table[KNOWN_NODE].iloc[predictions.rows].astype(str).str.lower()
    known = words.isin(("yes", "true", "1")).to_numpy(np.bool_)
    supervised = bool(opened.run.recipe.relation.gives)
    return challenge_table(
        predictions.predicted,
        predictions.reference,
        known,
        opened.setup.metadata.groups[predictions.rows],
        "supervised" if supervised else "frozen features",
    )


def _nuisance(evaluated: Result) -> tuple[Nuisance, ...]:
    ending = "/macro_f1"
    names = [name for name in evaluated.metrics if name.startswith("nuisance/") and name.endswith(ending)]
    return tuple(
        Nuisance(
            column=name.removeprefix("nuisance/").removesuffix(ending),
            macro_f1=evaluated.metrics[name],
            accuracy=evaluated.metrics[name.replace(ending, "/accuracy")],
            chance=evaluated.metrics[name.replace(ending, "/chance")],
            interval=evaluated.intervals.get(name),
        )
        for name in names
    )


def _apart(opened: OpenedRun, spherical: bool) -> Apart | None:
    metadata = opened.setup.metadata.take(opened.rows)
    vectors = opened.vectors[opened.rows]
    found = centroids(vectors, metadata.labels, metadata.label_names, spherical)
    if len(found.names) < 2:
        return None
    scores = centroid_scores(found)
    return Apart(found, scores.get("centroid_spread"), shuffled_spread(vectors, metadata.labels, spherical))
