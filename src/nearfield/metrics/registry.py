"""Every metric by name: its range, its direction, what it needs, whether it may judge a study, a sentence.

A name is a family, such as `retrieval_from_train`, a slash, and a metric of that family, such as
`recall_at_{k}`; words in braces are parameters (`PARAMETERS`). Tables, studies, warnings and the reference
read the rows below. A new metric needs the function that computes it and a row here.

`baseline/{space}/...` holds the same metrics of spaces that take no training (`BASELINES`).
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Literal

from nearfield.metrics.result import EvaluationSettings
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
"""What a metric is missing without."""


@dataclass(frozen=True)
class MetricFamily:
    """Metrics that are measured in one way: the part of a name before its last slash."""

    prefix: str
    about: str
    needs: tuple[Need, ...] = ()
    words: str | None = None
    """How a sentence goes on behind the name of a metric: "of the probe"; None: the prefix in words."""
    refused: str = ""
    """Why none of its metrics may judge a study; empty where they may."""
    is_curve: bool = False
    """Whether it is logged while a network trains (`metrics.jsonl`), not measured by an evaluation."""
    searches_within: bool = False
    """Whether the scored clips are searched among themselves: each is a query and in the gallery."""


@dataclass(frozen=True)
class Metric:
    """One metric, in each of its families."""

    name: str
    families: tuple[str, ...]
    direction: Direction = "higher"
    """Which values are better."""
    range: tuple[float, float] = (0.0, 1.0)
    """The least and the largest value; infinite where there is no bound."""
    needs: tuple[Need, ...] = ()
    """What it needs beyond what its family needs."""
    words: str = ""
    """Its name in a sentence; empty: the name itself with spaces."""
    refused: str = ""
    """Why it may not judge a study, where its family may."""
    about: str = field(kw_only=True)


@dataclass(frozen=True)
class MetricRow:
    """A metric of one family, with all that is known of it."""

    family: MetricFamily
    metric: Metric

    @property
    def pattern(self) -> str:
        """The name, with parameters in braces."""
        return f"{self.family.prefix}/{self.metric.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the pattern stands for; the pattern itself where a parameter is open."""
        used = re.findall(r"\{(\w+)\}", self.pattern)
        if any(not PARAMETERS[name] for name in used):
            return (self.pattern,)
        values = product(*(PARAMETERS[name] for name in used))
        return tuple(self.pattern.format(**dict(zip(used, each, strict=True))) for each in values)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the family needs, and then what the metric does."""
        return (*self.family.needs, *(each for each in self.metric.needs if each not in self.family.needs))

    @property
    def refused(self) -> str:
        """Why it may not judge a study; empty where it may."""
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
"""The values of a parameter; none where they are those of the data."""

FAMILIES = (
    MetricFamily(
        "probe",
        "A linear classifier, trained on the embeddings of train; val chooses its regularization.",
        ("labels", "train"),
        "of the probe",
    ),
    MetricFamily(
        "knn",
        "Each clip takes the label that most of its nearest train clips have.",
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
        "Each clip of the split is a query among the train clips, without those of its own group.",
        ("train",),
        "from train",
    ),
    MetricFamily(
        "retrieval",
        "Each clip of the split is a query among the others of the split, without those of its own group.",
        (),
        "within test",
        searches_within=True,
    ),
    MetricFamily(
        "retrieval_with_group",
        "As `retrieval`, with the clips of the query's own group left in.",
        (),
        "with the query's recording",
        refused="it finds clips of the query's own recording, and is for the record only",
        searches_within=True,
    ),
    MetricFamily(
        "retrieval_without_{other}",
        "As `retrieval`, without clips that have the query's own value of a further column.",
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
        "What the time of clips in their recordings says of the space, without any label.",
        ("time",),
        "in time",
        searches_within=True,
    ),
    MetricFamily(
        "geometry",
        "The shape of the space.",
        (),
        "",
        refused="it says what a space is like, not how good it is",
    ),
    MetricFamily(
        "nuisance/{column}",
        "A linear classifier predicts a further column, such as the microphone, from the embeddings.",
        ("columns", "train"),
        refused="it says what a space gives away, not how good it is",
    ),
    MetricFamily(
        "loss",
        "The run's loss on fixed batches of a split, without augmentation.",
        ("training",),
        refused="losses of different settings have different scales",
    ),
    MetricFamily(
        "opposites",
        "Of the pairs that training pushed apart, the share in which both clips have something in common.",
        ("training",),
        refused="it says how training chose its pairs, not how good the space is",
    ),
    MetricFamily(
        "baseline/{space}",
        "The same metrics of what takes no training, on the same clips.",
        (),
        refused="a baseline is the same for every arm",
    ),
    MetricFamily(
        "val",
        "Measured on the val clips while the network trains (`train.validate_every`).",
        ("val",),
        "on validation clips",
        refused="choices within a run are made on val, so its scores flatter",
        is_curve=True,
    ),
    MetricFamily(
        "train",
        "Logged at each update.",
        (),
        "in training",
        refused="a judge taken on training data rewards learning by heart, and losses of different "
        "settings have different scales",
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
           about="Mean over classes of F1 = 2 tp / (2 tp + fp + fn): rare classes count like common ones."),
    Metric("accuracy", _PROBES,
           about="Share of clips with the right label."),
    Metric("weighted_f1", _PROBES, words="weighted F1",
           about="Mean over classes of F1, weighted by their clips in the split."),
    # Retrieval by labels and by tags.
    Metric("recall_at_{k}", _GALLERIES, needs=_LABELS,
           about="Share of queries with a clip of their label among their k nearest."),
    Metric("r_precision", _GALLERIES, needs=_LABELS, words="R-precision",
           about="Share of clips of the query's label among its R nearest, where R clips have it."),
    Metric("map_at_r", _GALLERIES, needs=_LABELS, words="MAP@R",
           about="Sum of the precisions at the ranks 1 to R that hold a clip of the query's label, over R "
           "(Musgrave et al. 2020)."),
    Metric("multilabel_recall_at_{k}", (*_GALLERIES, "retrieval_without_{other}"), needs=_TAGS,
           about="Share of the query's tags that its k nearest clips carry between them."),
    Metric("tag_overlap_at_{k}", (*_GALLERIES, "retrieval_without_{other}"), needs=_TAGS,
           about="Mean Jaccard overlap of the query's tags with those of each of its k nearest clips."),
    Metric("tag_map", _GALLERIES, needs=_TAGS, words="tag MAP",
           about="Mean average precision, where a clip is relevant that shares a tag with the query."),
    Metric("tag_ndcg", _GALLERIES, needs=_TAGS, words="tag nDCG",
           about="Normalized discounted cumulative gain; the gain of a clip is its Jaccard overlap with the "
           "query's tags."),
    # Tags.
    Metric("roc_auc", ("tagging", "tagger"), words="ROC-AUC",
           about="Probability that a clip with the tag scores above one without it; mean over tags."),
    Metric("pr_auc", ("tagging", "tagger"), words="PR-AUC",
           about="Average precision of a tag; mean over tags."),
    # Clusters.
    Metric("nmi", ("clusters",), words="NMI",
           about="Normalized mutual information of clusters and labels; it rises with the number of labels."),
    Metric("ami", ("clusters",), range=(-1.0, 1.0), words="AMI",
           about="Mutual information adjusted for chance (Vinh et al. 2010): about 0 or less by chance."),
    Metric("silhouette", ("clusters",), range=(-1.0, 1.0),
           about="Mean of (b - a) / max(a, b) under the labels (Rousseeuw 1987)."),
    # Time alone.
    Metric("triplet_accuracy", ("time",),
           about="Share of triplets (clip, one near in time, one of another recording) in which the one near "
           "in time is nearer; 0.5 by chance."),
    Metric("same_recording_at_1", ("time",),
           about="Share of clips whose nearest other clip is of their recording."),
    Metric("near_in_time_at_1", ("time",),
           about="Share of clips whose nearest other clip is of their recording, at most 10 s away."),
    Metric("same_recording_share", ("retrieval",), "neither", needs=("recordings",),
           refused="whether clips of one recording should be nearest, labels or tags must say",
           about="Share of clips whose nearest other clip, groups left in, is of their recording."),
    # What was scored.
    Metric("queries", _GALLERIES, "neither", _SIZES, _LABELS, refused=_COUNT,
           about="Queries that have a clip of their label to find."),
    Metric("queries_left_out", _GALLERIES, "neither", _SIZES, _LABELS, refused=_COUNT,
           about="Labelled queries that have no clip of their label to find."),
    Metric("tag_queries", _GALLERIES, "neither", _SIZES, _TAGS, refused=_COUNT,
           about="Tagged queries that have a clip to find."),
    Metric("unseen_clips", ("probe",), "lower", _SIZES, refused=_COUNT,
           about="Clips of classes that train lacks; they count as wrong."),
    Metric("tags", ("tagging", "tagger"), "neither", _SIZES, refused=_COUNT,
           about="Tags that are scored."),
    Metric("tags_left_out", ("tagging",), "neither", _SIZES, refused=_COUNT,
           about="Tags that all clips or none have, or that train cannot teach."),
    Metric("clips", ("clusters",), "neither", _SIZES, refused=_COUNT,
           about="Clips that the clusters are measured on."),
    Metric("converged", ("probe", "tagging"), refused=_SETTING,
           about="1 where the optimizer of the probe converged, else 0."),
    Metric("strength", ("probe", "tagging"), "neither", _SIZES, refused=_SETTING,
           about="C, the inverse of the probe's regularization, as chosen on val."),
    # The shape of the space.
    Metric("centroid_spread", ("geometry",), "neither", _SIZES, _LABELS,
           about="Deviation over mean of the distances between centroids of labels: 0 where all are equal."),
    Metric("centroid_min", ("geometry",), "neither", _SIZES, _LABELS,
           about="Smallest distance between the centroids of two labels."),
    Metric("centroid_max", ("geometry",), "neither", _SIZES, _LABELS,
           about="Largest distance between the centroids of two labels."),
    Metric("alike_distance", ("geometry",), "lower", _SIZES,
           about="Mean distance of pairs of one label; without labels, of pairs of one recording."),
    Metric("unlike_distance", ("geometry",), "higher", _SIZES,
           about="Mean distance of pairs of two labels; without labels, of pairs of two recordings."),
    Metric("overlap", ("geometry",), "lower",
           about="Area that the histograms of these distances share: 0 where they lie apart, 1 where they "
           "are the same."),
    Metric("effective_rank", ("geometry",), "neither", _SIZES,
           about="Directions that the embeddings use: exp of the entropy of their singular values (Roy and "
           "Vetterli 2007)."),
    Metric("hubness", ("geometry",), "lower", _ANY,
           about="Skewness of how often a clip is among the 10 nearest of others (Radovanovic et al. "
           "2010); above 1, a few clips are near to all."),
    Metric("mean_norm", ("geometry",), "neither", _SIZES,
           about="Mean Euclidean length of the embeddings."),
    Metric("neighbour_distance", ("geometry",), "lower", _SIZES, ("time",),
           about="Mean distance to a clip near in time, in the triplets of `time/triplet_accuracy`."),
    Metric("opposite_distance", ("geometry",), "higher", _SIZES, ("time",),
           about="Mean distance to a clip of another recording, in the same triplets."),
    Metric("neighbour_overlap", ("geometry",), "lower", needs=("time",),
           about="Area that the histograms of these two distances share."),
    # What the space gives away.
    Metric("macro_f1", ("nuisance/{column}",), "lower", words="macro F1",
           about="Macro F1 of the classifier; where it is well above `chance`, the space holds the column."),
    Metric("accuracy", ("nuisance/{column}",), "lower",
           about="Share of clips with the right value."),
    Metric("chance", ("nuisance/{column}",), "neither",
           about="Macro F1 of guessing by the shares of the values."),
    # How the run was trained.
    Metric("{split}_{state}", ("loss",), "lower", _ANY,
           about="Mean loss over the pairs that the miner keeps (`mined`) or over all pairs (`unmined`)."),
    Metric("{shared}", ("opposites",), "lower",
           about="The label, group, recording or column is the same, or they start within a second "
           "(`synchronous`)."),
    # Curves of validation.
    Metric("score", ("val",), range=_ANY,
           about="What `train.keep` and a plateau go by: one of the next four; the loss negative."),
    Metric("recall_at_1", ("val",), needs=_LABELS,
           about="Share of val clips whose nearest train clip (cosine) has their label."),
    Metric("tag_overlap_at_1", ("val",), needs=_TAGS,
           about="Mean Jaccard overlap of the tags of a val clip with those of its nearest train clip."),
    Metric("triplet_accuracy", ("val",),
           about="Share of triplets of fixed val batches in which the positive is nearer than the negative; "
           "0.5 by chance."),
    Metric("loss", ("val",), "lower", _ANY,
           about="Mean loss of fixed val batches, with the miner."),
    Metric("squared_distance_alike", ("val",), "lower", _SIZES,
           about="Mean squared distance of the positive pairs of these batches."),
    Metric("squared_distance_unlike", ("val",), "higher", _SIZES,
           about="Mean squared distance of the negative pairs of these batches."),
    Metric("silhouette", ("val",), range=(-1.0, 1.0), needs=_LABELS,
           about="Silhouette of the val clips under their labels."),
    Metric("centroids/{pair}", ("val",), "neither", _SIZES, _LABELS,
           about="Distance between the centroids of two labels, where there are at most 12 labels."),
    # Curves of training.
    Metric("loss", ("train",), "lower", _ANY,
           about="Loss of the batch, with the penalty on weights."),
    Metric("loss_pairs", ("train",), "lower", _ANY,
           about="Loss of the batch without the penalty on weights."),
    Metric("loss_penalty", ("train",), "lower", _SIZES,
           about="The penalty on weights."),
    Metric("active_fraction", ("train",), "lower",
           about="Share of the triplets, pairs, anchors or tags of the batch that the loss still moves."),
    Metric("alike_distance", ("train",), "lower", _SIZES,
           about="Mean distance of the positive pairs of the batch."),
    Metric("unlike_distance", ("train",), "higher", _SIZES,
           about="Mean distance of the negative pairs of the batch."),
    Metric("alike_loss", ("train",), "lower", _SIZES,
           about="The part of the loss that positive pairs add."),
    Metric("unlike_loss", ("train",), "lower", _SIZES,
           about="The part of the loss that negative pairs add."),
    Metric("triplets", ("train",), "neither", _SIZES,
           about="Triplets of the batch."),
    Metric("easy_fraction", ("train",),
           about="Share of triplets with a loss of 0."),
    Metric("semihard_fraction", ("train",), "neither",
           about="Share of triplets with a loss whose positive is nearer than the negative."),
    Metric("hard_fraction", ("train",), "lower",
           about="Share of triplets whose negative is nearer than the positive."),
    Metric("positive_probability", ("train",),
           about="Mean probability of the tags that clips have."),
    Metric("negative_probability", ("train",), "lower",
           about="Mean probability of the tags that clips lack."),
    Metric("gradient_norm", ("train",), "neither", _SIZES,
           about="Norm of the whole gradient before it is clipped."),
    Metric("vector_norm", ("train",), "neither", _SIZES,
           about="Mean length of the embeddings of the batch."),
    Metric("spread", ("train",), "neither", _SIZES,
           about="Root mean squared distance of two embeddings over their root mean squared length: 0 for a "
           "point, about 1.41 for directions spread evenly."),
    Metric("effective_rank", ("train",), "neither", _SIZES,
           about="Directions that the centered embeddings of the batch use; every 25 updates."),
    Metric("learning_rate", ("train",), "neither", _SIZES,
           about="Learning rate of the first group of weights."),
    Metric("examples_per_second", ("train",), "higher", _SIZES,
           about="Clips of the batch over the seconds of the update."),
)  # fmt: skip


@dataclass(frozen=True)
class Baseline:
    """Something that takes no training and is scored on the same clips, under `baseline/NAME/`."""

    name: str
    about: str
    words: str = ""
    """How tables call it; empty where they leave it out."""


BASELINES = (
    Baseline("chance", "What guessing scores: a closed form, or the mean over shuffled labels.", "chance"),
    Baseline("hub", "The clips with the most tags, listed for each query alike.", "most-tagged hub"),
    Baseline("same_recording", "The clips of the query's recording first, then chance.",
             "same recording first"),
    Baseline("mfcc_stats", "Mean and deviation over time of 20 MFCC, standardized.", "MFCC statistics"),
    Baseline("logmel_stats", "Mean and deviation over time of 64 log-mel bands, standardized.",
             "log-mel statistics"),
    Baseline("pixels", "The image at 24 by 24, standardized.", "pixels"),
    Baseline("random_encoder", "The same network with weights that were never trained.", "untrained encoder"),
    Baseline("majority", "Predicts the most frequent label of train for every clip."),
)  # fmt: skip

BASELINE_NAMES = {each.name: each.words for each in BASELINES if each.words}
"""The names of baselines in tables, in the order of tables."""

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
"""The metrics that tables show, with the head of their column, in the order of tables."""

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
"""The metrics that reports, comparisons and warnings are about, where they apply, the first ones first."""


@cache
def rows() -> Mapping[str, MetricRow]:
    """Every row by its pattern, family after family."""
    found = (
        MetricRow(family, metric)
        for family in FAMILIES
        for metric in METRICS
        if family.prefix in metric.families
    )
    return {row.pattern: row for row in found}


def row_of(name: str) -> MetricRow | None:
    """The row of a metric, such as "retrieval/recall_at_4"; None where there is none.

    A metric of a baseline has the row of the metric: "baseline/mfcc_stats/probe/macro_f1".
    """
    if name.startswith("baseline/"):
        space, _, name = name.removeprefix("baseline/").partition("/")
        if space not in {each.name for each in BASELINES}:
            return None
    return _by_name().get(name) or next((row for match, row in _open() if match.fullmatch(name)), None)


def family_of(name: str) -> MetricFamily | None:
    """The family that a name begins with, whether or not there is such a metric."""
    first = name.partition("/")[0]
    return next((each for each in FAMILIES if each.prefix.partition("/")[0] == first), None)


def searches_within(name: str) -> bool:
    """Whether a metric over clips searches the scored clips among themselves: each is in the gallery too."""
    row = row_of(name)
    return row is not None and row.family.searches_within


def names(curves: bool = False) -> Iterator[str]:
    """Every metric of an evaluation (or, `curves`, of training) with each value of its parameters."""
    return (name for row in rows().values() if row.family.is_curve == curves for name in row.names)


@cache
def _by_name() -> dict[str, MetricRow]:
    return {name: row for row in rows().values() for name in row.names}


@cache
def _open() -> tuple[tuple[re.Pattern[str], MetricRow], ...]:
    """Rows with a parameter that takes any value, by what their names match."""
    patterns = {pattern: row for pattern, row in rows().items() if "{" in row.names[0]}
    return tuple((re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(p))), row) for p, row in patterns.items())
