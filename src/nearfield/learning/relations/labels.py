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

# Clips are positives if they have the same label.


class Labels(BaseRelationSettings):
    """Clips with the same label are positives, clips with different labels negatives. Clips without a label
    are ignored."""

    kind: Literal["labels"] = "labels"

    gives: ClassVar[frozenset[Literal["labels", "tags"]]] = frozenset({"labels"})
    validate_by: ClassVar[Literal["labels", "tags", "triplets"]] = "labels"

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "LabelRelation":
        """Creates the relation over the clips of `metadata`. Raises DataError if no clip has a label."""
        if not (metadata.labels >= 0).any():
            raise DataError(
                "relation: labels: none of the clips has a label. Name the column with the labels "
                "(data.label), or use a relation that needs none: time, views."
            )
        return LabelRelation(metadata.labels)


@dataclass(frozen=True)
class LabelRelation:
    """Creates `Pairs` from one class number per clip.

    Two windows of one clip are positives, even at the same position: if a sampler repeats the clips of a
    small class, these are its only positives, and augmentation makes them differ.
    """

    labels: Ints
    kind: ClassVar[str] = "labels"

    def __call__(self, indices: BatchIndices) -> Pairs:
        """Returns the pairs of a batch; `pairs.labels` is set if every item has a label."""
        return Pairs.from_labels(torch.from_numpy(self.labels[indices.rows]))


# Two views of one clip are positives, all other pairs negatives. No metadata is needed.


class Views(BaseRelationSettings):
    """Windows of the same clip are positives, windows of different clips negatives."""

    kind: Literal["views"] = "views"

    of_views: ClassVar[bool] = True

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "ViewRelation":
        """Creates the relation; it does not use `metadata`."""
        return ViewRelation()


@dataclass(frozen=True)
class ViewRelation:
    """Creates `Pairs` from row numbers.

    A window that occurs twice is a positive of itself: augmentation makes two views of it.
    """

    kind: ClassVar[str] = "views"

    def __call__(self, indices: BatchIndices) -> Pairs:
        """Returns the pairs of a batch."""
        rows = torch.from_numpy(indices.rows)
        same = rows[:, None] == rows[None, :]
        negative = ~same
        return Pairs(same.fill_diagonal_(False), negative)


# Synonymous tags are merged before clips are compared.

Synonyms = tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...]
"""Groups of tag names that mean the same, as in `[[vocal, vocals, voice], [beat, beats]]`."""


def merge_synonyms(
    tags: Bools, names: Sequence[str], synonyms: Synonyms, where: str
) -> tuple[Bools, tuple[str, ...]]:
    """Merges each group of synonyms into one column, under the first name of the group.

    A clip has the merged tag if it has any tag of the group.

    Parameters
    ----------
    tags
        (N, K) tags of the clips.
    names
        The K names.
    synonyms
        Groups of names that mean the same.
    where
        Key named in errors.

    Returns
    -------
    tuple
        (N, M) merged tags, and their M names.

    Raises
    ------
    RequestError
        If a name is not a tag, or occurs in two groups.
    """
    filled = fill_synonyms(tags, names, synonyms, where)
    kept = _kept(names, synonyms)
    return np.ascontiguousarray(filled[:, kept]), tuple(names[position] for position in kept)


def fill_synonyms(tags: Bools, names: Sequence[str], synonyms: Synonyms, where: str) -> Bools:
    """Returns (N, K) tags where a clip with any tag of a group has all; see `merge_synonyms` for errors."""
    _check(names, synonyms, where)
    filled = tags.copy()
    for group in synonyms:
        columns = [names.index(name) for name in group]
        filled[:, columns] = tags[:, columns].any(axis=1, keepdims=True)
    return filled


def merge_scores(scores: Floats, names: Sequence[str], synonyms: Synonyms) -> Floats:
    """Merges the columns of scores (N, K) like `merge_synonyms`: each group gets its highest score."""
    merged = scores.copy()
    for group in synonyms:
        columns = [names.index(name) for name in group]
        merged[:, columns[0]] = scores[:, columns].max(axis=1)
    return merged[:, _kept(names, synonyms)]


def _kept(names: Sequence[str], synonyms: Synonyms) -> list[int]:
    """Returns the positions of the tags that remain: ungrouped tags and the first of each group."""
    gone = {name for _, *others in synonyms for name in others}
    return [position for position, name in enumerate(names) if name not in gone]


def _check(names: Sequence[str], synonyms: Synonyms, where: str) -> None:
    known = set(names)
    for name, times in Counter(name for group in synonyms for name in group).items():
        if name not in known:
            raise RequestError(f"{where}: synonyms: no tag has the name {name!r}. {choose(name, names)}")
        if times > 1:
            raise RequestError(
                f"{where}: synonyms: the tag {name!r} is listed {times} times. "
                "List it once, and join groups that share a tag."
            )


# Clips are positives if they share enough tags.


