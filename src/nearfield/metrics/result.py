"""The result of an evaluation, its settings, and the data that its steps share."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pydantic import Field

from nearfield.core.settings import Settings
from nearfield.core.types import Bools, ClipMetadata, Distance, Floats, Ints, Vectors
from nearfield.metrics.classification import ClassScore, Confusion
from nearfield.metrics.geometry import Centroids
from nearfield.metrics.intervals import (
    Resamples,
    area_interval,
    jackknife_interval,
    share_interval,
    weighted_mean,
)
from nearfield.metrics.neighbors import Search
from nearfield.metrics.probes import ProbeCurve
from nearfield.metrics.retrieval import Blocks

# The result: a flat dict of metrics; tables, intervals, notes, scores per clip.


@dataclass(frozen=True)
class TagScore:
    """Scores of one tag. Areas are None if all or no scored clips have the tag, or if train lacks it."""

    name: str
    positives: int
    """Number of scored clips with the tag."""
    few: bool
    """Whether there are fewer than 20 positives, so that the scores are unreliable."""
    roc_auc: float | None
    pr_auc: float | None
    roc_auc_interval: tuple[float, float] | None
    pr_auc_interval: tuple[float, float] | None


@dataclass(frozen=True)
class ClipScores:
    """Scores of each clip of the evaluated split, which paired comparisons of runs resample."""

    rows: Ints
    """(n,) rows of the collection."""
    groups: Ints
    """(n,) group of each clip, the unit of resampling; -1 means unknown."""
    reference: Ints
    """(n,) class numbers; -1 means unknown."""
    predicted: Ints
    """(n,) class numbers predicted by the linear probe; -1 without a prediction."""
    scores: dict[str, Floats]
    """Metrics that are means over clips to (n,) scores; NaN for clips without a score."""
    blocks: Ints
    """(n,) jackknife block of each clip: its group, or several groups if there are many clips."""
    without: dict[str, Floats]
    """Metrics that search the clips among themselves to (n,) values of the metric without the clip's block;
    empty without resampling."""


@dataclass(frozen=True)
class ClipTagScores:
    """Scores of each tag of each clip, which comparisons of areas resample."""

    at: Ints
    """(n,) positions of the tagged clips in the evaluated split, as in `ClipScores`."""
    names: tuple[str, ...]
    """Names of the K tags."""
    tags: Bools
    """(n, K) whether the clip has the tag."""
    scores: Floats
    """(n, K) scores; those of a probe or tagger are probabilities."""


@dataclass(frozen=True)
class Result:
    """The result of evaluating one split."""

    split: str
    metrics: dict[str, float]
    """Metrics by name. Undefined metrics are absent; a note gives the reason."""
    intervals: dict[str, tuple[float, float]]
    """95 % confidence intervals by metric, for the finite test set."""
    per_class: tuple[ClassScore, ...]
    per_tag: tuple[TagScore, ...]
    confusion: Confusion | None
    centroids: Centroids | None
    clips: ClipScores
    notes: tuple[str, ...]
    per_tag_of_tagger: tuple[TagScore, ...] = ()
    """The same table for the scores of a tagger, if there is one."""
    tag_scores: dict[str, ClipTagScores] = field(default_factory=dict)
    """Scores of the tag probe (`tagging`) and of the tagger (`tagger`)."""
    probe_curve: ProbeCurve | None = None
    """Training curve of a probe (a diagnostic; reported scores are those of the solved probe)."""

    def prefixed(self, prefix: str) -> dict[str, float]:
        """Returns the metrics under a prefix such as "baseline/mfcc_stats", without baselines of this
        result."""
        own = {name: value for name, value in self.metrics.items() if not name.startswith("baseline/")}
        return {f"{prefix}/{name}": value for name, value in own.items()}

    def plain(self) -> dict[str, Any]:
        """Returns everything except scores per clip, as JSON values."""
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


# Input and shared state of the steps of an evaluation.


class EvaluationSettings(Settings):
    """What an evaluation measures."""

    split: str = "test"
    """The evaluated split."""
    distance: Distance = "cosine"
    """Distance of neighbor search; use `euclidean` for embeddings that are not normalized."""
    balanced: bool = False
    """Whether linear probes weight all classes equally."""
    dense_probe: bool = True
    """Whether a small network is fitted to the labels as well."""
    probe_curve: bool = False
    """Whether a linear probe is trained by gradient as well, for its training curve."""
    draws: int = Field(1000, ge=0)
    """Number of resamples for intervals; 0 for none."""
    near_seconds: float = Field(10.0, gt=0)
    """Largest difference of start times, in seconds, of clips of one recording that are near in time."""
    columns: tuple[str, ...] = ("node", "session", "speaker", "device")
    """Nuisance columns: a probe predicts each one that the collection has."""
    barred: tuple[str, ...] = ("song", "artist")
    """Columns for which retrieval by tags is also scored without clips that share the query's value."""
    seed: int = 0
    """Seed of resamples, pairs and k-means."""


