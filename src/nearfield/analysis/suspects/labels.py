"""Labels and tags that are likely wrong, by neighbors and by a probe that never saw the clip."""

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

# The chance that a suspicion is right, from wrong labels planted in the collection itself.
#
# No witness knows the label of the clip that it speaks of, so what it would say of a wrong one is known
# without asking again: the same clip under every label that it does not have, the same tag on every clip
# that lacks it. The `rank` of a suspicion is the share of those planted errors that are less suspicious. It
# takes the place of a prior: of a rare tag almost every clip is unlikely to have it, and being unlikely says
# little.
#
# Ranks of wrong ones are spread evenly over 0..1, those of right ones lie low. How many right ones reach a
# rank cannot be told from a collection whose errors are not known; it was measured on four sets of labels
# and three of tags (`benchmarks/suspects.py`), and `RIGHT` bounds it, or more where the collection itself
# has more from rank `CHECKED` on. Where classes overlap more than in those sets, scores are too high. As in
# target-decoy searches (Elias and Gygi 2007), of n suspicions of a rank or above at most 1 + (the right ones
# expected there) are taken to be false, and the score of a suspicion is the best share of true ones among
# all lists from the top that it is on.


@dataclass(frozen=True)
class Tail:
    """The share of right ones of a rank of u and above: `share` (1 - u)^`fall`, never above 1."""

    share: float
    fall: float

    def __call__(self, ranks: Floats) -> Floats:
        return np.asarray(np.minimum(1.0, self.share * (1 - ranks) ** self.fall))


RIGHT = {"label": Tail(0.15, 4.5), "tag": Tail(1.0, 2.0)}
"""No set had more right ones at any rank from where this falls below 0.05."""
CHECKED = 0.25
LISTED = 0.05
"""The tail of right ones up to which a suspicion says anything."""


def planted_ranks(scores: Floats, planted: Floats) -> Floats:
    """(n,) the share of `planted` (m,) that lies below each score, equals half."""
    order = np.sort(planted)
    below, up_to = np.searchsorted(order, scores, "left"), np.searchsorted(order, scores, "right")
    return np.asarray((below + up_to + 1) / (2 * len(order) + 2))


def probabilities(ranks: Floats, right: Tail) -> Floats:
    """(n,) the chance that each suspicion is right, from the ranks (n,) of all that could be wrong."""
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
    """(n,) the suspicions of ranks that at most a share `most` of right ones reaches."""
    return np.asarray(right(ranks) <= most)


# The two witnesses on a label or tag: the clips around it, and a probe that never saw the clip.
#
# Conventions ----------- Vectors (N, D) as the space has them; statistics of bands and the like should be
# standardised before. Targets (N, K) are zeros and ones: one column a class, or one a tag. Both witnesses
# give (N, K) shares in 0..1.
#
# - The neighbourhood: the share of each class among the nearest clips, a clip weighing
#   exp(-(d - d_first) / (width * median d)) by its squared distance d: near clips speak louder, by a scale
#   that each neighbourhood sets itself.
# - The probe: logistic regressions fitted on four fifths of the clips say what the others are, five times, so
#   that no clip vouches for itself (out-of-fold).
#
# Their mean is what suspicion is based on. On four sets with planted flips it found more than either alone
# and more than confident learning on the same vectors: see benchmarks/suspects.py.


class SuspectSettings(Settings):
    """How labels and tags are doubted."""

    kind: Literal["suspects"] = "suspects"
    distance: Distance = "cosine"
    """By which distance clips are near; for vectors that are not normalized, `euclidean`."""
    neighbors: int = Field(30, ge=1, le=1000)
    """Clips around a clip that are asked."""
    width: float = Field(0.1, gt=0)
    """How far the nearest clips outweigh the others: smaller, the more."""
    strength: float = Field(0.1, gt=0)
    """C of the probe; smaller is stronger regularisation, which learns fewer wrong labels by heart."""
    folds: int = Field(5, ge=2, le=50)
    """Parts of the collection that take turns at being judged by a probe taught on the others."""
    apart: bool = False
    """Whether neither witness may know clips of the clip's own group: for sets where whole recordings may be
    labelled wrongly; finds less where single clips are."""
    right: float = Field(LISTED, ge=0, le=1)
    """A clip is listed where at most this share of right labels, or tags, looks as suspicious."""
    most: int = Field(500, ge=1)
    """Longest list of one kind of suspects."""
    seed: int = 0
    """Of the folds."""


