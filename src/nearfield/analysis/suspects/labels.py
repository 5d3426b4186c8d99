"""Labels and tags that are likely wrong, by their neighbors and by a probe trained on other clips."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from nearfield.analysis.suspects.listing import Suspect, beyond, descending, per_cent, ranked
from nearfield.core.errors import DataError
from nearfield.core.rng import stream
from nearfield.core.settings import Settings
from nearfield.core.types import Bools, ClipMetadata, Distance, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.neighbors import Search, nearest, unit
from nearfield.metrics.probes import ROUGH, Link, Scaling, fit

# The probability that a label or tag is wrong, estimated with planted errors.
#
# Neither neighbors nor probe use the label of the clip itself, so their evidence for planted errors is known:
# the same clip with every label that it does not have, or the same tag on every clip that lacks it. The
# `rank` of a suspicion is the fraction of planted errors that are less suspicious. It replaces a prior:
# almost every clip is unlikely to have a rare tag, so a low probability alone means little.
#
# Ranks of wrong labels are uniform in 0..1; ranks of correct labels are low. How many correct labels reach a
# rank cannot be computed for a collection with unknown errors. It was measured on four sets of labels and
# three of tags (`benchmarks/suspects.py`); `RIGHT` is an upper bound, which is increased if the collection
# has more suspicions from rank `CHECKED`. If classes overlap more than in those sets, scores are too high. As
# in target-decoy searches (Elias and Gygi 2007), at most 1 + (the expected number of correct labels) of the n
# suspicions from a rank are taken as false. The score of a suspicion is the largest fraction of true
# suspicions among all lists from the top that contain it.


@dataclass(frozen=True)
class Tail:
    """Upper bound of the fraction of correct labels with rank u or more: `share` (1 - u)^`fall`, at most
    1."""

    share: float
    fall: float

    def __call__(self, ranks: Floats) -> Floats:
        return np.asarray(np.minimum(1.0, self.share * (1 - ranks) ** self.fall))


RIGHT = {"label": Tail(0.15, 4.5), "tag": Tail(1.0, 2.0)}
"""Bounds that no measured set exceeded at any rank where they are below 0.05."""
CHECKED = 0.25
"""Rank from which the bound is compared with the collection."""
LISTED = 0.05
"""Largest value of the bound at which a suspicion is meaningful."""


def planted_ranks(scores: Floats, planted: Floats) -> Floats:
    """Computes (n,) the fraction of `planted` (m,) below each score; equal values count half."""
    order = np.sort(planted)
    below, up_to = np.searchsorted(order, scores, "left"), np.searchsorted(order, scores, "right")
    return np.asarray((below + up_to + 1) / (2 * len(order) + 2))


def probabilities(ranks: Floats, right: Tail) -> Floats:
    """Estimates (n,) the probability that each suspicion is true, from the ranks (n,) of all suspicions."""
    order = np.argsort(-ranks, kind="stable")
    falling = ranks[order]
    as_many = np.searchsorted(-falling, -falling, "right")
    seen = float((ranks >= CHECKED).mean()) / (1 - CHECKED) ** right.fall if len(ranks) else 0.0
    tail = Tail(max(right.share, seen), right.fall)(falling)
    true = np.where(tail <= LISTED, 1 - (1 + len(ranks) * tail) / np.maximum(as_many, 1), 0.0)
    found = np.zeros(len(ranks))
    found[order] = np.maximum(np.maximum.accumulate(true[::-1])[::-1], 0.0)
    return found


def listed(ranks: Floats, right: Tail, most: float) -> Bools:
    """Returns (n,) whether at most a fraction `most` of correct labels reaches the rank of each suspicion."""
    return np.asarray(right(ranks) <= most)


# Evidence about a label or tag: the neighbors of the clip, and a probe trained on other clips.
#
# Conventions: vectors (N, D) of the embedding; statistics of bands should be standardized before. Targets (N,
# K) are zeros and ones, with one column per class or tag. Both kinds of evidence are (N, K) in 0..1.
#
# - Neighbors: the weighted fraction of each class among the nearest clips. The weight of a clip is
#   exp(-(d - d_first) / (width * median d)) with its squared distance d, so near clips count more, relative
# to the
#   distances of the neighbors.
# - Probe: logistic regressions, each trained on four fifths of the clips, predict the remaining fifth, so
#   that no clip
#   is predicted by a probe trained on it (out of fold).
#
# Suspicion is based on their mean. On four sets with planted errors, it found more errors than either alone,
# and more than confident learning on the same vectors (benchmarks/suspects.py).


class SuspectSettings(Settings):
    """Settings of the search for wrong labels and tags."""

    kind: Literal["suspects"] = "suspects"
    distance: Distance = "cosine"
    """Distance of two vectors; use euclidean for vectors that are not normalized."""
    neighbors: int = Field(30, ge=1, le=1000)
    """Number of neighbors of a clip, 1 to 1,000."""
    width: float = Field(0.1, gt=0)
    """Width of the weights of neighbors; smaller gives the nearest clips more weight."""
    strength: float = Field(0.1, gt=0)
    """C of the probe; smaller is stronger regularization, which overfits wrong labels less."""
    folds: int = Field(5, ge=2, le=50)
    """Number of folds; each is predicted by a probe trained on the others."""
    apart: bool = False
    """Whether neighbors and probe exclude clips of the same group, for sets where whole recordings may have
    wrong labels; finds fewer wrong labels of single clips."""
    right: float = Field(LISTED, ge=0, le=1)
    """Largest fraction of correct labels, or tags, that are as suspicious as a listed clip, 0 to 1."""
    most: int = Field(500, ge=1)
    """Largest number of suspects of one kind."""
    seed: int = 0
    """Seed of the folds."""


@dataclass(frozen=True)
class Evidence:
    """Evidence of neighbors and probe."""

    neighbors: Floats
    """(N, K) weighted fraction of each class among the nearest clips."""
    probe: Floats
    """(N, K) out-of-fold probabilities."""

    @property
    def mean(self) -> Floats:
        """(N, K) mean of the two."""
        return (self.neighbors + self.probe) / 2


def gather(
    vectors: Vectors, targets: Floats, link: Link, sources: Ints, settings: SuspectSettings
) -> Evidence:
    """Computes the evidence of N clips with `targets` (N, K); `sources` (N,) are their groups, -1 if
    unknown."""
    barred = sources if settings.apart else None
    vectors = vectors.astype(np.float32, copy=False)  # squares in half precision would overflow
    space = unit(vectors) if settings.distance == "cosine" else vectors
    return Evidence(
        neighbor_shares(space, targets, barred, settings),
        out_of_fold(vectors, targets, link, barred, settings),
    )


def neighbor_shares(
    space: Vectors, targets: Floats, barred: Ints | None, settings: SuspectSettings
) -> Floats:
    """Computes (N, K) weighted fractions among the nearest clips; the overall fraction for clips without
    neighbors."""
    search = Search.within(space, "squared_euclidean", barred)
    index, apart = nearest(search, settings.neighbors)
    there = index >= 0
    first, scale = np.where(there[:, :1], apart[:, :1], 0), _medians(apart, there)
    weights = np.where(there, np.exp(-(np.where(there, apart, 0) - first) / (settings.width * scale)), 0)
    shares = np.zeros(targets.shape)
    for rank in range(index.shape[1]):
        shares += weights[:, rank, None] * targets[index[:, rank]]
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, shares / np.where(total > 0, total, 1), targets.mean(axis=0)))


def out_of_fold(
    vectors: Vectors, targets: Floats, link: Link, barred: Ints | None, settings: SuspectSettings
) -> Floats:
    """Computes (N, K) probabilities of probes that were trained on other clips."""
    predicted = np.zeros(targets.shape)
    fold_of = folds(targets, barred, settings)
    for fold in range(settings.folds):
        away = fold_of == fold
        if not away.any() or away.all():
            predicted[away] = targets.mean(axis=0)
            continue
        scaling = Scaling.of(vectors[~away])
        model = fit(scaling(vectors[~away]), targets[~away], link, settings.strength, tolerance=ROUGH)
        predicted[away] = model.probabilities(scaling(vectors[away]))
    return predicted


def folds(targets: Floats, barred: Ints | None, settings: SuspectSettings) -> Ints:
    """Assigns clips to folds, (N,): stratified by class, or by whole sources if `barred` is given."""
    rng = stream(settings.seed, "suspect folds")
    if barred is not None:
        units = np.unique(np.where(barred >= 0, barred, -1 - np.arange(len(barred))), return_inverse=True)[1]
        return np.asarray(rng.permutation(units.max(initial=0) + 1)[units] % settings.folds)
    # Sorted by the combination of targets, shuffled within it, and assigned in turn.
    order = rng.permutation(len(targets))
    kinds = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    stratified = order[np.argsort(kinds[order], kind="stable")]
    fold_of = np.empty(len(targets), dtype=np.int64)
    fold_of[stratified] = np.arange(len(targets)) % settings.folds
    return fold_of


def _medians(apart: Floats, there: Bools) -> Floats:
    """Computes (N, 1) the median distance to existing neighbors; 1 if it is 0."""
    known = np.where(there, apart, np.nan)
    known[~there.any(axis=1)] = 1.0
    medians = np.nanmedian(known, axis=1, keepdims=True)
    return np.asarray(np.where(medians > 0, medians, 1.0))


# Labels that are likely wrong: the evidence for another class is stronger.
#
# The suspicion is q / (p + q), where p is the mean evidence for the label of the clip and q that for the best
# other class; it is 0.5 if both are equal. The rank compares it with clips that would wrongly have the same
# label; the score is the probability that the label is wrong, see above.

FLOOR = 0.02
"""Added to the evidence for every class, so that two values near 0 do not give a high suspicion."""


@dataclass(frozen=True)
class LabelDoubts:
    """The suspicion about every clip with a label."""

    rows: Ints
    """(n,) rows of the collection."""
    ranks: Floats
    """(n,) fraction of planted errors that are less suspicious, 0..1."""
    scores: Floats
    """(n,) estimated probability that the label is wrong, 0..1."""
    best: Ints
    """(n,) class number of the best other class."""
    classes: Ints
    """(K,) class number of each column of the evidence."""
    evidence: Evidence


def doubt_labels(
    vectors: Vectors, metadata: ClipMetadata, settings: SuspectSettings | None = None
) -> LabelDoubts:
    """Computes the suspicion about the label of every clip.

    Parameters
    ----------
    vectors
        (N, D) vectors of the collection.
    metadata
        Metadata of the same N clips.
    settings
        Settings; None: defaults.

    Raises
    ------
    DataError
        If there are fewer than two classes with two clips.
    RequestError, WorkError
        If the vectors cannot be used.
    """
    settings = settings or SuspectSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), metadata=metadata.labels)
    rows = np.flatnonzero(metadata.labels >= 0)
    classes, codes, counts = np.unique(metadata.labels[rows], return_inverse=True, return_counts=True)
    if (counts > 1).sum() < 2:
        raise DataError(
            "label suspects: two labels with two clips each are needed. "
            f"Given: {len(classes)} labels on {len(rows)} clips. Check for other faults instead."
        )
    evidence = gather(vectors[rows], np.eye(len(classes))[codes], "softmax", metadata.sources[rows], settings)
    others, best = _suspicions(evidence.mean)
    ranks = np.zeros(len(rows))
    for code in range(len(classes)):
        own = codes == code
        ranks[own] = planted_ranks(others[own, code], others[~own, code])
    proposed = best[np.arange(len(rows)), codes]
    return LabelDoubts(
        rows, ranks, probabilities(ranks, RIGHT["label"]), classes[proposed], classes, evidence
    )


def label_suspects(
    vectors: Vectors, metadata: ClipMetadata, settings: SuspectSettings | None = None
) -> list[Suspect]:
    """Lists the clips selected by `settings.right`, the most suspicious first. Raises like `doubt_labels`."""
    settings = settings or SuspectSettings()
    doubts = doubt_labels(vectors, metadata, settings)
    places = np.flatnonzero(listed(doubts.ranks, RIGHT["label"], settings.right)).tolist()
    return ranked([_suspect(doubts, place, metadata) for place in places])[: settings.most]


def all_neighbors_differ(
    vectors: Vectors, metadata: ClipMetadata, neighbors: int = 30, distance: Distance = "cosine"
) -> Bools:
    """Returns (N,) whether all nearest clips with a label have another label; a simple rule for comparison.

    F. Groeger's thesis of 2020 uses this rule with 30 neighbors; here, the clip itself is not one of them.
    False for
    clips without a label.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), metadata=metadata.labels)
    rows, differ = np.flatnonzero(metadata.labels >= 0), np.zeros(len(vectors), dtype=bool)
    index, _ = nearest(Search.within(vectors[rows], distance), neighbors)
    labels = metadata.labels[rows]
    positive = (index >= 0) & (labels[index] == labels[:, None])
    differ[rows] = ~positive.any(axis=1) & (index >= 0).any(axis=1)
    return differ


