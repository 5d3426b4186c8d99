"""Sampler of triplets by tags: an anchor, a clip that shares a tag with it, and a clip without that tag."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field

from nearfield.core.errors import DataError, RequestError
from nearfield.core.rng import stream
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Floats, Ints, Pairs
from nearfield.learning.relations.labels import Synonyms, merge_scores, merge_synonyms
from nearfield.learning.samplers.base import BaseSamplerSettings, CutOrder, TripletChoice, samplers_without
from nearfield.learning.samplers.batches import cut, random_starts, rejection_sample

# Tags of clips as bits, and random draws among clips that share no tag with an anchor.


class Triplets(NamedTuple):
    """The triplets of one epoch; all arrays are (T,)."""

    tags: Ints
    """Number of the tag by which the positive was drawn, with synonyms merged."""
    anchors: Ints
    """Row numbers, or positions among the clips with tags if returned by a rule; also of the next two."""
    positives: Ints
    negatives: Ints


def packed(tags: Bools) -> Ints:
    """Packs tags (N, K) into bits, (N, words) of 64; two clips share a tag if `&` of their words is not 0."""
    bits = np.packbits(tags, axis=1)
    padding = -bits.shape[1] % 8
    return np.ascontiguousarray(np.pad(bits, ((0, 0), (0, padding)))).view(np.int64)


def apart(some: Ints, others: Ints) -> Bools:
    """Returns (B,) whether two clips share no tag, from their packed tags (B, words)."""
    found: Bools = (some & others == 0).all(axis=1)
    return found


def disjoint(anchors: Ints, words: Ints, rng: np.random.Generator) -> Ints:
    """Draws for each anchor (packed tags) a clip that shares no tag with it, uniformly; -1 if there is
    none."""
    count = len(words)
    if np.bitwise_and.reduce(words, axis=0).any():  # every clip has a common tag, so there is none
        return np.full(len(anchors), -1, dtype=np.int64)

    def draw(some: Ints) -> Ints:
        return rng.integers(count, size=len(some))

    def allowed(some: Ints, drawn: Ints) -> Bools:
        return apart(anchors[some], words[drawn])

    return rejection_sample(len(anchors), draw, allowed, count, rng)


# The rule by tag: draws a tag uniformly, two clips that have it, and one that does not.


@dataclass(frozen=True)
class ByTag:
    """Draws triplets by tag among N clips with tags."""

    words: Ints
    """(N, words) packed tags."""
    guard: bool
    """Whether negatives share no tag with their anchor."""
    members: Ints
    """Clips of each tag, tag after tag, ascending within a tag."""
    begins: Ints
    """(K,) first position of each tag in `members`."""
    sizes: Ints
    """(K,) number of clips with each tag."""
    lacking: Ints
    """For each member, tag * (clips + 1) + the number of clips before it without the tag; ascending."""
    anchors: Ints
    """Positions in `members` of the clips that can be anchors, tag after tag."""
    anchor_begins: Ints
    """(K,) first position of each tag in `anchors`."""
    anchor_sizes: Ints
    """(K,) number of anchors of each tag."""
    usable: Ints
    """Tags that have triplets."""

    @classmethod
    def of(cls, tags: Bools, guard: bool, rng: np.random.Generator) -> "ByTag":
        """Creates the rule for clips with tags (N, K); `rng` is used to find clips that share a tag with
        all."""
        words = packed(tags)
        can = np.ones(len(tags), dtype=np.bool_)
        if guard:
            can = disjoint(words, words, rng) >= 0
        which, members = np.nonzero(tags.T)
        sizes = tags.sum(axis=0)
        anchors = np.flatnonzero(can[members])
        anchor_sizes = np.bincount(which[anchors], minlength=tags.shape[1])
        usable = np.flatnonzero((sizes >= 2) & (sizes < len(tags)) & (anchor_sizes > 0))
        begins, anchor_begins = np.cumsum(sizes) - sizes, np.cumsum(anchor_sizes) - anchor_sizes
        lacking = which * (len(tags) + 1) + members - (np.arange(len(members)) - begins[which])
        return cls(
            words, guard, members, begins, sizes, lacking, anchors, anchor_begins, anchor_sizes, usable
        )

    @property
    def count(self) -> int:
        """Number of triplets in an epoch: that of the clips."""
        return len(self.words) if len(self.usable) else 0

    def draw(self, rng: np.random.Generator) -> Triplets:
        """Draws the triplets of one epoch."""
        tags = self.usable[rng.integers(len(self.usable), size=self.count)]
        anchor = self.anchors[self.anchor_begins[tags] + rng.integers(self.anchor_sizes[tags])]
        other = self.begins[tags] + rng.integers(self.sizes[tags] - 1)
        other += other >= anchor
        anchors, positives = self.members[anchor], self.members[other]
        if self.guard:
            return Triplets(tags, anchors, positives, disjoint(self.words[anchors], self.words, rng))
        return Triplets(tags, anchors, positives, self._without(tags, rng))

    def describe(self) -> str:
        """Describes from what the triplets are drawn."""
        return f"over {len(self.usable)} tags"

    def _without(self, tags: Ints, rng: np.random.Generator) -> Ints:
        """Draws for each of `tags` a clip without it, uniformly.

        The r-th clip without a tag is at position r plus the number of clips with the tag before it, which
        are those with at most r clips without the tag before them. One search over the lists of all tags
        finds it."""
        clips = len(self.words)
        drawn = rng.integers(clips - self.sizes[tags])
        found = np.searchsorted(self.lacking, tags * (clips + 1) + drawn, "right")
        return drawn + found - self.begins[tags]


# Rules that use the predictions of an earlier tagger: its most and least probable tags, or its errors.
#
# Both draw every usable clip as an anchor once per epoch, then a tag for the positive and a tag for the
# negative, uniformly, then a clip with the tag, uniformly. Positives and negatives are drawn by their true
# tags; predictions are used for anchors only.

_BLOCK = 1024  # number of clips compared with all others at a time


@dataclass(frozen=True)
class ByPrediction:
    """Draws triplets by the predictions of a tagger: the tags for each of A anchors among N clips with
    tags."""

    words: Ints
    """(N, words) packed tags."""
    tags: Bools
    """(N, K) true tags."""
    guard: bool
    """Whether negatives share no tag with their anchor."""
    anchors: Ints
    """(A,) clips."""
    near: Bools
    """(A, K) tags by which the positive can be drawn; another clip has each."""
    far: Bools
    """(A, K) tags by which the negative can be drawn; two other clips have each, as one may be the
    positive."""
    unpredicted: int
    """Number of clips that are no anchors because they have no predictions."""
    unfit: int
    """Number of clips that are no anchors because no tag is possible for their positive or negative."""

    @classmethod
    def extreme(cls, tags: Bools, predictions: Floats, guard: bool) -> Self:
        """Creates the rule by the most probable tag (positive) and the least probable tag (negative) of the
        anchor.

        Among equal predictions, the first tag is used. Such triplets are easy, and soon all have loss 0.
        """
        scores = np.nan_to_num(predictions)
        near, far = np.zeros_like(tags), np.zeros_like(tags)
        np.put_along_axis(near, scores.argmax(axis=1)[:, None], True, axis=1)
        np.put_along_axis(far, scores.argmin(axis=1)[:, None], True, axis=1)
        return cls._of(tags, predictions, near & ~far, far & ~near, guard)

    @classmethod
    def errors(cls, tags: Bools, predictions: Floats, top: int, guard: bool) -> Self:
        """Creates the rule by errors: positives have a tag of the anchor that the tagger missed, negatives a
        tag that
        it predicted wrongly.

        Without `guard`, a negative may share true tags with its anchor, even the tag of the positive.
        """
        missed, wrong = mistakes(tags, predictions, top)
        return cls._of(tags, predictions, missed, wrong, guard)

    @classmethod
    def _of(cls, tags: Bools, predictions: Floats, near: Bools, far: Bools, guard: bool) -> Self:
        predicted = ~np.isnan(predictions).any(axis=1)
        others = tags.sum(axis=0) - tags
        near = near & (others >= 1)
        far = far & (others >= 2)
        fit = near.any(axis=1) & far.any(axis=1)
        if guard:
            candidates = np.flatnonzero(predicted & fit)
            far[candidates] &= disjoint_counts(tags[candidates], tags) >= 2
            fit = near.any(axis=1) & far.any(axis=1)
        chosen = np.flatnonzero(predicted & fit)
        unpredicted, unfit = int((~predicted).sum()), int((predicted & ~fit).sum())
        return cls(packed(tags), tags, guard, chosen, near[chosen], far[chosen], unpredicted, unfit)

    @property
    def usable(self) -> Ints:
        """Tags of two or more clips."""
        return np.flatnonzero(self.tags.sum(axis=0) >= 2)

    @property
    def count(self) -> int:
        """Number of triplets in an epoch: one per anchor."""
        return len(self.anchors)

    def draw(self, rng: np.random.Generator) -> Triplets:
        """Draws the triplets of one epoch."""
        order = rng.permutation(self.count)
        anchors = self.anchors[order]
        tags, against = pick(self.near[order], rng), pick(self.far[order], rng)
        positives = clips_with(tags, self.tags, anchors[:, None], None, self.words, rng)
        taken = np.stack([anchors, positives], axis=1)
        disjoint_from = anchors if self.guard else None
        negatives = clips_with(against, self.tags, taken, disjoint_from, self.words, rng)
        return Triplets(tags, anchors, positives, negatives)

    def describe(self) -> str:
        """Describes the anchors."""
        return (
            f"over {self.count} anchors ({self.unpredicted} clips without predictions left out, {self.unfit} "
            "without a tag for the positive or for the negative)"
        )


def mistakes(tags: Bools, predictions: Floats, top: int) -> tuple[Bools, Bools]:
    """Computes the errors of a tagger that predicts the `top` most probable tags; among equals, the first.

    Returns
    -------
    tuple
        (N, K) tags of each clip that it missed, and (N, K) tags that it predicted wrongly.
    """
    order = np.argsort(-np.nan_to_num(predictions), axis=1, kind="stable")[:, :top]
    predicted = np.zeros_like(tags)
    np.put_along_axis(predicted, order, True, axis=1)
    return tags & ~predicted, predicted & ~tags


def clips_with(
    tags: Ints, has: Bools, taken: Ints, disjoint_from: Ints | None, words: Ints, rng: np.random.Generator
) -> Ints:
    """Draws (A,) one clip with each of `tags` (A,), uniformly.

    Parameters
    ----------
    tags
        (A,) tags.
    has
        (N, K) tags of the clips.
    taken
        (A, n) clips that must not be drawn.
    disjoint_from
        (A,) clips with which the drawn clip must share no tag; None: no such condition.
    words
        (N, words) packed tags of the clips.
    rng
        Generator of the draw.
    """
    _, members = np.nonzero(has.T)
    sizes = has.sum(axis=0)
    begins = np.cumsum(sizes) - sizes

    def draw(some: Ints) -> Ints:
        drawn: Ints = members[begins[tags[some]] + rng.integers(sizes[tags[some]])]
        return drawn

    def allowed(some: Ints, drawn: Ints) -> Bools:
        good: Bools = has[drawn, tags[some]] & (taken[some] != drawn[:, None]).all(axis=1)
        if disjoint_from is not None:
            good &= apart(words[disjoint_from[some]], words[drawn])
        return good

    return rejection_sample(len(tags), draw, allowed, len(has), rng)


def disjoint_counts(some: Bools, tags: Bools) -> Ints:
    """Counts, for each clip of `some` (A, K), the clips with each tag among those that share no tag with it,
    (A, K)."""
    has, counts = tags.astype(np.float32), np.zeros(some.shape, dtype=np.int64)
    for start in range(0, len(some), _BLOCK):
        part = slice(start, start + _BLOCK)
        is_disjoint = some[part].astype(np.float32) @ has.T == 0
        counts[part] = is_disjoint.astype(np.float32) @ has
    return counts


def pick(choices: Bools, rng: np.random.Generator) -> Ints:
    """Draws (A,) one of the True columns of each row of (A, K), uniformly."""
    picked: Ints = np.where(choices, rng.random(choices.shape), -1.0).argmax(axis=1)
    return picked


# Triplets by tag, where errors of an earlier tagger replace the positive or the negative.
#
# As in a homework of GCT634 (KAIST, 2021): if the tagger missed a tag of the anchor, the positive becomes a
# clip with this tag; if it predicted a tag wrongly, the negative becomes a clip with that tag. Otherwise,
# positive and negative remain as drawn by the rule by tag.


@dataclass(frozen=True)
class Replacing:
    """Draws triplets by tag among N clips with tags, then replaces positives and negatives by errors of a
    tagger."""

    by_tag: ByTag
    tags: Bools
    """(N, K) true tags."""
    missed: Bools
    """(N, K) missed tags by which the positive can be replaced; two other clips have each."""
    wrong: Bools
    """(N, K) wrong tags by which the negative can be replaced; two other clips have each."""
    unpredicted: int
    """Number of clips without predictions."""

    @classmethod
    def of(cls, tags: Bools, predictions: Floats, top: int, guard: bool, rng: np.random.Generator) -> Self:
        """Creates the rule for clips with tags (N, K) and predictions (N, K), NaN without; `rng` as in
        `ByTag.of`."""
        predicted = np.asarray(np.isfinite(predictions).all(axis=1))
        missed, wrong = (
            found & predicted[:, None] & (tags.sum(axis=0) - tags >= 2)
            for found in mistakes(tags, predictions, top)
        )
        if guard:
            wrong &= disjoint_counts(tags, tags) >= 2
        return cls(ByTag.of(tags, guard, rng), tags, missed, wrong, int((~predicted).sum()))

    @property
    def words(self) -> Ints:
        """(N, words) packed tags."""
        return self.by_tag.words

    @property
    def usable(self) -> Ints:
        """Tags that have triplets."""
        return self.by_tag.usable

    @property
    def count(self) -> int:
        """Number of triplets in an epoch: that of the clips; 0 if there are no errors."""
        return self.by_tag.count if self.missed.any() or self.wrong.any() else 0

    def draw(self, rng: np.random.Generator) -> Triplets:
        """Draws the triplets of one epoch."""
        tags, anchors, positives, negatives = (part.copy() for part in self.by_tag.draw(rng))
        at = np.flatnonzero(self.missed[anchors].any(axis=1))
        tags[at] = pick(self.missed[anchors[at]], rng)
        taken = np.stack([anchors[at], negatives[at]], axis=1)
        positives[at] = clips_with(tags[at], self.tags, taken, None, self.words, rng)
        at = np.flatnonzero(self.wrong[anchors].any(axis=1))
        against = pick(self.wrong[anchors[at]], rng)
        taken = np.stack([anchors[at], positives[at]], axis=1)
        disjoint_from = anchors[at] if self.by_tag.guard else None
        negatives[at] = clips_with(against, self.tags, taken, disjoint_from, self.words, rng)
        return Triplets(tags, anchors, positives, negatives)

    def describe(self) -> str:
        """Describes from what the triplets are drawn, and how many are changed by errors."""
        near, far = (int(found.any(axis=1).sum()) for found in (self.missed, self.wrong))
        return (
            f"{self.by_tag.describe()}; errors of the tagger replace the positive of {near} and the negative "
            f"of {far} of {len(self.tags)} clips ({self.unpredicted} without predictions)"
        )


# The sampler.

Rule = ByTag | ByPrediction | Replacing


class TagTriplets(BaseSamplerSettings):
    """Triplets by tag: draws a tag uniformly, two clips with it, and one without. Clips without tags are left
    out.

    An epoch has as many triplets as there are clips. Without `guard`, the negative lacks that tag, but may
    share others with the anchor. Two other rules use the predictions of an earlier tagger."""

    kind: Literal["tag_triplets"] = "tag_triplets"
    batch_size: int = Field(32, ge=1)
    """Number of triplets per batch; 1 or more."""
    rule: Literal["tag", "extreme", "errors"] = "tag"
    """How positive and negative are drawn: by a random tag (tag); by the most and the least probable tag of
    the anchor, predicted by a tagger (extreme); or by errors of the tagger, a tag of the anchor that it
    missed and a tag that it predicted wrongly (errors)."""
    tagger: str | None = None
    """Folder of a run with a tagging loss, whose predictions the rules extreme and errors use; preferably one
    that was
    trained on other clips."""
    top: int = Field(5, ge=1)
    """With the rule errors: number of most probable tags that count as predicted; 1 or more."""
    keep_right: bool = True
    """With the rule errors: whether triplets are drawn by a random tag, and errors replace the positive or
    the negative; if not, only clips with both kinds of errors are anchors."""
    guard: bool = False
    """Whether the negative must share no tag with the anchor."""
    synonyms: Synonyms = ()
    """Groups of tags that mean the same; each group is one tag."""

    needs: ClassVar[Literal["labels", "tags", "time"] | None] = "tags"

    @property
    def sets_pairs(self) -> bool:
        """True, because it draws triplets."""
        return True

    @property
    def asked_run(self) -> str | None:
        """Folder of the tagger."""
        return self.tagger

    def windows(self) -> int:
        """Returns the number of windows per batch, three per triplet."""
        return 3 * self.batch_size

    def drawn_tags(self, metadata: ClipMetadata) -> tuple[Bools, tuple[str, ...]]:
        """Returns tags (N, K) and their K names, with synonyms merged."""
        return merge_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "sampler")

    def build(
        self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int
    ) -> "TagTripletSampler":
        """Creates the sampler over `rows`.

        Raises DataError if no triplet is possible, and RequestError if the rule needs predictions without a
        tagger.
        """
        tags, names = self.drawn_tags(metadata)
        tagged = rows[tags[rows].any(axis=1)]
        if not len(tagged):
            raise DataError(
                "sampler: tag_triplets: none of the clips to train on has a tag. Name the column with the "
                f"tags (data.tags), or use another sampler: {samplers_without('tags')}."
            )
        rng = stream(seed, "opposites")
        if self.rule == "tag":
            rule: Rule = ByTag.of(tags[tagged], self.guard, rng)
        else:
            rule = self._by_prediction(tags[tagged], self._predictions(metadata)[tagged], rng)
        if not rule.count:
            raise self._no_triplets(len(names))
        dropped = tuple(names[tag] for tag in np.setdiff1d(np.arange(len(names)), rule.usable))
        return TagTripletSampler(metadata, tagged, clip_seconds, seed, self, dropped, rule)

    def _by_prediction(
        self, tags: Bools, predictions: Floats, rng: np.random.Generator
    ) -> ByPrediction | Replacing:
        if self.rule == "extreme":
            return ByPrediction.extreme(tags, predictions, self.guard)
        if self.keep_right:
            return Replacing.of(tags, predictions, self.top, self.guard, rng)
        return ByPrediction.errors(tags, predictions, self.top, self.guard)

    def _predictions(self, metadata: ClipMetadata) -> Floats:
        if metadata.predictions is None:
            raise RequestError(
                f"sampler.rule: {self.rule!r} needs the predictions of a tagger, but sampler.tagger is not "
                "set. Set it to the folder of a run that was trained with loss bce or focal, or set "
                "sampler.rule to tag."
            )
        return merge_scores(metadata.predictions, metadata.tag_names, self.synonyms)

    def _no_triplets(self, tags: int) -> DataError:
        if self.rule != "tag":
            what = {
                "extreme": "most and least probable tags that other clips have",
                "errors": f"{'' if self.keep_right else 'both '}a tag that is not among the {self.top} most "
                f"probable {'or' if self.keep_right else 'and'} a wrong tag among these",
            }[self.rule]
            guarded = " Set sampler.guard to false, or" if self.guard else " Change sampler.top, or"
            return DataError(
                f"sampler: tag_triplets: rule {self.rule!r}: no clip has predictions and {what}.{guarded} "
                "set sampler.rule to tag."
            )
        third = "that shares none with one of them. Set sampler.guard to false" if self.guard else "without"
        return DataError(
            f"sampler: tag_triplets: none of {tags} tags has two clips with it and a third {third}."
        )


@dataclass(frozen=True)
class TagTripletSampler(CutOrder):
    """Draws all triplets of an epoch and cuts them into batches."""

    metadata: ClipMetadata
    rows: Ints
    """Rows of the clips with tags."""
    clip_seconds: float
    seed: int
    settings: TagTriplets
    dropped: tuple[str, ...]
    """Names of the tags without triplets."""
    rule: Rule

    @property
    def batch_size(self) -> int:
        """Number of windows per batch; the last of an epoch may have fewer, or one triplet more."""
        return 3 * self.settings.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """Number of windows in an epoch, three per triplet."""
        return 3 * self.rule.count

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """Yields the batches of epoch `number`: anchors, positives, negatives; `pairs` is set."""
        triplets = self.triplets(number)
        rng = stream(self.seed, "windows", number)
        for part in cut(np.arange(self.rule.count), self.settings.batch_size):
            rows = np.concatenate(
                [triplets.anchors[part], triplets.positives[part], triplets.negatives[part]]
            )
            places = torch.arange(len(part))
            pairs = Pairs.from_triplets(places, places + len(part), places + 2 * len(part), len(rows))
            yield BatchIndices(rows, random_starts(self.metadata, rows, self.clip_seconds, rng), pairs)

    def triplets(self, number: int) -> Triplets:
        """Returns the triplets of epoch `number` in the order of the batches, as row numbers."""
        tags, anchors, positives, negatives = self._places(number)
        return Triplets(tags, self.rows[anchors], self.rows[positives], self.rows[negatives])

    def shared_share(self, number: int) -> float:
        """Returns the fraction (0..1) of negatives in epoch `number` that share a tag with their anchor."""
        _, anchors, _, negatives = self._places(number)
        words = self.rule.words
        return 1.0 - float(apart(words[anchors], words[negatives]).mean())

    def describe(self) -> str:
        """Describes batches, epochs, tags left out, and how many negatives share a tag with their anchor."""
        line = (
            f"Batches of {self.batch_size} windows: {self.settings.batch_size} triplets. One epoch has "
            f"{self.clips_per_epoch:,} windows {self.rule.describe()}. {self.shared_share(0):.1%} of "
            "negatives share another tag with their anchor."
        )
        return line + (f" Tags without triplets: {', '.join(self.dropped)}." if self.dropped else "")

    def _places(self, number: int) -> Triplets:
        """Returns the triplets of epoch `number` as positions among the clips with tags."""
        return self.rule.draw(stream(self.seed, "batches", number))

    def choose(self, count: int) -> TripletChoice:
        """Returns the first triplets of the first epoch; with replacement by errors, the first changed
        ones."""
        rule, drawn = self.rule, self.triplets(0)
        source = f"Drawn by sampler.rule={self.settings.rule}."
        if not isinstance(rule, Replacing):
            return TripletChoice(tuple(range(len(drawn.tags)))[:count], source)
        places = np.searchsorted(self.rows, drawn.anchors)
        chosen = np.flatnonzero((rule.missed | rule.wrong)[places].any(axis=1))
        source += (
            f" Errors of the tagger change {len(chosen):,} of the {len(drawn.tags):,} triplets of the first "
            f"epoch; the first {min(count, len(chosen))} of these are shown."
        )
        before = replace(self, rule=rule.by_tag)  # the same stream draws the same anchors in the same order
        return TripletChoice(tuple(chosen[:count].tolist()), source, before)

    def reason(self, number: int, negative: Collection[str], same: tuple[bool, bool] | None) -> str:
        """Explains how a triplet was drawn, and what errors of the tagger changed."""
        rule, drawn, names = self.rule, self.triplets(0), self.settings.drawn_tags(self.metadata)[1]
        tag = names[drawn.tags[number]]
        if isinstance(rule, Replacing):
            assert same is not None
            place = int(np.searchsorted(self.rows, drawn.anchors[number]))
            return _changed(rule, place, tag, _listed(rule.wrong[place], names, negative), same)
        if isinstance(rule, ByTag):
            lacks = "shares no tag with the anchor" if self.settings.guard else "does not"
            return f"Drawn by the tag {tag}: the positive has it, the negative {lacks}."
        anchor = np.flatnonzero(self.rows[rule.anchors] == drawn.anchors[number])[0]
        far = _listed(rule.far[anchor], names, negative)
        if self.settings.rule == "extreme":
            return (
                f"The positive has {tag}, the most probable tag of the anchor by the tagger; the negative "
                f"has {far}, the least probable."
            )
        return (
            f"The positive has {tag}, a tag of the anchor that the tagger missed; the negative has {far}, "
            "which the tagger predicted wrongly."
        )


def _changed(rule: Replacing, place: int, tag: str, wrong: str, same: tuple[bool, bool]) -> str:
    """Describes what errors changed in the triplet of an anchor, given by its position among clips with
    tags."""
    words = []
    for role, errors, tags, why, is_same in (
        ("positive", rule.missed[place], tag, "which the tagger missed", same[0]),
        ("negative", rule.wrong[place], wrong, "which the tagger predicted wrongly", same[1]),
    ):
        if not errors.any():
            words.append(f"{role} unchanged: there is no usable error of the tagger")
        elif is_same:
            words.append(f"{role} drawn again by {tags}, {why}: it is the same clip")
        else:
            words.append(f"{role} changed to a clip with {tags}, {why}")
    text = "; ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def _listed(tags: Bools, names: tuple[str, ...], negative: Collection[str]) -> str:
    """Returns the names of the tags (K,) that the negative has, joined by "and"."""
    return " and ".join(names[tag] for tag in np.flatnonzero(tags) if names[tag] in negative)