@dataclass(frozen=True)
class Evidence:
    """What the two witnesses say."""

    neighbours: Floats
    """(N, K) weighted share of each class among the nearest clips."""
    probe: Floats
    """(N, K) out-of-fold probabilities."""

    @property
    def mean(self) -> Floats:
        """(N, K)"""
        return (self.neighbours + self.probe) / 2


def gather(
    vectors: Vectors, targets: Floats, link: Link, sources: Ints, settings: SuspectSettings
) -> Evidence:
    """Asks both witnesses of N clips with `targets` (N, K); `sources` (N,) are their groups, -1 not known."""
    barred = sources if settings.apart else None
    vectors = vectors.astype(np.float32, copy=False)  # squares of halves would overflow
    space = unit(vectors) if settings.distance == "cosine" else vectors
    return Evidence(
        neighbour_shares(space, targets, barred, settings),
        out_of_fold(vectors, targets, link, barred, settings),
    )


def neighbour_shares(
    space: Vectors, targets: Floats, barred: Ints | None, settings: SuspectSettings
) -> Floats:
    """(N, K) weighted shares among the nearest clips; the overall share where a clip may ask nobody."""
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
    """(N, K) what probes say of the clips that they were not taught with."""
    said = np.zeros(targets.shape)
    fold_of = folds(targets, barred, settings)
    for fold in range(settings.folds):
        away = fold_of == fold
        if not away.any() or away.all():
            said[away] = targets.mean(axis=0)
            continue
        scaling = Scaling.of(vectors[~away])
        model = fit(scaling(vectors[~away]), targets[~away], link, settings.strength, tolerance=ROUGH)
        said[away] = model.probabilities(scaling(vectors[away]))
    return said


def folds(targets: Floats, barred: Ints | None, settings: SuspectSettings) -> Ints:
    """(N,) fold of each clip: classes spread evenly, or whole sources together where they are barred."""
    chance = stream(settings.seed, "suspect folds")
    if barred is not None:
        units = np.unique(np.where(barred >= 0, barred, -1 - np.arange(len(barred))), return_inverse=True)[1]
        return np.asarray(chance.permutation(units.max(initial=0) + 1)[units] % settings.folds)
    # In order of the combination of targets and shuffled within it, dealt out like cards.
    order = chance.permutation(len(targets))
    kinds = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    dealt = order[np.argsort(kinds[order], kind="stable")]
    fold_of = np.empty(len(targets), dtype=np.int64)
    fold_of[dealt] = np.arange(len(targets)) % settings.folds
    return fold_of


def _medians(apart: Floats, there: Bools) -> Floats:
    """(N, 1) the median distance to the neighbours that there are; 1 where all are at no distance."""
    known = np.where(there, apart, np.nan)
    known[~there.any(axis=1)] = 1.0
    medians = np.nanmedian(known, axis=1, keepdims=True)
    return np.asarray(np.where(medians > 0, medians, 1.0))


# Labels that are likely wrong: another class has the better claim, by neighbourhood and by probe.
#
# The claim of others is q / (p + q), with p the mean share that the two witnesses above give to
# the label that the clip has, and q what they give to the best other one: 0.5 where both claims are equal.
# The rank is that claim among those of clips that are wrongly given the same label, the score the chance
# of being right, above.

FLOOR = 0.02
"""Share that every class is given beforehand, so that two claims near nothing do not make a certainty."""


@dataclass(frozen=True)
class LabelDoubts:
    """The suspicion against every clip that has a label."""

    rows: Ints
    """(n,) rows of the collection."""
    ranks: Floats
    """(n,) 0..1, share of wrong labels that would be less suspicious."""
    scores: Floats
    """(n,) 0..1, chance that the label is wrong."""
    best: Ints
    """(n,) the class number with the best other claim."""
    classes: Ints
    """(K,) class number of each column of the evidence."""
    evidence: Evidence