def _suspicions(evidence: Floats) -> tuple[Floats, Ints]:
    """Returns (n, K) the suspicion if each class were the label, and (n, K) the best other class."""
    order = np.argsort(-evidence, axis=1, kind="stable")[:, :2]
    first, second = order[:, :1], order[:, 1:]
    best = np.where(np.arange(evidence.shape[1]) == first, second, first)
    other = np.take_along_axis(evidence, best, axis=1)
    return (other + FLOOR) / (evidence + other + 2 * FLOOR), best


def _suspect(doubts: LabelDoubts, place: int, metadata: ClipMetadata) -> Suspect:
    row, best = int(doubts.rows[place]), int(doubts.best[place])
    given, proposed = metadata.label_names[metadata.labels[row]], metadata.label_names[best]
    own = int(np.searchsorted(doubts.classes, metadata.labels[row]))
    other = int(np.searchsorted(doubts.classes, best))
    near, probe = doubts.evidence.neighbors[place], doubts.evidence.probe[place]
    return Suspect(
        row=row,
        kind="label",
        score=float(doubts.scores[place]),
        reason=(
            f"The label is {given!r}, but {per_cent(near[other])} of its neighbors (weighted) are "
            f"{proposed!r} and {per_cent(near[own])} are {given!r}; a probe trained on other clips predicts "
            f"{proposed!r} with {per_cent(probe[other])} and {given!r} with {per_cent(probe[own])}. "
            f"{beyond(doubts.ranks[place], 'labels')}"
        ),
        rank=float(doubts.ranks[place]),
        suggestion=f"Listen; if you agree, change the label to {proposed!r}.",
        proposed=proposed,
    )


