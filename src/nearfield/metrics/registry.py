"""Registry of metrics: name, range, direction, requirements, use as a study's `judge`, description.

A name has the form FAMILY/METRIC, for example `retrieval_from_train/recall_at_{k}`; words in braces are
parameters (`PARAMETERS`). Tables, studies, warnings and the reference use the rows below. A new metric needs
the function that computes it and a row here.

`baseline/{space}/...` are the same metrics of baselines without training (`BASELINES`).

Other packages add families of metrics, each with its rows and the function that measures them, by entry
points of the group `nearfield.metrics` (`MetricPlugin`).
"""

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any, Literal

from nearfield.core.plugins import Plugin, PluginWarning, plugins
from nearfield.metrics.result import Case, EvaluationSettings, Findings
from nearfield.metrics.retrieval import CUTOFFS

Direction = Literal["higher", "lower", "neither"]
Need = Literal["labels", "tags", "recordings", "time", "columns", "train", "val", "tagger", "training"]

NEEDS: dict[Need, str] = {
    "labels": "labels",
    "tags": "tags",
    "recordings": "several clips of one recording",
    "time": "clips at different times of one recording",
    "columns": "the column of its name",
    "train": "a train split",
    "val": "a val split",
    "tagger": "a run with a tagger",
    "training": "a run on its own data",
}
"""What a metric requires, in words."""


@dataclass(frozen=True)
class MetricFamily:
    """Metrics that are measured in one way; the prefix is the part of a name before its last slash."""

    prefix: str
    about: str
    needs: tuple[Need, ...] = ()
    words: str | None = None
    """Text after the name of a metric in a sentence, as "of the probe"; None: derived from the prefix."""
    refused: str = ""
    """Why a study must not use its metrics as `judge`; empty if it may."""
    is_curve: bool = False
    """Whether it is logged during training (`metrics.jsonl`) rather than by an evaluation."""
    searches_within: bool = False
    """Whether clips are searched among themselves, so that each is a query and in the gallery."""


@dataclass(frozen=True)
class Metric:
    """One metric, in each of its families."""

    name: str
    families: tuple[str, ...]
    direction: Direction = "higher"
    """Which values are better."""
    range: tuple[float, float] = (0.0, 1.0)
    """Smallest and largest value; infinite if unbounded."""
    needs: tuple[Need, ...] = ()
    """Requirements in addition to those of its family."""
    words: str = ""
    """Its name in a sentence; empty: the name with spaces."""
    refused: str = ""
    """Why a study must not use it as `judge`, if its family is allowed."""
    about: str = field(kw_only=True)