class Tags(BaseRelationSettings):
    """Clips that share enough tags are positives, clips that share none negatives. Clips without tags are
    ignored."""

    kind: Literal["tags"] = "tags"
    at_least: int = Field(1, ge=1)
    """Number of tags that two clips must share to be positives."""
    jaccard: float | None = Field(None, gt=0, le=1)
    """Smallest overlap of positives (shared tags divided by all tags of the two clips), in addition to
    at_least; none: no further condition."""
    negatives: Literal["none_shared", "not_alike"] = "none_shared"
    """Which clips are negatives: clips that share no tag (none_shared), or all that are not positives
    (not_alike)."""
    pair_weight: Literal["one", "jaccard"] = "one"
    """Weight of a positive pair in the loss: 1, or the overlap of the tags."""
    weights: Literal["equal", "idf"] = "equal"
    """Weight of a tag in the overlap: the same for all tags, or larger for rare tags (inverse document
    frequency)."""
    synonyms: Synonyms = ()
    """Groups of tags that mean the same; each group counts as one tag."""

    gives: ClassVar[frozenset[Literal["labels", "tags"]]] = frozenset({"tags"})
    validate_by: ClassVar[Literal["labels", "tags", "triplets"]] = "tags"

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "TagRelation":
        """Creates the relation over the clips of `metadata`; tag frequencies are computed from `rows`, or
        all.

        A run passes the rows of train, so that training does not use the frequencies in test. Raises
        DataError if no clip has a tag, and RequestError if a synonym is not a tag.
        """
        if not metadata.tags.any():
            raise DataError(
                "relation: tags: none of the clips has a tag. Name the column with the tags (data.tags), "
                "or use another relation: labels, time, views."
            )
        tags, _ = merge_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "relation")
        counted = tags if rows is None else tags[rows]
        weights = rarity(counted) if self.weights == "idf" else torch.ones(tags.shape[1])
        truth = fill_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "relation")
        return TagRelation(tags, weights, truth, self)

    def compared_tags(self, metadata: ClipMetadata) -> tuple[Bools, tuple[str, ...]]:
        """Returns tags (N, K) and their K names, with synonyms merged."""
        return merge_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "relation")

    def tag_shares(self, metadata: ClipMetadata, rows: Ints) -> Tensor:
        """Returns (K,) the fraction of the tagged clips among `rows` with each tag or a synonym of it."""
        return self.build(metadata, rows).shares(rows)


@dataclass(frozen=True)
class TagRelation:
    """Creates `Pairs` from the tags that two clips share; windows of one clip are never negatives.

    The pairs also contain the tags of each clip, for tagging losses.
    """

    tags: Bools
    """(N, K), synonyms merged."""
    weights: Tensor
    """(K,) positive."""
    truth: Bools
    """(N, all tags); a clip with one tag of a group of synonyms has all of them."""
    settings: Tags
    kind: ClassVar[str] = "tags"

    def __call__(self, indices: BatchIndices) -> Pairs:
        """Returns the pairs of a batch; `weight`, with `pair_weight: jaccard`, is 0 outside `positive`.

        `tags` has a column for every tag of the collection; the rows of clips without tags are NaN.
        """
        has = torch.from_numpy(window_tags(self.tags, indices)).float()
        tagged = has.any(dim=1)
        both = tagged[:, None] & tagged[None, :]
        shared = has @ has.T
        positive = (shared >= self.settings.at_least) & both
        overlap = jaccard(has, self.weights)
        if self.settings.jaccard is not None:
            positive &= overlap >= self.settings.jaccard - 1e-6  # a user writes 1/3 as 0.333333
        positive.fill_diagonal_(False)
        apart = shared == 0 if self.settings.negatives == "none_shared" else ~positive
        negative = apart & both & ~torch.from_numpy(shares_a_clip(indices))
        weight = overlap * positive if self.settings.pair_weight == "jaccard" else None
        truth = torch.from_numpy(window_tags(self.truth, indices)).float()
        return Pairs(positive, negative, weight, tags=truth.where(tagged[:, None], torch.nan))

    def shares(self, rows: Ints) -> Tensor:
        """Returns (K,) the fraction of the tagged clips among `rows` with each tag of the collection."""
        truth = self.truth[rows]
        tagged = truth[truth.any(axis=1)]
        return torch.from_numpy(tagged.sum(axis=0) / max(1, len(tagged))).float()


def window_tags(tags: Bools, indices: BatchIndices) -> Bools:
    """Returns (B, K) the tags of each window of a batch, from tags (N, K); a mixture has the tags of both.

    The tags of a clip without any are unknown, so a mixture with it has no tags either.
    """
    own = tags[indices.rows]
    if indices.partner is None:
        return own
    others = tags[indices.partner.rows]
    known = np.asarray(own.any(axis=1) & others.any(axis=1))
    return np.where(indices.partner.rows[:, None] >= 0, (own | others) & known[:, None], own)


def shares_a_clip(indices: BatchIndices) -> Bools:
    """Returns (B, B) whether two windows of a batch contain the same clip, alone or in a mixture."""
    rows = indices.rows
    if indices.partner is None:
        return np.asarray(rows[:, None] == rows)
    partner = np.where(indices.partner.rows < 0, rows, indices.partner.rows)
    both = np.stack([rows, partner])
    return np.asarray((both[:, None, :, None] == both[None, :, None, :]).any(axis=(0, 1)))


def jaccard(has: Tensor, weights: Tensor) -> Tensor:
    """Computes the overlap (B, B) of tag sets (B, K): weight of the shared tags over weight of the union.

    0..1; 0 for two empty sets. `has` contains zeros and ones, `weights` (K,) are positive. Jaccard, Bulletin
    de la Société Vaudoise des Sciences Naturelles 37 (1901).
    """
    shared = (has * weights) @ has.T
    each = has @ weights
    union = each[:, None] + each[None, :] - shared
    return torch.where(union > 0, shared / union, 0.0).clamp(0, 1)


def rarity(tags: Bools) -> Tensor:
    """Computes (K,) the smoothed inverse document frequency, ln((1 + N) / (1 + n)) + 1, of tags (clips, K).

    N is the number of clips with tags, n that of clips with the tag. Spärck Jones, Journal of Documentation
    28 (1972); with the smoothing, a tag of every clip has weight 1.
    """
    tagged = int(tags.any(axis=1).sum())
    return torch.from_numpy(np.log((1 + tagged) / (1 + tags.sum(axis=0))) + 1).float()