def doubt_labels(
    vectors: Vectors, metadata: ClipMetadata, settings: SuspectSettings | None = None
) -> LabelDoubts:
    """Scores every clip with a label; `vectors` (N, D) and `metadata` are of the same N clips.

    Raises DataError where there are not two classes of two clips, RequestError or WorkError for vectors that
    cannot be used.
    """
    settings = settings or SuspectSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), metadata=metadata.labels)
    rows = np.flatnonzero(metadata.labels >= 0)
    classes, codes, counts = np.unique(metadata.labels[rows], return_inverse=True, return_counts=True)
    if (counts > 1).sum() < 2:
        raise DataError(
            "label suspects: two labels with two clips each are needed, so that one can be doubted for "
            f"the other; given: {len(classes)} labels on {len(rows)} clips. Look for other faults instead."
        )
    evidence = gather(vectors[rows], np.eye(len(classes))[codes], "softmax", metadata.sources[rows], settings)
    claims = evidence.mean
    others, best = _claims_of_others(claims)
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
    """The clips that `settings.right` lets stand, most suspicious first. Raises as `doubt_labels`."""
    settings = settings or SuspectSettings()
    doubts = doubt_labels(vectors, metadata, settings)
    places = np.flatnonzero(listed(doubts.ranks, RIGHT["label"], settings.right)).tolist()
    return ranked([_suspect(doubts, place, metadata) for place in places])[: settings.most]