@dataclass(frozen=True)
class EmbeddedClips:
    """Embeddings and metadata of the clips of one split."""

    vectors: Vectors
    """(n, D)"""
    metadata: ClipMetadata
    rows: Ints | None = None
    """(n,) row numbers of the clips, so that no query returns itself from another split; None: unknown."""

    def __len__(self) -> int:
        return len(self.vectors)

    def keep(self, mask: Bools) -> "EmbeddedClips":
        """Returns the clips where `mask` (n,) is set."""
        at = np.flatnonzero(mask)
        return EmbeddedClips(
            self.vectors[at], self.metadata.take(at), None if self.rows is None else self.rows[at]
        )

    @property
    def labelled(self) -> Bools:
        """(n,) whether the label is known."""
        return np.asarray(self.metadata.labels >= 0)

    @property
    def tagged(self) -> Bools:
        """(n,) whether the clip has tags; a clip without tags may not have been tagged."""
        return np.asarray(self.metadata.tags.any(axis=1))

    @property
    def sources(self) -> Ints:
        """(n,) group of each clip, or its recording, with distinct numbers; -1 if both are unknown."""
        return self.metadata.sources

    def search(self, gallery: "EmbeddedClips", distance: Distance, barred: bool) -> Search:
        """Searches `gallery`, excluding the query itself and, if `barred`, clips of its source."""
        own = self._own(gallery)
        if not barred:
            return Search(self.vectors, gallery.vectors, distance, own)
        return Search(self.vectors, gallery.vectors, distance, own, self.sources, gallery.sources)

    def _own(self, gallery: "EmbeddedClips") -> Ints | None:
        """(n,) gallery row of each clip itself, or -1; None if no clip is in the gallery."""
        if gallery is self:
            return np.arange(len(self))
        if self.rows is None or gallery.rows is None:
            return None
        place = {row: at for at, row in enumerate(gallery.rows.tolist())}
        own = np.array([place.get(row, -1) for row in self.rows.tolist()], dtype=np.int64)
        return own if (own >= 0).any() else None

    def search_without(self, column: str, distance: Distance) -> Search:
        """Searches the clips among themselves, excluding clips with the query's value of `column`.

        If the value is unknown, clips of the query's source are excluded instead.
        """
        values, sources = self.metadata.columns[column], self.sources
        # Even numbers for values and odd numbers for sources keep them distinct.
        otherwise = np.where(sources >= 0, 2 * sources + 1, -1)
        return Search.within(self.vectors, distance, np.where(values >= 0, 2 * values, otherwise))


@dataclass(frozen=True)
class Case:
    """The input of an evaluation."""

    here: EmbeddedClips
    """The evaluated split."""
    train: EmbeddedClips
    val: EmbeddedClips | None
    """Clips for model selection; None without val, or if val is the evaluated split."""
    settings: EvaluationSettings