@dataclass(frozen=True)
class MetricRow:
    """A metric of one family."""

    family: MetricFamily
    metric: Metric

    @property
    def pattern(self) -> str:
        """The name, with parameters in braces."""
        return f"{self.family.prefix}/{self.metric.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """All names that match the pattern; the pattern itself if a parameter has no fixed values."""
        used = re.findall(r"\{(\w+)\}", self.pattern)
        if any(not PARAMETERS[name] for name in used):
            return (self.pattern,)
        values = product(*(PARAMETERS[name] for name in used))
        return tuple(self.pattern.format(**dict(zip(used, each, strict=True))) for each in values)

    @property
    def needs(self) -> tuple[Need, ...]:
        """Requirements of the family, then those of the metric."""
        return (*self.family.needs, *self.own_needs)

    @property
    def own_needs(self) -> tuple[Need, ...]:
        """Requirements of the metric that are not those of its family."""
        return tuple(each for each in self.metric.needs if each not in self.family.needs)

    @property
    def is_headline(self) -> bool:
        """Whether one of its names is in `HEADLINES`."""
        return any(name in HEADLINES for name in self.names)

    @property
    def refused(self) -> str:
        """Why a study must not use it as `judge`; empty if it may."""
        return self.family.refused or self.metric.refused


_SIZES = (0.0, math.inf)
_ANY = (-math.inf, math.inf)
_COUNT = "it counts what was scored, and does not score it"
_SETTING = "it describes the probe, not the space"

PARAMETERS: dict[str, tuple[str, ...]] = {
    "k": tuple(map(str, CUTOFFS)),
    "column": EvaluationSettings().columns,
    "other": EvaluationSettings().barred,
    "split": ("train", "val", "test"),
    "state": ("mined", "unmined"),
    "shared": ("label", "group", "recording", "synchronous", *EvaluationSettings().columns),
    "pair": (),
}
"""Values of each parameter; empty if they depend on the data."""

FAMILIES = (
    MetricFamily(
        "probe",
        "A linear classifier, trained on the embeddings of train; val chooses its regularization.",
        ("labels", "train"),
        "of the probe",
    ),
    MetricFamily(
        "knn",
        "Majority vote of the nearest train clips.",
        ("labels", "train"),
        "of nearest neighbours",
    ),
    MetricFamily(
        "dense_probe",
        "A network with two hidden layers of 256, trained on the embeddings of train.",
        ("labels", "train"),
        "of the dense probe",
    ),
    MetricFamily(
        "retrieval_from_train",
        "Each clip of the split is a query; the gallery is train, without clips of the query's group.",
        ("train",),
        "from train",
    ),
    MetricFamily(
        "retrieval",
        "Each clip of the split is a query; the gallery is the split, without clips of the query's group.",
        (),
        "within test",
        searches_within=True,
    ),
    MetricFamily(
        "retrieval_with_group",
        "Like `retrieval`, but the gallery includes clips of the query's group.",
        (),
        "with the query's recording",
        refused="it finds clips of the query's own recording, and is for the record only",
        searches_within=True,
    ),
    MetricFamily(
        "retrieval_without_{other}",
        "Like `retrieval`, without clips that have the query's value of a further column.",
        ("tags", "columns"),
        searches_within=True,
    ),
    MetricFamily(
        "tagging",
        "A linear classifier for each tag, trained on the embeddings of train; means over tags.",
        ("tags", "train"),
        "of the probe of tags",
    ),
    MetricFamily(
        "tagger", "The scores of the run's own tagger; means over tags.", ("tags", "tagger"), "of the tagger"
    ),
    MetricFamily(
        "clusters", "k-means with as many clusters as there are labels.", ("labels",), "of clusters"
    ),
    MetricFamily(
        "time",
        "Metrics from the times of clips in their recordings; they need no labels.",
        ("time",),
        "in time",
        searches_within=True,
    ),
    MetricFamily(
        "geometry",
        "Geometry of the embedding space.",
        (),
        "",
        refused="it describes a space, but does not measure its quality",
    ),
    MetricFamily(
        "nuisance/{column}",
        "A linear classifier predicts a further column, such as the microphone, from the embeddings.",
        ("columns", "train"),
        refused="it measures what else a space encodes, not its quality",
    ),
    MetricFamily(
        "loss",
        "The run's loss on fixed batches of a split, without augmentation.",
        ("training",),
        refused="losses of different settings have different scales",
    ),
    MetricFamily(
        "opposites",
        "Fraction of the negative pairs of training whose clips share a property (false negatives).",
        ("training",),
        refused="it describes the pairs of training, not the quality of the space",
    ),
    MetricFamily(
        "baseline/{space}",
        "The same metrics of a baseline without training, on the same clips.",
        (),
        refused="a baseline is the same for every arm",
    ),
    MetricFamily(
        "val",
        "Measured on val during training (`train.validate_every`).",
        ("val",),
        "on validation clips",
        refused="val is used for choices within a run, so its scores are biased upwards",
        is_curve=True,
    ),
    MetricFamily(
        "train",
        "Logged at each update.",
        (),
        "in training",
        refused="metrics on training data reward overfitting, and losses of different settings have "
        "different scales",
        is_curve=True,
    ),
)

_PROBES = ("probe", "knn", "dense_probe")
_GALLERIES = ("retrieval_from_train", "retrieval", "retrieval_with_group")
_LABELS: tuple[Need, ...] = ("labels",)
_TAGS: tuple[Need, ...] = ("tags",)

METRICS = (
    # The probes of labels.
    Metric("macro_f1", _PROBES, words="macro F1",
           about="Mean over classes of F1 = 2 tp / (2 tp + fp + fn); all classes have equal weight."),
    Metric("accuracy", _PROBES,
           about="Fraction of clips with the correct label."),
    Metric("weighted_f1", _PROBES, words="weighted F1",
           about="Mean over classes of F1, weighted by their number of clips in the split."),
    Metric("log_loss_skill", ("probe",), range=(-math.inf, 1.0), words="log-loss skill",
           about="1 - L / L0: L is the log-loss of the probe's probabilities, L0 that of guessing with the "
           "frequencies of the classes in train. 0 is guessing, 1 is sure and right. With C classes, a "
           "probability below 0.01 / C counts as that, so that one clip cannot decide the mean. The "
           "regularization is chosen on val by log-loss, not by macro F1 as for predictions."),
    Metric("brier_skill", ("probe",), range=(-math.inf, 1.0), words="Brier skill",
           about="The same with the Brier score, the squared error of the probabilities, summed over classes "
           "(Brier 1950; Murphy 1973)."),
    # Retrieval by labels and by tags.
    Metric("recall_at_{k}", _GALLERIES, needs=_LABELS,
           about="Fraction of queries with a clip of their label among their k nearest."),
    Metric("r_precision", _GALLERIES, needs=_LABELS, words="R-precision",
           about="Fraction of the R nearest clips with the query's label, where R gallery clips have it."),
    Metric("map_at_r", _GALLERIES, needs=_LABELS, words="MAP@R",
           about="Sum of the precision at the ranks 1 to R with a clip of the query's label, divided by R "
           "(Musgrave et al. 2020)."),
    Metric("margin", ("retrieval_from_train",), range=(-1.0, 1.0), needs=_LABELS,
           about="Mean of (b - a) / max(a, b): a is the distance to the nearest clip of the query's label, b "
           "to the nearest of another label. It is above 0 for a query whose nearest clip has its label."),
    Metric("silhouette", ("retrieval_from_train",), range=(-1.0, 1.0), needs=_LABELS,
           about="The same with mean distances: to the clips of the query's label, and to those of the label "
           "that is nearest by it (Rousseeuw 1987)."),
    Metric("multilabel_recall_at_{k}", (*_GALLERIES, "retrieval_without_{other}"), needs=_TAGS,
           about="Fraction of the query's tags that at least one of its k nearest clips has."),
    Metric("tag_overlap_at_{k}", (*_GALLERIES, "retrieval_without_{other}"), needs=_TAGS,
           about="Mean Jaccard index of the query's tags and those of each of its k nearest clips."),
    Metric("tag_map", _GALLERIES, needs=_TAGS, words="tag MAP",
           about="Mean average precision; a clip is relevant if it shares a tag with the query."),
    Metric("tag_ndcg", _GALLERIES, needs=_TAGS, words="tag nDCG",
           about="Normalized discounted cumulative gain; the gain of a clip is the Jaccard index of its tags "
           "and the query's tags."),
    # Tags.
    Metric("roc_auc", ("tagging", "tagger"), words="ROC-AUC",
           about="Probability that a clip with the tag scores above one without it; mean over tags."),
    Metric("pr_auc", ("tagging", "tagger"), words="PR-AUC",
           about="Average precision of a tag; mean over tags."),
    # Clusters.
    Metric("nmi", ("clusters",), words="NMI",
           about="Normalized mutual information of clusters and labels; it increases with their number."),
    Metric("ami", ("clusters",), range=(-1.0, 1.0), words="AMI",
           about="Mutual information adjusted for chance (Vinh et al. 2010); about 0 for random labels."),
    Metric("silhouette", ("clusters",), range=(-1.0, 1.0),
           about="Mean of (b - a) / max(a, b) for the labels (Rousseeuw 1987)."),
    # Time.
    Metric("triplet_accuracy", ("time",),
           about="Fraction of triplets (clip, one near in time, one of another recording) whose clip near "
           "in time is nearer; 0.5 by chance."),
    Metric("same_recording_at_1", ("time",),
           about="Fraction of clips whose nearest other clip is from the same recording."),
    Metric("near_in_time_at_1", ("time",),
           about="Fraction of clips whose nearest other clip is from the same recording, at most 10 s away."),
    Metric("same_recording_share", ("retrieval",), "neither", needs=("recordings",),
           refused="only labels or tags can tell whether clips of one recording should be nearest",
           about="Fraction of clips whose nearest other clip, including the group, is from their recording."),
    # Counts.
    Metric("queries", _GALLERIES, "neither", _SIZES, _LABELS, refused=_COUNT,
           about="Number of queries with another clip of their label in the gallery."),
    Metric("queries_left_out", _GALLERIES, "neither", _SIZES, _LABELS, refused=_COUNT,
           about="Number of labeled queries without another clip of their label in the gallery."),
    Metric("tag_queries", _GALLERIES, "neither", _SIZES, _TAGS, refused=_COUNT,
           about="Number of tagged queries that may return a clip."),
    Metric("unseen_clips", ("probe",), "lower", _SIZES, refused=_COUNT,
           about="Number of clips with classes absent from train; they count as wrong."),
    Metric("tags", ("tagging", "tagger"), "neither", _SIZES, refused=_COUNT,
           about="Number of tags that are scored."),
    Metric("tags_left_out", ("tagging",), "neither", _SIZES, refused=_COUNT,
           about="Number of tags that all clips or none have, in the split or in train."),
    Metric("clips", ("clusters",), "neither", _SIZES, refused=_COUNT,
           about="Number of clips that the clusters are measured on."),
    Metric("converged", ("probe", "tagging"), refused=_SETTING,
           about="1 if the optimizer of the probe converged, else 0."),
    Metric("strength", ("probe", "tagging"), "neither", _SIZES, refused=_SETTING,
           about="C, the inverse regularization strength of the probe, chosen on val."),
    # Geometry.
    Metric("centroid_spread", ("geometry",), "neither", _SIZES, _LABELS,
           about="Standard deviation over mean of the distances between centroids of labels."),
    Metric("centroid_min", ("geometry",), "neither", _SIZES, _LABELS,
           about="Smallest distance between the centroids of two labels."),
    Metric("centroid_max", ("geometry",), "neither", _SIZES, _LABELS,
           about="Largest distance between the centroids of two labels."),
    Metric("alike_distance", ("geometry",), "lower", _SIZES,
           about="Mean distance of pairs with the same label; without labels, of the same recording."),
    Metric("unlike_distance", ("geometry",), "higher", _SIZES,
           about="Mean distance of pairs with different labels; without labels, of different recordings."),
    Metric("overlap", ("geometry",), "lower",
           about="Common area of the histograms of these distances: 0 if disjoint, 1 if equal."),
    Metric("effective_rank", ("geometry",), "neither", _SIZES,
           about="Number of directions that the embeddings use: exp of the entropy of their singular values "
           "(Roy and Vetterli 2007)."),
    Metric("hubness", ("geometry",), "lower", _ANY,
           about="Skewness of how often a clip is among the 10 nearest of others (Radovanovic et al. "
           "2010); above 1, a few clips are neighbors of most others."),
    Metric("mean_norm", ("geometry",), "neither", _SIZES,
           about="Mean Euclidean norm of the embeddings."),
    Metric("neighbour_distance", ("geometry",), "lower", _SIZES, ("time",),
           about="Mean distance to a clip near in time, in the triplets of `time/triplet_accuracy`."),
    Metric("opposite_distance", ("geometry",), "higher", _SIZES, ("time",),
           about="Mean distance to a clip of another recording, in the same triplets."),
    Metric("neighbour_overlap", ("geometry",), "lower", needs=("time",),
           about="Common area of the histograms of these two distances."),
    # Nuisance factors.
    Metric("macro_f1", ("nuisance/{column}",), "lower", words="macro F1",
           about="Macro F1 of the classifier; above `chance` means that the embeddings encode the column."),
    Metric("accuracy", ("nuisance/{column}",), "lower",
           about="Fraction of clips with the correct value."),
    Metric("chance", ("nuisance/{column}",), "neither",
           about="Macro F1 of guessing by the frequencies of the values."),
    # Training of the run.
    Metric("{split}_{state}", ("loss",), "lower", _ANY,
           about="Mean loss of the pairs that the miner keeps (`mined`) or of all pairs (`unmined`)."),
    Metric("{shared}", ("opposites",), "lower",
           about="Fraction with the same label, group, recording or column, or that start within a second "
           "(`synchronous`)."),
    # Validation curves.
    Metric("score", ("val",), range=_ANY,
           about="The value used by `train.keep` and by plateau schedules: one of the next four; the loss "
           "with negative sign."),
    Metric("recall_at_1", ("val",), needs=_LABELS,
           about="Fraction of val clips whose nearest train clip (cosine) has their label."),
    Metric("tag_overlap_at_1", ("val",), needs=_TAGS,
           about="Mean Jaccard index of the tags of a val clip and those of its nearest train clip."),
    Metric("triplet_accuracy", ("val",),
           about="Fraction of triplets of fixed val batches whose positive is nearer than the negative; "
           "0.5 by chance."),
    Metric("loss", ("val",), "lower", _ANY,
           about="Mean loss of fixed val batches, with the miner."),
    Metric("squared_distance_alike", ("val",), "lower", _SIZES,
           about="Mean squared distance of the positive pairs of these batches."),
    Metric("squared_distance_unlike", ("val",), "higher", _SIZES,
           about="Mean squared distance of the negative pairs of these batches."),
    Metric("silhouette", ("val",), range=(-1.0, 1.0), needs=_LABELS,
           about="Silhouette of the val clips for their labels."),
    Metric("centroids/{pair}", ("val",), "neither", _SIZES, _LABELS,
           about="Distance between the centroids of two labels, for at most 12 labels."),
    # Training curves.
    Metric("loss", ("train",), "lower", _ANY,
           about="Loss of the batch, including the penalty on weights."),
    Metric("loss_pairs", ("train",), "lower", _ANY,
           about="Loss of the batch without the penalty on weights."),
    Metric("loss_penalty", ("train",), "lower", _SIZES,
           about="The penalty on weights."),
    Metric("active_fraction", ("train",), "lower",
           about="Fraction of the triplets, pairs, anchors or tags of the batch with a nonzero gradient."),
    Metric("alike_distance", ("train",), "lower", _SIZES,
           about="Mean distance of the positive pairs of the batch."),
    Metric("unlike_distance", ("train",), "higher", _SIZES,
           about="Mean distance of the negative pairs of the batch."),
    Metric("alike_loss", ("train",), "lower", _SIZES,
           about="Contribution of the positive pairs to the loss."),
    Metric("unlike_loss", ("train",), "lower", _SIZES,
           about="Contribution of the negative pairs to the loss."),
    Metric("triplets", ("train",), "neither", _SIZES,
           about="Number of triplets of the batch."),
    Metric("easy_fraction", ("train",),
           about="Fraction of triplets with a loss of 0."),
    Metric("semihard_fraction", ("train",), "neither",
           about="Fraction of triplets with a nonzero loss whose positive is nearer than the negative."),
    Metric("hard_fraction", ("train",), "lower",
           about="Fraction of triplets whose negative is nearer than the positive."),
    Metric("positive_probability", ("train",),
           about="Mean probability of the tags that clips have."),
    Metric("negative_probability", ("train",), "lower",
           about="Mean probability of the tags that clips do not have."),
    Metric("gradient_norm", ("train",), "neither", _SIZES,
           about="Norm of the gradient of all weights before clipping."),
    Metric("vector_norm", ("train",), "neither", _SIZES,
           about="Mean norm of the embeddings of the batch."),
    Metric("spread", ("train",), "neither", _SIZES,
           about="Root mean squared distance of two embeddings over their root mean squared norm: 0 for a "
           "collapsed space, about 1.41 for uniform directions."),
    Metric("effective_rank", ("train",), "neither", _SIZES,
           about="Effective rank of the centered embeddings of the batch; every 25 updates."),
    Metric("learning_rate", ("train",), "neither", _SIZES,
           about="Learning rate of the first group of weights."),
    Metric("examples_per_second", ("train",), "higher", _SIZES,
           about="Clips of the batch per second of the update."),
)  # fmt: skip


@dataclass(frozen=True)
class Baseline:
    """A baseline without training, scored on the same clips under `baseline/NAME/`."""

    name: str
    about: str
    words: str = ""
    """Its name in tables; empty if tables leave it out."""


BASELINES = (
    Baseline("chance", "Random guessing: a closed form, or the mean for shuffled labels.", "chance"),
    Baseline("hub", "The same list for each query: the clips with most tags.", "most-tagged hub"),
    Baseline("same_recording", "The clips of the query's recording first, then a random ranking.",
             "same recording first"),
    Baseline("mfcc_stats", "Mean and deviation over time of 20 MFCC, standardized.", "MFCC statistics"),
    Baseline("logmel_stats", "Mean and deviation over time of 64 log-mel bands, standardized.",
             "log-mel statistics"),
    Baseline("pixels", "The image at 24 by 24, standardized.", "pixels"),
    Baseline("random_encoder", "The same network with untrained weights.", "untrained encoder"),
    Baseline("majority", "Predicts the most frequent label of train for every clip."),
)  # fmt: skip

BASELINE_NAMES = {each.name: each.words for each in BASELINES if each.words}
"""Baselines to their names in tables, in table order."""

TABLE_HEADS = {
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
"""Metrics to their column heads in tables, in table order."""

HEADLINES = (
    "probe/macro_f1",
    "probe/accuracy",
    "retrieval_from_train/recall_at_1",
    "retrieval_from_train/map_at_r",
    "retrieval/recall_at_1",
    "tagging/pr_auc",
    "tagging/roc_auc",
    "retrieval/multilabel_recall_at_1",
)
"""The metrics of reports, comparisons and warnings, most important first."""


@dataclass(frozen=True)
class MetricPlugin:
    """A family of metrics that another package adds.

    The name of the entry point is the family's prefix, its value such an object.

        [project.entry-points."nearfield.metrics"]
        ranks = "my_package:RANKS"
    """

    family: MetricFamily
    """Its prefix is a name that no other family has."""
    metrics: tuple[Metric, ...]
    """Its rows; `families` of each is the prefix alone."""
    measure: Callable[[Case, Findings], None]
    """Adds the metrics that are defined on the clips of an evaluation: `found.means(prefix, scores, at)` for
    means over clips, which get intervals and can judge a study, or `found.metrics[name] = value`."""


class _Plugins:
    """Metric plugins by prefix, where they are from, and what is wrong with those that cannot be used."""

    def __init__(self, offers: tuple[Plugin, ...]) -> None:
        self.found: dict[str, MetricPlugin] = {}
        self.sources: dict[str, str] = {}
        self.faults: list[str] = []
        for offer in offers:
            try:
                made = offer.load()
            except Exception as error:  # whatever a foreign module does wrong, ours work
                fault = f"cannot be loaded: {type(error).__name__}: {str(error).rstrip('.')}."
            else:
                fault = self._unfit(offer, made)
            if fault:
                self.faults.append(f"The plug-in {offer.kind!r} of {offer.source} ({offer.value}) {fault}")
                warnings.warn(f"metrics: {self.faults[-1]}", PluginWarning, stacklevel=4)
            else:
                self.found[offer.kind], self.sources[offer.kind] = made, offer.source

    def _unfit(self, offer: Plugin, made: Any) -> str:
        """What is wrong with a plugin; "" if nothing is."""
        if not isinstance(made, MetricPlugin) or not all(isinstance(each, Metric) for each in made.metrics):
            return f"is no {MetricPlugin.__module__}.{MetricPlugin.__name__}."
        prefix = made.family.prefix
        if prefix != offer.kind:
            return f"calls itself {prefix!r}: the entry point and the prefix of its family must be the same."
        if prefix in self.found or prefix in {each.prefix.partition("/")[0] for each in FAMILIES}:
            owner = self.sources.get(prefix, "nearfield")
            return f"is left out: {owner} has a family of that name. It needs another name."
        if made.family.is_curve:
            return "cannot be a curve: only trainings log curves. Set is_curve to False."
        for metric in made.metrics:
            if metric.families != (prefix,):
                return f"has the metric {metric.name!r}, whose `families` must be ({prefix!r},)."
            if metric.direction != "higher" and not (metric.refused or made.family.refused):
                return (
                    f"has the metric {metric.name!r} with the direction {metric.direction!r}: only metrics "
                    "that should be high can judge a study. Give the reason in `refused`."
                )
        return ""


@cache
def _plugins() -> _Plugins:
    return _Plugins(plugins("metrics"))


def metric_plugins() -> Mapping[str, MetricPlugin]:
    """Returns the families of metrics of other packages by prefix."""
    return _plugins().found


def from_elsewhere() -> Iterator[str]:
    """Sentences on the metrics of other packages, and on those that cannot be used."""
    for prefix, source in _plugins().sources.items():
        yield f"Of {source}: {prefix}."
    yield from _plugins().faults


def families() -> tuple[MetricFamily, ...]:
    """Returns all families, those of other packages last."""
    return (*FAMILIES, *(each.family for each in metric_plugins().values()))


def metrics() -> tuple[Metric, ...]:
    """Returns all metrics, those of other packages last."""
    return (*METRICS, *(metric for each in metric_plugins().values() for metric in each.metrics))


@cache
def rows() -> Mapping[str, MetricRow]:
    """Returns all rows by pattern, grouped by family."""
    found = (
        MetricRow(family, metric)
        for family in families()
        for metric in metrics()
        if family.prefix in metric.families
    )
    return {row.pattern: row for row in found}


def row_of(name: str) -> MetricRow | None:
    """Looks up the row of a metric.

    Parameters
    ----------
    name
        A name such as "retrieval/recall_at_4", or of a baseline, as "baseline/mfcc_stats/probe/macro_f1".

    Returns
    -------
    MetricRow or None
        None for an unknown name; for a baseline, the row of the metric itself.
    """
    if name.startswith("baseline/"):
        space, _, name = name.removeprefix("baseline/").partition("/")
        if space not in {each.name for each in BASELINES}:
            return None
    return _by_name().get(name) or next((row for match, row in _open() if match.fullmatch(name)), None)


def family_of(name: str) -> MetricFamily | None:
    """Returns the family that a name begins with, even if the metric does not exist."""
    first = name.partition("/")[0]
    return next((each for each in families() if each.prefix.partition("/")[0] == first), None)


def searches_within(name: str) -> bool:
    """Whether a metric searches the evaluated clips among themselves."""
    row = row_of(name)
    return row is not None and row.family.searches_within


def names(curves: bool = False) -> Iterator[str]:
    """Returns the names of all metrics of evaluations, or, with `curves`, of training."""
    return (name for row in rows().values() if row.family.is_curve == curves for name in row.names)


@cache
def _by_name() -> dict[str, MetricRow]:
    return {name: row for row in rows().values() for name in row.names}


@cache
def _open() -> tuple[tuple[re.Pattern[str], MetricRow], ...]:
    """Regular expressions and rows of metrics with a parameter that takes any value."""
    patterns = {pattern: row for pattern, row in rows().items() if "{" in row.names[0]}
    return tuple((re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(p))), row) for p, row in patterns.items())