def all_neighbours_differ(
    vectors: Vectors, metadata: ClipMetadata, neighbours: int = 30, distance: Distance = "cosine"
) -> Bools:
    """(N,) the plain rule, for comparison: every one of the nearest labelled clips has another label.

    F. Groeger's thesis of 2020 lists a clip so, with 30 neighbours; here the clip itself is not among them.
    False for clips without a label.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), metadata=metadata.labels)
    rows, differ = np.flatnonzero(metadata.labels >= 0), np.zeros(len(vectors), dtype=bool)
    index, _ = nearest(Search.within(vectors[rows], distance), neighbours)
    labels = metadata.labels[rows]
    positive = (index >= 0) & (labels[index] == labels[:, None])
    differ[rows] = ~positive.any(axis=1) & (index >= 0).any(axis=1)
    return differ


def _claims_of_others(claims: Floats) -> tuple[Floats, Ints]:
    """(n, K) the claim of the best other class, were each class the label, and (n, K) which that is."""
    order = np.argsort(-claims, axis=1, kind="stable")[:, :2]
    first, second = order[:, :1], order[:, 1:]
    best = np.where(np.arange(claims.shape[1]) == first, second, first)
    other = np.take_along_axis(claims, best, axis=1)
    return (other + FLOOR) / (claims + other + 2 * FLOOR), best


def _suspect(doubts: LabelDoubts, place: int, metadata: ClipMetadata) -> Suspect:
    row, best = int(doubts.rows[place]), int(doubts.best[place])
    given, proposed = metadata.label_names[metadata.labels[row]], metadata.label_names[best]
    own = int(np.searchsorted(doubts.classes, metadata.labels[row]))
    other = int(np.searchsorted(doubts.classes, best))
    near, probe = doubts.evidence.neighbours[place], doubts.evidence.probe[place]
    return Suspect(
        row=row,
        kind="label",
        score=float(doubts.scores[place]),
        reason=(
            f"Labelled {given!r}, but of the clips around it, by weight, {per_cent(near[other])} are "
            f"{proposed!r} and {per_cent(near[own])} {given!r}; a probe that never saw it gives {proposed!r} "
            f"{per_cent(probe[other])} and {given!r} {per_cent(probe[own])}. "
            f"{beyond(doubts.ranks[place], 'labels')}"
        ),
        rank=float(doubts.ranks[place]),
        suggestion=f"Listen; if you agree, relabel it {proposed!r}.",
        proposed=proposed,
    )


# Single tags that are likely wrong or missing on a clip, by neighbourhood and by probe.
#
# For each clip and tag, s is the mean share that the two witnesses above give to the tag. A tag
# that the clip has is the more suspicious the less likely it is, beside the clips that lack it and would
# have it wrongly (so a rare tag is not suspicious for being rare); one that a clip lacks the more likely it
# is, beside the tags that clips have and would lack wrongly. The score is the chance of being right,
# above. Clips without any tag are not known to lack them: they teach nothing and are not judged.


class TagDoubts:
    """The suspicion against every tag that a clip has, and against every one that it lacks."""

    def __init__(self, rows: Ints, tags: Ints, has: Floats, evidence: Evidence) -> None:
        self.rows = rows
        """(n,) rows of the collection."""
        self.tags = tags
        """(K,) the numbers of the tags that can be asked about."""
        self.has = has.astype(bool)
        """(n, K)"""
        self.evidence = evidence
        self.ranks = self._ranks(evidence.mean)
        """(n, K) 0..1, share of planted errors that would be less suspicious."""
        self.scores: Floats = np.zeros(self.has.shape)
        """(n, K) 0..1, the chance that a tag which the clip has is wrong, that another is missing."""
        for cells in (self.has, ~self.has):
            self.scores[cells] = probabilities(self.ranks[cells], RIGHT["tag"])

    def _ranks(self, likely: Floats) -> Floats:
        ranks = np.zeros(self.has.shape)
        for tag, has in enumerate(self.has.T):
            ranks[has, tag] = planted_ranks(1 - likely[has, tag], 1 - likely[~has, tag])
        # A tag is on too few clips to be a measure of its own for those that lack it.
        ranks[~self.has] = planted_ranks(likely[~self.has], likely[self.has])
        return ranks


def doubt_tags(
    vectors: Vectors, metadata: ClipMetadata, settings: SuspectSettings | None = None
) -> TagDoubts:
    """Scores every tag of every clip that has tags; `vectors` (N, D) and `metadata` are of the same N clips.

    Raises DataError where no tag is on two clips and off two, RequestError or WorkError for vectors that
    cannot be used.
    """
    settings = settings or SuspectSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), metadata=metadata.tags)
    rows = np.flatnonzero(metadata.tags.any(axis=1))
    count = metadata.tags[rows].sum(axis=0)
    tags = np.flatnonzero((count > 1) & (count < len(rows) - 1))
    if not len(tags):
        raise DataError(
            "tag suspects: a tag that is on two clips or more, and not on all, is needed; "
            f"given: {len(metadata.tag_names)} tags on {len(rows)} clips. Look for other faults instead."
        )
    has = metadata.tags[np.ix_(rows, tags)].astype(np.float64)
    return TagDoubts(rows, tags, has, gather(vectors[rows], has, "sigmoid", metadata.sources[rows], settings))


def tag_suspects(
    vectors: Vectors, metadata: ClipMetadata, settings: SuspectSettings | None = None
) -> list[Suspect]:
    """Tags that `settings.right` lets stand: first those likely wrong, then those likely missing.

    Each of the two lists is in order of suspicion and at most `settings.most` long. Raises as `doubt_tags`.
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
    near, probe = doubts.evidence.neighbours[clip, tag], doubts.evidence.probe[clip, tag]
    said = (
        f"of the clips around it, by weight, {per_cent(near)} have it; a probe that never saw it "
        f"gives it {per_cent(probe)}. {beyond(doubts.ranks[clip, tag], 'tags')}"
    )
    if doubts.has[clip, tag]:
        reason, suggestion = f"Tagged {name!r}, but {said}", f"Listen; if you agree, take {name!r} off."
    else:
        reason, suggestion = f"Not tagged {name!r}, but {said}", f"Listen; if you agree, add {name!r}."
    return Suspect(
        row=int(doubts.rows[clip]),
        kind="tag_wrong" if doubts.has[clip, tag] else "tag_missing",
        score=float(doubts.scores[clip, tag]),
        reason=reason,
        suggestion=suggestion,
        proposed=name,
        rank=float(doubts.ranks[clip, tag]),
    )
