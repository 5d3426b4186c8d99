"""The result of an evaluation, and what its parts read and write."""

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

# What an evaluation found: one flat dict of metrics, and tables, intervals, notes, scores per clip.


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


# What the parts of an evaluation are given, and where they put what they find.


class EvaluationSettings(Settings):
    """What is measured, and how."""

    split: str = "test"
    """The split that is scored."""
    distance: Distance = "cosine"
    """By which distance neighbours are near; for vectors that are not normalized, `euclidean`."""
    balanced: bool = False
    """Whether the linear probes weigh rare classes like common ones."""
    dense_probe: bool = True
    """Whether a small network reads the labels too."""
    probe_curve: bool = False
    """Whether a linear probe is trained by gradient as well, for its curves."""
    draws: int = Field(1000, ge=0)
    """Resamples of the groups of the split, for intervals; 0 for none."""
    near_seconds: float = Field(10.0, gt=0)
    """Clips of one recording that begin at most so many seconds apart are near in time."""
    columns: tuple[str, ...] = ("node", "session", "speaker", "device")
    """Further columns that the space should not give away: a probe tries to read each that is there."""
    barred: tuple[str, ...] = ("song", "artist")
    """Further columns: for each that is there, retrieval by tags is scored without the query's own value."""
    seed: int = 0
    """Of everything drawn: resamples, pairs, starts of k-means."""


@dataclass(frozen=True)
class Side:
    """Some clips: their vectors and what is known of them."""

    vectors: Vectors
    """(n, D)"""
    metadata: ClipMetadata
    rows: Ints | None = None
    """(n,) which of all clips these are, so that none finds itself on another side; none: not known."""

    def __len__(self) -> int:
        return len(self.vectors)

    def keep(self, mask: Bools) -> "Side":
        """The clips where `mask` (n,) is set."""
        at = np.flatnonzero(mask)
        return Side(self.vectors[at], self.metadata.take(at), None if self.rows is None else self.rows[at])

    @property
    def labelled(self) -> Bools:
        """(n,) where the label is known."""
        return np.asarray(self.metadata.labels >= 0)

    @property
    def tagged(self) -> Bools:
        """(n,) where there is a tag: a clip without any is not known to lack them."""
        return np.asarray(self.metadata.tags.any(axis=1))

    @property
    def sources(self) -> Ints:
        """(n,) the group of each clip, else its recording, numbered apart; -1 where neither is known."""
        return self.metadata.sources

    def search(self, gallery: "Side", distance: Distance, barred: bool) -> Search:
        """They look among `gallery`, never finding themselves; `barred` leaves out their own sources."""
        own = self._own(gallery)
        if not barred:
            return Search(self.vectors, gallery.vectors, distance, own)
        return Search(self.vectors, gallery.vectors, distance, own, self.sources, gallery.sources)

    def _own(self, gallery: "Side") -> Ints | None:
        """(n,) where in `gallery` each clip itself stands, -1 where it does not; None where none does."""
        if gallery is self:
            return np.arange(len(self))
        if self.rows is None or gallery.rows is None:
            return None
        place = {row: at for at, row in enumerate(gallery.rows.tolist())}
        own = np.array([place.get(row, -1) for row in self.rows.tolist()], dtype=np.int64)
        return own if (own >= 0).any() else None

    def search_without(self, column: str, distance: Distance) -> Search:
        """They look among themselves, never finding one that shares their value of a further column.

        Where the value is not known, the clip's own source is barred instead.
        """
        values, sources = self.metadata.columns[column], self.sources
        # Values take the even numbers and sources the odd, so that neither is taken for the other.
        otherwise = np.where(sources >= 0, 2 * sources + 1, -1)
        return Search.within(self.vectors, distance, np.where(values >= 0, 2 * values, otherwise))


@dataclass(frozen=True)
class Case:
    """What an evaluation is of."""

    here: Side
    """The split that is scored."""
    train: Side
    val: Side | None
    """What choices are made on; None where there is none, or where it is the split that is scored."""
    settings: EvaluationSettings


@dataclass
class Findings:
    """Grows while the parts of an evaluation run."""

    size: int
    """Clips of the split."""
    resamples: Resamples | None
    """None where no intervals are wanted, or where fewer than two groups could be drawn."""
    blocks: Blocks | None = None
    """What is left out together, of all clips of the split; None where nothing is resampled."""
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
        """A sentence for the reader."""
        self.notes.append(text)

    def means(self, prefix: str, scores: dict[str, Floats], at: Ints) -> None:
        """Metrics that are means of `scores` over the clips at the positions `at`; NaN is left out."""
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
        """The same for a search of the clips at `at` among themselves: `without` gives the measures without
        each of their blocks."""
        self.means(prefix, scores, at)
        if self.blocks is None:
            return
        own = self.blocks.take(at)
        there = np.isin(np.arange(own.count), own.of)
        for name, values in without(own).items():
            figure = self.metrics.get(f"{prefix}/{name}")
            if figure is not None:
                # A measure that is gone with a block shows nothing of how far it may be off.
                kept = self.without[f"{prefix}/{name}"] = np.where(np.isfinite(values), values, figure)
                scored = len(np.unique(own.of[np.isfinite(scores[name])]))
                self._keep(f"{prefix}/{name}", jackknife_interval(figure, kept[there], scored))

    def averages(self, prefix: str, scores: dict[str, Floats]) -> None:
        """The same without intervals and without scores per clip: for rows of chance."""
        for name, values in scores.items():
            if np.isfinite(values).any():
                self.metrics[f"{prefix}/{name}"] = float(np.nanmean(values))

    def drawn(self, name: str, values: Floats, at: Ints) -> None:
        """The interval of a share that is no mean over clips: its `values` (draws,) under resampling.

        `at` are the positions of the clips that it is of: groups without any tell nothing.
        """
        if self.resamples is not None:
            self._keep(name, share_interval(self.metrics[name], values, self.resamples.groups_with(at)))

    def area(self, name: str, without: Floats, groups: int) -> None:
        """The interval of a mean of areas under curves: its values (B,) without each block of clips, `groups`
        of which can tell."""
        self._keep(name, area_interval(self.metrics[name], without, groups))

    def resample_means(self) -> None:
        """Intervals of all other metrics that are means over clips, in one pass over the draws."""
        left = {name: scores for name, scores in self.scores.items() if name not in self.without}
        if self.resamples is None or not left:
            return
        # Clips, then metrics: one product a block of draws serves them all.
        values = self.resamples.apply(weighted_mean(np.stack(list(left.values()), axis=1)))
        for column, (name, scores) in enumerate(left.items()):
            groups = self.resamples.groups_with(np.isfinite(scores))
            self._keep(name, share_interval(self.metrics[name], values[:, column], groups))

    def _keep(self, name: str, ends: tuple[float, float] | None) -> None:
        if ends is not None:
            self.intervals[name] = ends
