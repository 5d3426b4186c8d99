"""`nearfield explain`: what a space holds beyond its scores."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from nearfield.analysis.explain.challenge import ChallengeTable, challenge_table
from nearfield.analysis.explain.clusters import ClusterReport, ClusterSettings, cluster_report
from nearfield.analysis.explain.opened_run import OpenedRun
from nearfield.analysis.explain.position import Positions, positions
from nearfield.analysis.suspects.signals import SilenceReport, silence_report
from nearfield.core.types import Distance, Floats, Ints
from nearfield.metrics.classification import Confusion, confusion
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.geometry import Apart, centroid_scores, centroids, shuffled_spread
from nearfield.metrics.probes import Labelled, ProbeCurve, fit_label_probe
from nearfield.metrics.result import EvaluationSettings, Result
from nearfield.training.events import Callback, Stage, ignore

# What a linear reader of a space says of clips: one that learnt on their own train side, else on the run's.
#
# Clips that only judge, as an evaluation set that was published apart, bring nothing to learn from: they are
# read by what the run's own train clips teach, its strength chosen on the run's own val clips.


@dataclass(frozen=True)
class ProbePredictions:
    """Clips that have a label and were told one."""

    rows: Ints
    """(n,) rows of the collection."""
    reference: Ints
    """(n,) class numbers."""
    predicted: Ints
    """(n,) class numbers."""
    names: tuple[str, ...]
    """Of the classes; those that the collection itself does not hold come last."""
    by_own_clips: bool
    """Whether the run's own clips taught the reader."""

    @property
    def confusion(self) -> Confusion:
        """Who is taken for whom."""
        return confusion(self.reference, self.predicted, self.names)


def read(opened: OpenedRun, judged: Result) -> ProbePredictions | None:
    """The reading of the explained clips; None where they have no labels, or nothing teaches some."""
    clips, names = judged.clips, opened.setup.metadata.label_names
    scored = np.flatnonzero((clips.reference >= 0) & (clips.predicted >= 0))
    if len(scored):
        return ProbePredictions(
            clips.rows[scored], clips.reference[scored], clips.predicted[scored], names, False
        )
    labelled = np.flatnonzero(clips.reference >= 0)
    own = _own(opened)
    if own is None or not len(labelled):
        return None
    names = (*names, *sorted(set(own["label"]) - set(names)))
    number = {name: at for at, name in enumerate(names)}
    train, val = (_side(own, split, number) for split in ("train", "val"))
    if len(np.unique(train.labels)) < 2:
        return None
    rows = clips.rows[labelled]
    told = fit_label_probe(train, val if len(val) else None).predict(opened.vectors[rows])
    return ProbePredictions(rows, clips.reference[labelled], told, names, True)


def _own(opened: OpenedRun) -> pd.DataFrame | None:
    """Label, split and vector of the run's own labelled clips; None where they are not there."""
    folder = opened.run.folder
    if not folder.vectors.is_file():
        return None
    table: pd.DataFrame = folder.table(folder.vectors, ["label", "split", "vector"]).to_pandas()
    return table[table["label"] != ""]


def _side(own: pd.DataFrame, split: str, number: dict[str, int]) -> Labelled:
    rows = own[own["split"] == split]
    size = len(own["vector"].iloc[0]) if len(own) else 0
    vectors = np.stack(list(rows["vector"])) if len(rows) else np.zeros((0, size))
    return Labelled(vectors.astype(np.float32), np.array([number[name] for name in rows["label"]], np.int64))


# `nearfield explain`: what a space holds, beyond its scores.
#
# Which clusters it falls into without labels, and whether one of them is silence; whether it fails at
# beginnings and ends; how far apart the labels lie; what it gives away (microphone, session, speaker); and,
# on the evaluation set of DCASE 2018 task 5, where it stands beside what was published.

KNOWN_NODE = "known_node"
"""The column that says whether a clip's microphone stands in the development set, yes or no."""


@dataclass(frozen=True)
class Nuisance:
    """How well a further column can be read out of the space."""

    column: str
    macro_f1: float
    accuracy: float
    chance: float
    """Macro F1 of guessing by the values' shares."""
    interval: tuple[float, float] | None
    """95 % interval of macro F1."""


@dataclass(frozen=True)
class Explanation:
    """What was found in one split of one space."""

    run: str
    data: str
    split: str
    clips: int
    distance: Distance
    clusters: ClusterReport
    silence: SilenceReport | None
    """Of the clusters of the whole space at the elbow; None for pictures."""
    positions: Positions | None
    challenge: ChallengeTable | None
    nuisance: tuple[Nuisance, ...]
    apart: Apart | None
    """None below two labels."""
    confusion: Confusion | None
    """Of the linear probe; None where there was nothing to probe for."""
    class_counts: dict[str, dict[str, int]]
    """Clips of each label, else of each tag, by side of the split."""
    notes: tuple[str, ...]
    probe_curve: ProbeCurve | None = None
    """Of a linear probe by gradient; the solved probe counts."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold; members of clusters left out."""
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
    """Everything that applies to the clips of `opened`; a note says what does not, and why.

    Raises WorkError for vectors that are not finite.
    """
    metadata, rows, notes = opened.setup.metadata, opened.rows, list[str]()
    normalized = opened.run.recipe.embedding.normalize
    distance: Distance = "cosine" if normalized else "euclidean"
    callback(Stage("explain", 0, 3))
    judged = evaluate(
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
    placed = positions(opened, judged.clips.scores, distance)
    if placed is None:
        notes.append(
            "position: not measured. It needs clips cut from the beginning, middle and end of longer "
            "recordings, or two groups with clips of at least three windows."
        )
    reading = read(opened, judged)
    if reading is not None and reading.by_own_clips:
        notes.append("probe: these clips have no train side; the run's own train clips taught the reader.")
    table = _challenge(opened, reading, notes)
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
        nuisance=_nuisance(judged),
        apart=_apart(opened, normalized),
        confusion=None if reading is None else reading.confusion,
        probe_curve=judged.probe_curve,
        class_counts=class_counts(opened),
        notes=(*notes, *(note for note in judged.notes if note.startswith("nuisance"))),
    )


def class_counts(opened: OpenedRun) -> dict[str, dict[str, int]]:
    """Clips of every label by side, the commonest first; of every tag where nothing has a label."""
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
    opened: OpenedRun, reading: ProbePredictions | None, notes: list[str]
) -> ChallengeTable | None:
    table = opened.collection.table
    if KNOWN_NODE not in table:
        return None
    if reading is None:
        notes.append("challenge: the clips have no labels that a probe learnt to read.")
        return None
    words = table[KNOWN_NODE].iloc[reading.rows].astype(str).str.lower()
    known = words.isin(("yes", "true", "1")).to_numpy(np.bool_)
    supervised = bool(opened.run.recipe.relation.gives)
    return challenge_table(
        reading.predicted,
        reading.reference,
        known,
        opened.setup.metadata.groups[reading.rows],
        "supervised" if supervised else "frozen features",
    )


def _nuisance(judged: Result) -> tuple[Nuisance, ...]:
    ending = "/macro_f1"
    names = [name for name in judged.metrics if name.startswith("nuisance/") and name.endswith(ending)]
    return tuple(
        Nuisance(
            column=name.removeprefix("nuisance/").removesuffix(ending),
            macro_f1=judged.metrics[name],
            accuracy=judged.metrics[name.replace(ending, "/accuracy")],
            chance=judged.metrics[name.replace(ending, "/chance")],
            interval=judged.intervals.get(name),
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