# Tags that are likely wrong or missing on a clip.
#
# For each clip and tag, s is the mean evidence for the tag. A tag that the clip has is the more suspicious
# the smaller s is, compared with the clips that lack the tag, so a rare tag is not suspicious because it is
# rare. A tag that the clip lacks is the more suspicious the larger s is, compared with all tags that clips
# have. The score is the probability that the suspicion is true, see above. The tags of clips without any tag
# are unknown, so these clips are left out.


class TagDoubts:
    """The suspicion about every tag that a clip has or lacks."""

    def __init__(self, rows: Ints, tags: Ints, has: Floats, evidence: Evidence) -> None:
        self.rows = rows
        """(n,) rows of the collection."""
        self.tags = tags
        """(K,) numbers of the tags that can be checked."""
        self.has = has.astype(bool)
        """(n, K) tags of the clips."""
        self.evidence = evidence
        self.ranks = self._ranks(evidence.mean)
        """(n, K) fraction of planted errors that are less suspicious, 0..1."""
        self.scores: Floats = np.zeros(self.has.shape)
        """(n, K) estimated probability that a tag of the clip is wrong, or that another tag is missing,
        0..1."""
        for cells in (self.has, ~self.has):
            self.scores[cells] = probabilities(self.ranks[cells], RIGHT["tag"])

    def _ranks(self, likely: Floats) -> Floats:
        ranks = np.zeros(self.has.shape)
        for tag, has in enumerate(self.has.T):
            ranks[has, tag] = planted_ranks(1 - likely[has, tag], 1 - likely[~has, tag])
        # For missing tags, all tags are ranked together, because a single tag is on too few clips.
        ranks[~self.has] = planted_ranks(likely[~self.has], likely[self.has])
        return ranks


