"""Relations by labels, tags, synonyms of tags, and views of one clip."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from nearfield.core.errors import DataError, RequestError, choose
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Floats, Ints, Pairs
from nearfield.learning.relations.base import BaseRelationSettings

# Clips are alike when they carry the same label.


class Labels(BaseRelationSettings):
    """Same label: alike. Other label: unlike. Clips without a label take no part."""

    kind: Literal["labels"] = "labels"

    gives: ClassVar[frozenset[Literal["labels", "tags"]]] = frozenset({"labels"})
    validate_by: ClassVar[Literal["labels", "tags", "triplets"]] = "labels"

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "LabelRelation":
        """The relation over the clips of `metadata`. Raises DataError where no clip has a label."""
        if not (metadata.labels >= 0).any():
            raise DataError(
                "relation: labels: none of the clips has a label. Name the column that holds them "
                "(data.label), or take a relation that needs none: time, views."
            )
        return LabelRelation(metadata.labels)


@dataclass(frozen=True)
class LabelRelation:
    """Fills `Pairs` from one class number a clip.

    Two draws of one clip are alike, even of the very same window: where a small class is filled up by
    repeating its clips they are all the company there is, and augmentation bends them apart.
    """

    labels: Ints
    kind: ClassVar[str] = "labels"

    def __call__(self, indices: BatchIndices) -> Pairs:
        """(B, B) cells of a batch; `pairs.labels` is set where each of its items has a label."""
        return Pairs.from_labels(torch.from_numpy(self.labels[indices.rows]))


# Two views of one clip are alike; everything else is unlike. No knowledge is needed.


class Views(BaseRelationSettings):
    """Drawn from the same clip: alike. From another clip: unlike."""

    kind: Literal["views"] = "views"

    of_views: ClassVar[bool] = True

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "ViewRelation":
        """The relation; it asks nothing of `metadata`."""
        return ViewRelation()


@dataclass(frozen=True)
class ViewRelation:
    """Fills `Pairs` from row numbers alone.

    The very same window drawn twice is alike: augmentation makes two views of it.
    """

    kind: ClassVar[str] = "views"

    def __call__(self, indices: BatchIndices) -> Pairs:
        """(B, B) cells of a batch."""
        rows = torch.from_numpy(indices.rows)
        same = rows[:, None] == rows[None, :]
        negative = ~same
        return Pairs(same.fill_diagonal_(False), negative)


# Tags that mean the same are made one tag before any two clips are compared.

Synonyms = tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...]
"""Groups of tag names that mean the same, as in `[[vocal, vocals, voice], [beat, beats]]`."""


def merge_synonyms(
    tags: Bools, names: Sequence[str], synonyms: Synonyms, where: str
) -> tuple[Bools, tuple[str, ...]]:
    """Tags (N, K) and their K names with each group made one column, under the group's first name.

    A clip has the merged tag where it has any of the group. Raises RequestError, with `where` in front,
    for a name that is not among the tags and for a name that stands in two groups.
    """
    filled = fill_synonyms(tags, names, synonyms, where)
    kept = _kept(names, synonyms)
    return np.ascontiguousarray(filled[:, kept]), tuple(names[position] for position in kept)


def fill_synonyms(tags: Bools, names: Sequence[str], synonyms: Synonyms, where: str) -> Bools:
    """(N, K) tags with every tag of a group set where any of the group is; errors as in `merge_synonyms`."""
    _check(names, synonyms, where)
    filled = tags.copy()
    for group in synonyms:
        columns = [names.index(name) for name in group]
        filled[:, columns] = tags[:, columns].any(axis=1, keepdims=True)
    return filled


def merge_scores(scores: Floats, names: Sequence[str], synonyms: Synonyms) -> Floats:
    """Scores (N, K) in the columns that `merge_synonyms` leaves: each group has its highest score."""
    merged = scores.copy()
    for group in synonyms:
        columns = [names.index(name) for name in group]
        merged[:, columns[0]] = scores[:, columns].max(axis=1)
    return merged[:, _kept(names, synonyms)]


def _kept(names: Sequence[str], synonyms: Synonyms) -> list[int]:
    """Positions of the tags that stand for themselves or for their group."""
    gone = {name for _, *others in synonyms for name in others}
    return [position for position, name in enumerate(names) if name not in gone]


def _check(names: Sequence[str], synonyms: Synonyms, where: str) -> None:
    known = set(names)
    for name, times in Counter(name for group in synonyms for name in group).items():
        if name not in known:
            raise RequestError(f"{where}: synonyms: no tag is called {name!r}. {choose(name, names)}")
        if times > 1:
            raise RequestError(
                f"{where}: synonyms: the tag {name!r} is listed {times} times. "
                "Name it once; groups that share a tag are one group."
            )


# Clips are alike when they share enough tags.


class Tags(BaseRelationSettings):
    """Enough tags in common: alike. None in common: unlike. Clips without tags take no part."""

    kind: Literal["tags"] = "tags"
    at_least: int = Field(1, ge=1)
    """Tags that two clips must share to be alike."""
    jaccard: float | None = Field(None, gt=0, le=1)
    """Overlap (shared tags divided by all tags of the two) that alike clips must reach as well."""
    negatives: Literal["none_shared", "not_alike"] = "none_shared"
    """Who is unlike: clips that share no tag, or every two clips that are not alike."""
    pair_weight: Literal["one", "jaccard"] = "one"
    """How alike two alike clips are: all the same, or as much as their tags overlap."""
    weights: Literal["equal", "idf"] = "equal"
    """What a tag weighs in the overlap: all the same, or rare tags more (inverse document frequency)."""
    synonyms: Synonyms = ()
    """Groups of tags that mean the same; each group counts as one tag."""

    gives: ClassVar[frozenset[Literal["labels", "tags"]]] = frozenset({"tags"})
    validate_by: ClassVar[Literal["labels", "tags", "triplets"]] = "tags"

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "TagRelation":
        """The relation over the clips of `metadata`; the rarity of a tag is counted in `rows`, or in all.

        A run gives the rows of train: how tags fall in test is not known while training. Raises DataError
        where no clip has a tag, RequestError for a synonym that is no tag.
        """
        if not metadata.tags.any():
            raise DataError(
                "relation: tags: none of the clips has a tag. Name the column that holds them (data.tags), "
                "or take another relation: labels, time, views."
            )
        tags, _ = merge_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "relation")
        counted = tags if rows is None else tags[rows]
        weights = rarity(counted) if self.weights == "idf" else torch.ones(tags.shape[1])
        truth = fill_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "relation")
        return TagRelation(tags, weights, truth, self)

    def compared_tags(self, metadata: ClipMetadata) -> tuple[Bools, tuple[str, ...]]:
        """Tags (N, K) and K names, synonyms merged."""
        return merge_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "relation")

    def tag_shares(self, metadata: ClipMetadata, rows: Ints) -> Tensor:
        """(K,) share (0..1) of the tagged clips among `rows` that have each tag, synonyms filled in."""
        return self.build(metadata, rows).shares(rows)


@dataclass(frozen=True)
class TagRelation:
    """Fills `Pairs` from the tags that two clips share; a clip is never unlike itself.

    It also hands on each clip's tags, for losses that read those.
    """

    tags: Bools
    """(N, K), synonyms merged."""
    weights: Tensor
    """(K,) positive."""
    truth: Bools
    """(N, all tags), synonyms set wherever one of them is."""
    settings: Tags
    kind: ClassVar[str] = "tags"

    def __call__(self, indices: BatchIndices) -> Pairs:
        """(B, B) cells of a batch; `weight`, where asked for, is 0 outside `positive`.

        `tags` has a column for every tag of the collection, and NaN in the rows of clips without tags.
        """
        has = torch.from_numpy(heard(self.tags, indices)).float()
        tagged = has.any(dim=1)
        both = tagged[:, None] & tagged[None, :]
        shared = has @ has.T
        positive = (shared >= self.settings.at_least) & both
        overlap = jaccard(has, self.weights)
        if self.settings.jaccard is not None:
            positive &= overlap >= self.settings.jaccard - 1e-6  # 1/3 typed as 0.333333 is meant
        positive.fill_diagonal_(False)
        apart = shared == 0 if self.settings.negatives == "none_shared" else ~positive
        negative = apart & both & ~torch.from_numpy(shares_a_clip(indices))
        weight = overlap * positive if self.settings.pair_weight == "jaccard" else None
        truth = torch.from_numpy(heard(self.truth, indices)).float()
        return Pairs(positive, negative, weight, tags=truth.where(tagged[:, None], torch.nan))

    def shares(self, rows: Ints) -> Tensor:
        """(K,) share (0..1) of the tagged clips among `rows` that have each tag of the collection."""
        truth = self.truth[rows]
        tagged = truth[truth.any(axis=1)]
        return torch.from_numpy(tagged.sum(axis=0) / max(1, len(tagged))).float()


def heard(tags: Bools, indices: BatchIndices) -> Bools:
    """(B, K) the tags (N, K) of each window of a draw; where two clips sound together, those of both.

    A clip without tags may have any: what is heard of it and another is not known, and has no tags either.
    """
    own = tags[indices.rows]
    if indices.partner is None:
        return own
    others = tags[indices.partner.rows]
    known = np.asarray(own.any(axis=1) & others.any(axis=1))
    return np.where(indices.partner.rows[:, None] >= 0, (own | others) & known[:, None], own)


def shares_a_clip(indices: BatchIndices) -> Bools:
    """(B, B) whether a clip of one window of a draw is also heard in the other."""
    rows = indices.rows
    if indices.partner is None:
        return np.asarray(rows[:, None] == rows)
    partner = np.where(indices.partner.rows < 0, rows, indices.partner.rows)
    both = np.stack([rows, partner])
    return np.asarray((both[:, None, :, None] == both[None, :, None, :]).any(axis=(0, 1)))


def jaccard(has: Tensor, weights: Tensor) -> Tensor:
    """Overlap (B, B) in 0..1 of tag sets (B, K) of zeros and ones: weight shared by weight of the union.

    0 for two empty sets. Jaccard, Bulletin de la Société Vaudoise des Sciences Naturelles 37 (1901).
    """
    shared = (has * weights) @ has.T
    each = has @ weights
    union = each[:, None] + each[None, :] - shared
    return torch.where(union > 0, shared / union, 0.0).clamp(0, 1)


def rarity(tags: Bools) -> Tensor:
    """(K,) smoothed inverse document frequency, ln((1 + N) / (1 + n)) + 1, over the N clips that have tags.

    n is the number of clips with the tag. Spärck Jones, Journal of Documentation 28 (1972); smoothed so that
    a tag which every clip has still weighs 1.
    """
    tagged = int(tags.any(axis=1).sum())
    return torch.from_numpy(np.log((1 + tagged) / (1 + tags.sum(axis=0))) + 1).float()
