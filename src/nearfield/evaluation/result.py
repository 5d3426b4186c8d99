"""What an evaluation found: one flat dict of metrics, and tables, intervals, notes, scores per clip."""

from dataclasses import asdict, dataclass, field
from typing import Any

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.classification import ClassScore, Confusion
from nearfield.evaluation.geometry import Centroids
from nearfield.evaluation.probe_curve import ProbeCurve

BASELINE_NAMES = {
    "chance": "chance",
    "hub": "most-tagged hub",
    "same_recording": "same recording first",
    "mfcc_stats": "MFCC statistics",
    "logmel_stats": "log-mel statistics",
    "pixels": "pixels",
    "random_encoder": "untrained encoder",
}
"""What stands beside a space under `baseline/NAME/`, as it is called, in the order of tables."""


MEASURE_NAMES = {
    "probe/macro_f1": "probe F1",
    "probe/accuracy": "probe accuracy",
    "retrieval_from_train/recall_at_1": "R@1 from train",
    "retrieval_from_train/map_at_r": "MAP@R from train",
    "retrieval/recall_at_1": "R@1 in split",
    "tagging/roc_auc": "ROC-AUC",
    "tagging/pr_auc": "PR-AUC",
    "retrieval/multilabel_recall_at_1": "tag R@1",
    "retrieval/multilabel_recall_at_2": "tag R@2",
    "clusters/nmi": "NMI",
}
"""The measures that tables show, as they are called there."""


def searches_within(metric: str) -> bool:
    """Whether a metric over clips searches the judged clips among themselves: each is in the gallery too."""
    family = metric.partition("/")[0]
    return family == "time" or (family.startswith("retrieval") and family != "retrieval_from_train")


@dataclass(frozen=True)
class TagScore:
    """How one tag fared; areas are None where all clips scored have it, or none has, or train lacks it."""

    name: str
    positives: int
    """Clips with the tag among those scored."""
    few: bool
    """Fewer than 20 positives: the tag's own figures say little."""
    roc_auc: float | None
    pr_auc: float | None
    roc_auc_interval: tuple[float, float] | None
    pr_auc_interval: tuple[float, float] | None


@dataclass(frozen=True)
class ClipScores:
    """Every clip of the evaluated split on its own: what paired comparisons of runs resample."""

    rows: Ints
    """(n,) rows of the collection."""
    groups: Ints
    """(n,) the unit that is resampled, the same number for clips of one group; -1 not known."""
    reference: Ints
    """(n,) class numbers, -1 not known."""
    predicted: Ints
    """(n,) class numbers that the linear probe gave, -1 where it did not run."""
    scores: dict[str, Floats]
    """Metrics that are means over clips: (n,) each, NaN where a clip has no score."""
    blocks: Ints
    """(n,) what is left out together below: the group, or several where there are many clips."""
    without: dict[str, Floats]
    """Of those metrics that search the clips among themselves, (n,) the metric without each clip's block, as
    query and in the gallery; empty where nothing was resampled."""


@dataclass(frozen=True)
class ClipTagScores:
    """What was said of every tag of every clip: what comparisons of areas resample, tag by tag."""

    at: Ints
    """(n,) positions in the evaluated split, as in `ClipScores`, of the clips that have tags."""
    names: tuple[str, ...]
    """K tags."""
    tags: Bools
    """(n, K) whether the clip has the tag."""
    scores: Floats
    """(n, K) larger means rather has it; a probe's or a tagger's are probabilities."""


@dataclass(frozen=True)
class Result:
    """One evaluation of one split."""

    split: str
    metrics: dict[str, float]
    """Flat; a metric that is not defined here is absent, and a note says why."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals for the finite test set, of metrics that have one."""
    per_class: tuple[ClassScore, ...]
    per_tag: tuple[TagScore, ...]
    confusion: Confusion | None
    centroids: Centroids | None
    clips: ClipScores
    notes: tuple[str, ...]
    per_tag_of_tagger: tuple[TagScore, ...] = ()
    """The same table for a tagger's own scores, where there is a tagger."""
    tag_scores: dict[str, ClipTagScores] = field(default_factory=dict)
    """By who said it: `tagging` the tag probe, `tagger` the tagger."""
    probe_curve: ProbeCurve | None = None
    """Of a probe by gradient; the solved probe counts."""

    def prefixed(self, prefix: str) -> dict[str, float]:
        """The metrics renamed, under "baseline/mfcc_stats" say, without this result's own baseline rows."""
        own = {name: value for name, value in self.metrics.items() if not name.startswith("baseline/")}
        return {f"{prefix}/{name}": value for name, value in own.items()}

    def plain(self) -> dict[str, Any]:
        """All but the scores per clip and tag, as values that JSON can hold."""
        confusion, centroids = self.confusion, self.centroids
        return {
            "split": self.split,
            "metrics": self.metrics,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "per_class": [asdict(row) for row in self.per_class],
            "per_tag": [asdict(row) for row in self.per_tag],
            "per_tag_of_tagger": [asdict(row) for row in self.per_tag_of_tagger],
            "confusion": confusion and {"names": list(confusion.names), "counts": confusion.counts.tolist()},
            "centroids": centroids
            and {"names": list(centroids.names), "distances": centroids.distances.tolist()},
            "probe_curve": self.probe_curve and asdict(self.probe_curve),
            "notes": list(self.notes),
        }