def doubt_tags(
    vectors: Vectors, metadata: ClipMetadata, settings: SuspectSettings | None = None
) -> TagDoubts:
    """Computes the suspicion about every tag of every clip with tags.

    Parameters
    ----------
    vectors
        (N, D) vectors of the collection.
    metadata
        Metadata of the same N clips.
    settings
        Settings; None: defaults.

    Raises
    ------
    DataError
        If no tag is on two clips or more and missing on two or more.
    RequestError, WorkError
        If the vectors cannot be used.
    """
    settings = settings or SuspectSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), metadata=metadata.tags)
    rows = np.flatnonzero(metadata.tags.any(axis=1))
    count = metadata.tags[rows].sum(axis=0)
    tags = np.flatnonzero((count > 1) & (count < len(rows) - 1))
    if not len(tags):
        raise DataError(
            "tag suspects: a tag that is on two clips or more, and missing on two or more, is needed. "
            f"Given: {len(metadata.tag_names)} tags on {len(rows)} clips. Check for other faults instead."
        )
    has = metadata.tags[np.ix_(rows, tags)].astype(np.float64)
    return TagDoubts(rows, tags, has, gather(vectors[rows], has, "sigmoid", metadata.sources[rows], settings))


def tag_suspects(
    vectors: Vectors, metadata: ClipMetadata, settings: SuspectSettings | None = None
) -> list[Suspect]:
    """Lists the tags selected by `settings.right`: likely wrong tags, then likely missing ones.

    Each of the two lists has the most suspicious first and at most `settings.most` entries. Raises like
    `doubt_tags`.
    """
    settings = settings or SuspectSettings()
    doubts = doubt_tags(vectors, metadata, settings)
    found, stand = [], listed(doubts.ranks, RIGHT["tag"], settings.right)
    for wrong in (True, False):
        clips, tags = np.nonzero((doubts.has == wrong) & stand)
        order = descending(doubts.ranks[clips, tags])[: settings.most]
        found += [_tag_suspect(doubts, int(clips[place]), int(tags[place]), metadata) for place in order]
    return found


def _tag_suspect(doubts: TagDoubts, clip: int, tag: int, metadata: ClipMetadata) -> Suspect:
    name = metadata.tag_names[doubts.tags[tag]]
    near, probe = doubts.evidence.neighbors[clip, tag], doubts.evidence.probe[clip, tag]
    evidence = (
        f"{per_cent(near)} of its neighbors (weighted) have it; a probe trained on other clips predicts it "
        f"with {per_cent(probe)}. {beyond(doubts.ranks[clip, tag], 'tags')}"
    )
    if doubts.has[clip, tag]:
        reason = f"The clip has the tag {name!r}, but {evidence}"
        suggestion = f"Listen; if you agree, remove {name!r}."
    else:
        reason = f"The clip lacks the tag {name!r}, but {evidence}"
        suggestion = f"Listen; if you agree, add {name!r}."
    return Suspect(
        row=int(doubts.rows[clip]),
        kind="tag_wrong" if doubts.has[clip, tag] else "tag_missing",
        score=float(doubts.scores[clip, tag]),
        reason=reason,
        suggestion=suggestion,
        proposed=name,
        rank=float(doubts.ranks[clip, tag]),
    )