@dataclass
class Findings:
    """Results accumulated during an evaluation."""

    size: int
    """Number of clips of the split."""
    resamples: Resamples | None
    """None if no intervals are wanted, or for fewer than two groups."""
    blocks: Blocks | None = None
    """Jackknife blocks of all clips of the split; None without resampling."""
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    scores: dict[str, Floats] = field(default_factory=dict)
    without: dict[str, Floats] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    per_class: tuple[ClassScore, ...] = ()
    per_tag: tuple[TagScore, ...] = ()
    per_tag_of_tagger: tuple[TagScore, ...] = ()
    tag_scores: dict[str, ClipTagScores] = field(default_factory=dict)
    confusion: Confusion | None = None
    probe_curve: ProbeCurve | None = None
    centroids: Centroids | None = None
    predicted: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def note(self, text: str) -> None:
        """Adds a note to the result."""
        self.notes.append(text)

    def means(self, prefix: str, scores: dict[str, Floats], at: Ints) -> None:
        """Adds metrics that are means of `scores` over the clips at positions `at`, without NaN."""
        for name, values in scores.items():
            if np.isfinite(values).any():
                whole = np.full(self.size, np.nan)
                whole[at] = values
                self.scores[f"{prefix}/{name}"] = whole
                self.metrics[f"{prefix}/{name}"] = float(np.nanmean(values))

    def within(
        self,
        prefix: str,
        scores: dict[str, Floats],
        at: Ints,
        without: Callable[[Blocks], dict[str, Floats]],
    ) -> None:
        """Adds means like `means`, with jackknife intervals, for a search of clips among themselves.

        `without` maps the blocks of these clips to the metrics without each block.
        """
        self.means(prefix, scores, at)
        if self.blocks is None:
            return
        own = self.blocks.take(at)
        there = np.isin(np.arange(own.count), own.of)
        for name, values in without(own).items():
            figure = self.metrics.get(f"{prefix}/{name}")
            if figure is not None:
                # A block without which the metric is undefined contributes no deviation.
                kept = self.without[f"{prefix}/{name}"] = np.where(np.isfinite(values), values, figure)
                scored = len(np.unique(own.of[np.isfinite(scores[name])]))
                self._keep(f"{prefix}/{name}", jackknife_interval(figure, kept[there], scored))

    def add(self, other: "Findings") -> None:
        """Adds the metrics of other findings on the same clips, with their intervals, scores and notes."""
        self.metrics |= {name: float(value) for name, value in other.metrics.items()}
        self.intervals |= other.intervals
        self.scores |= other.scores
        self.without |= other.without
        self.notes += other.notes

    def averages(self, prefix: str, scores: dict[str, Floats]) -> None:
        """Adds means of `scores` without intervals and without scores per clip, for baselines."""
        for name, values in scores.items():
            if np.isfinite(values).any():
                self.metrics[f"{prefix}/{name}"] = float(np.nanmean(values))

    def drawn(self, name: str, values: Floats, at: Ints) -> None:
        """Adds the interval of a metric that is not a mean over clips, from its resamples (draws,).

        `at` are the positions of the clips that it is computed on; only their groups count.
        """
        if self.resamples is not None:
            self._keep(name, share_interval(self.metrics[name], values, self.resamples.groups_with(at)))

    def area(self, name: str, without: Floats, groups: int) -> None:
        """Adds the interval of a mean of areas from its values (B,) without each block; see
        `area_interval`."""
        self._keep(name, area_interval(self.metrics[name], without, groups))

    def resample_means(self, range_of: Callable[[str], tuple[float, float]]) -> None:
        """Adds the intervals of all other metrics that are means over clips, in one pass over resamples.

        `range_of` gives the smallest and the largest value of a metric.
        """
        left = {name: scores for name, scores in self.scores.items() if name not in self.without}
        if self.resamples is None or not left:
            return
        # (clips, metrics): one product per block of resamples computes all metrics.
        values = self.resamples.apply(weighted_mean(np.stack(list(left.values()), axis=1)))
        for column, (name, scores) in enumerate(left.items()):
            groups = self.resamples.groups_with(np.isfinite(scores))
            self._keep(
                name, share_interval(self.metrics[name], values[:, column], groups, within=range_of(name))
            )

    def _keep(self, name: str, ends: tuple[float, float] | None) -> None:
        if ends is not None:
            self.intervals[name] = ends
