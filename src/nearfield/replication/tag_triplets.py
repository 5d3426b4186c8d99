"""Triplets by tag: an anchor, a clip that shares a tag, a clip that shares none."""

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

# Who shares a tag with whom, and who shares none: clips' tags as bits, and draws among strangers.


class Triplets(NamedTuple):
    """One epoch's triplets, each array (triplets,)."""

    tags: Ints
    """Number of the tag by which the positive was drawn, counted with synonyms merged."""
    anchors: Ints
    """Row numbers (from a rule: positions among the tagged clips), as the next two."""
    positives: Ints
    negatives: Ints


def packed(tags: Bools) -> Ints:
    """(N, words) the tags of each clip as bits, 64 a word: two clips share one where `&` leaves any."""
    bits = np.packbits(tags, axis=1)
    padding = -bits.shape[1] % 8
    return np.ascontiguousarray(np.pad(bits, ((0, 0), (0, padding)))).view(np.int64)


def apart(some: Ints, others: Ints) -> Bools:
    """(B,) whether two clips share no tag, from their packed tags (B, words)."""
    found: Bools = (some & others == 0).all(axis=1)
    return found


def disjoint(anchors: Ints, words: Ints, rng: np.random.Generator) -> Ints:
    """For each asker's packed tags one clip that shares none with it, uniformly; -1 where all share."""
    count = len(words)
    if np.bitwise_and.reduce(words, axis=0).any():  # a tag that every clip has: nobody need be asked
        return np.full(len(anchors), -1, dtype=np.int64)

    def draw(some: Ints) -> Ints:
        return rng.integers(count, size=len(some))

    def allowed(some: Ints, drawn: Ints) -> Bools:
        return apart(anchors[some], words[drawn])

    return rejection_sample(len(anchors), draw, allowed, count, rng)


# The plain rule for triplets by tag: a tag is drawn uniformly, two clips that have it, one that does not.


@dataclass(frozen=True)
class ByTag:
    """Who has which tag among N tagged clips, and the draws from it."""

    words: Ints
    """(N, words) packed tags."""
    guard: bool
    """Negatives share no tag at all with their anchor."""
    members: Ints
    """Clips, tag after tag, ascending within each."""
    begins: Ints
    sizes: Ints
    lacking: Ints
    """For each member, tag * (clips + 1) + the number of clips before it that lack the tag: ascending."""
    anchors: Ints
    """Numbers into `members` of those that can be an anchor, tag after tag."""
    anchor_begins: Ints
    anchor_sizes: Ints
    usable: Ints
    """Tags of which a triplet can be made."""

    @classmethod
    def of(cls, tags: Bools, guard: bool, rng: np.random.Generator) -> "ByTag":
        """The rule over clips with tags (N, K); `rng` only helps to find who has no stranger."""
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
        """Triplets an epoch: as many as clips."""
        return len(self.words) if len(self.usable) else 0

    def draw(self, rng: np.random.Generator) -> Triplets:
        """One epoch's triplets."""
        tags = self.usable[rng.integers(len(self.usable), size=self.count)]
        anchor = self.anchors[self.anchor_begins[tags] + rng.integers(self.anchor_sizes[tags])]
        other = self.begins[tags] + rng.integers(self.sizes[tags] - 1)
        other += other >= anchor
        anchors, positives = self.members[anchor], self.members[other]
        if self.guard:
            return Triplets(tags, anchors, positives, disjoint(self.words[anchors], self.words, rng))
        return Triplets(tags, anchors, positives, self._without(tags, rng))

    def describe(self) -> str:
        """What the triplets are drawn over."""
        return f"over {len(self.usable)} tags"

    def _without(self, tags: Ints, rng: np.random.Generator) -> Ints:
        """One clip for each of `tags`, uniform among those that lack it.

        The r-th clip that lacks a tag stands at r plus the number of members before it: those that have at
        most r lacking clips before themselves. One search over the lists of all tags finds it.
        """
        clips = len(self.words)
        drawn = rng.integers(clips - self.sizes[tags])
        found = np.searchsorted(self.lacking, tags * (clips + 1) + drawn, "right")
        return drawn + found - self.begins[tags]


# Rules for triplets that ask an earlier tagger: by its most and least probable tags, or by its errors.
#
# Both draw every usable clip as an anchor once an epoch, then a tag for the positive and one for the
# negative, uniformly, then a clip that has the tag, uniformly. What clips have is the truth; the tagger is
# asked about anchors alone.

_BLOCK = 1024  # clips compared with all others at once


@dataclass(frozen=True)
class ByPrediction:
    """The tags that serve each of A anchors among N tagged clips, and the draws from them."""

    words: Ints
    """(N, words) packed tags."""
    tags: Bools
    """(N, K)"""
    guard: bool
    """Negatives share no tag at all with their anchor."""
    anchors: Ints
    """(A,) clips."""
    near: Bools
    """(A, K) tags by which an anchor's positive may be drawn; another clip has each."""
    far: Bools
    """(A, K) tags by which its negative may be drawn; two other clips have each, one may be the positive."""
    unasked: int
    """Clips that are no anchors because the tagger said nothing of them."""
    unfit: int
    """Clips that are no anchors because no tag serves for their positive or for their negative."""

    @classmethod
    def extreme(cls, tags: Bools, predictions: Floats, guard: bool) -> Self:
        """Positives have the anchor's most probable tag, negatives its least probable; ties: the first.

        Such triplets are easy from the start, and soon none is active.
        """
        asked = np.nan_to_num(predictions)
        near, far = np.zeros_like(tags), np.zeros_like(tags)
        np.put_along_axis(near, asked.argmax(axis=1)[:, None], True, axis=1)
        np.put_along_axis(far, asked.argmin(axis=1)[:, None], True, axis=1)
        return cls._of(tags, predictions, near & ~far, far & ~near, guard)

    @classmethod
    def errors(cls, tags: Bools, predictions: Floats, top: int, guard: bool) -> Self:
        """Positives have a tag that the tagger missed on the anchor, negatives one that it named wrongly.

        Unguarded, a negative may share true tags with its anchor, even the one by which the positive was
        drawn.
        """
        missed, wrong = mistakes(tags, predictions, top)
        return cls._of(tags, predictions, missed, wrong, guard)

    @classmethod
    def _of(cls, tags: Bools, predictions: Floats, near: Bools, far: Bools, guard: bool) -> Self:
        asked = ~np.isnan(predictions).any(axis=1)
        others = tags.sum(axis=0) - tags
        near = near & (others >= 1)
        far = far & (others >= 2)
        fit = near.any(axis=1) & far.any(axis=1)
        if guard:
            asking = np.flatnonzero(asked & fit)
            far[asking] &= strangers_with(tags[asking], tags) >= 2
            fit = near.any(axis=1) & far.any(axis=1)
        chosen = np.flatnonzero(asked & fit)
        unasked, unfit = int((~asked).sum()), int((asked & ~fit).sum())
        return cls(packed(tags), tags, guard, chosen, near[chosen], far[chosen], unasked, unfit)

    @property
    def usable(self) -> Ints:
        """Tags that two clips have, so that one can be the other's positive."""
        return np.flatnonzero(self.tags.sum(axis=0) >= 2)

    @property
    def count(self) -> int:
        """Triplets an epoch: one an anchor."""
        return len(self.anchors)

    def draw(self, rng: np.random.Generator) -> Triplets:
        """One epoch's triplets."""
        order = rng.permutation(self.count)
        anchors = self.anchors[order]
        tags, against = pick(self.near[order], rng), pick(self.far[order], rng)
        positives = clips_with(tags, self.tags, anchors[:, None], None, self.words, rng)
        taken = np.stack([anchors, positives], axis=1)
        strange_to = anchors if self.guard else None
        negatives = clips_with(against, self.tags, taken, strange_to, self.words, rng)
        return Triplets(tags, anchors, positives, negatives)

    def describe(self) -> str:
        """Who is an anchor."""
        return (
            f"over {self.count} anchors ({self.unasked} clips without a prediction left out, {self.unfit} "
            "without a tag for the positive or for the negative)"
        )


def mistakes(tags: Bools, predictions: Floats, top: int) -> tuple[Bools, Bools]:
    """(N, K) tags of each clip that the tagger missed, and tags that it named wrongly.

    It names the `top` most probable tags; ties: the first.
    """
    order = np.argsort(-np.nan_to_num(predictions), axis=1, kind="stable")[:, :top]
    named = np.zeros_like(tags)
    np.put_along_axis(named, order, True, axis=1)
    return tags & ~named, named & ~tags


def clips_with(
    tags: Ints, has: Bools, taken: Ints, strange_to: Ints | None, words: Ints, rng: np.random.Generator
) -> Ints:
    """(A,) a clip with each of `tags` (A,), uniform; none of `taken` (A, n), sharing nothing with
    `strange_to` (A,). `has` (N, K) and the packed `words` (N, words) are what clips have."""
    _, members = np.nonzero(has.T)
    sizes = has.sum(axis=0)
    begins = np.cumsum(sizes) - sizes

    def draw(some: Ints) -> Ints:
        drawn: Ints = members[begins[tags[some]] + rng.integers(sizes[tags[some]])]
        return drawn

    def allowed(some: Ints, drawn: Ints) -> Bools:
        good: Bools = has[drawn, tags[some]] & (taken[some] != drawn[:, None]).all(axis=1)
        if strange_to is not None:
            good &= apart(words[strange_to[some]], words[drawn])
        return good

    return rejection_sample(len(tags), draw, allowed, len(has), rng)


def strangers_with(some: Bools, tags: Bools) -> Ints:
    """(A, K) how many of N clips that share no tag with one of `some` (A, K) have each tag."""
    has, counts = tags.astype(np.float32), np.zeros(some.shape, dtype=np.int64)
    for start in range(0, len(some), _BLOCK):
        part = slice(start, start + _BLOCK)
        disjoint_from = some[part].astype(np.float32) @ has.T == 0
        counts[part] = disjoint_from.astype(np.float32) @ has
    return counts


def pick(choices: Bools, rng: np.random.Generator) -> Ints:
    """(A,) one of each row's set columns (A, K), uniformly."""
    picked: Ints = np.where(choices, rng.random(choices.shape), -1.0).argmax(axis=1)
    return picked


# Triplets by tag in which the errors of an earlier tagger replace the positive and the negative.
#
# As a homework of GCT634 (KAIST, 2021) rearranged its triplets: where the tagger missed a tag of the anchor,
# the positive becomes a clip that has it; where it named a tag wrongly, the negative becomes a clip that has
# that one. What the tagger got right stays as the drawn tag made it.


@dataclass(frozen=True)
class Replacing:
    """The rule by tag over N tagged clips, and the tags of each clip that replace a part of its triplet."""

    by_tag: ByTag
    tags: Bools
    """(N, K)"""
    missed: Bools
    """(N, K) tags that a clip's positive may be drawn by in place of the drawn tag; two others have each."""
    wrong: Bools
    """(N, K) the same of its negative."""
    unasked: int
    """Clips that the tagger said nothing of."""

    @classmethod
    def of(cls, tags: Bools, predictions: Floats, top: int, guard: bool, rng: np.random.Generator) -> Self:
        """The rule over clips with tags (N, K) of which a tagger said `predictions` (N, K), NaN where it was
        not asked; `rng` as for `ByTag.of`."""
        asked = np.asarray(np.isfinite(predictions).all(axis=1))
        missed, wrong = (
            found & asked[:, None] & (tags.sum(axis=0) - tags >= 2)
            for found in mistakes(tags, predictions, top)
        )
        if guard:
            wrong &= strangers_with(tags, tags) >= 2
        return cls(ByTag.of(tags, guard, rng), tags, missed, wrong, int((~asked).sum()))

    @property
    def words(self) -> Ints:
        """(N, words) packed tags."""
        return self.by_tag.words

    @property
    def usable(self) -> Ints:
        """Tags of which a triplet can be made."""
        return self.by_tag.usable

    @property
    def count(self) -> int:
        """Triplets an epoch: as many as clips; none where no error replaces anything."""
        return self.by_tag.count if self.missed.any() or self.wrong.any() else 0

    def draw(self, rng: np.random.Generator) -> Triplets:
        """One epoch's triplets."""
        tags, anchors, positives, negatives = (part.copy() for part in self.by_tag.draw(rng))
        at = np.flatnonzero(self.missed[anchors].any(axis=1))
        tags[at] = pick(self.missed[anchors[at]], rng)
        taken = np.stack([anchors[at], negatives[at]], axis=1)
        positives[at] = clips_with(tags[at], self.tags, taken, None, self.words, rng)
        at = np.flatnonzero(self.wrong[anchors].any(axis=1))
        against = pick(self.wrong[anchors[at]], rng)
        taken = np.stack([anchors[at], positives[at]], axis=1)
        strange_to = anchors[at] if self.by_tag.guard else None
        negatives[at] = clips_with(against, self.tags, taken, strange_to, self.words, rng)
        return Triplets(tags, anchors, positives, negatives)

    def describe(self) -> str:
        """What the triplets are drawn over, and how many clips have their triplets rearranged."""
        near, far = (int(found.any(axis=1).sum()) for found in (self.missed, self.wrong))
        return (
            f"{self.by_tag.describe()}; the tagger's errors replace the positive of {near} and the negative "
            f"of {far} of {len(self.tags)} clips ({self.unasked} without a prediction)"
        )


# Triplets by tag: two clips that are to be near each other, one that is to be far from them.

Rule = ByTag | ByPrediction | Replacing


class TagTriplets(BaseSamplerSettings):
    """A tag is drawn uniformly, then two clips with it and one without. Clips without tags are left out.

    An epoch has as many triplets as there are clips. Unless guarded, the negative lacks that one tag and may
    share others with the anchor: `shared_share` says how many do. Two further rules ask an earlier tagger.
    """

    kind: Literal["tag_triplets"] = "tag_triplets"
    batch_size: int = Field(32, ge=1)
    """Triplets a batch."""
    rule: Literal["tag", "extreme", "errors"] = "tag"
    """What positive and negative are drawn by: a tag; the anchor's most and least probable tags, as a tagger
    has it; or the tagger's errors, a tag of the anchor that it missed and one that it named wrongly."""
    tagger: str | None = None
    """Folder of a run with a tagging loss, whose predictions the rules extreme and errors ask; best one that
    was trained on other clips."""
    top: int = Field(5, ge=1)
    """With the rule errors: how many of its most probable tags the tagger names for a clip."""
    keep_right: bool = True
    """With the rule errors: triplets are drawn by a tag, and an error replaces the positive or the negative;
    what the tagger got right stays. Without, only clips with both sorts of errors are anchors."""
    guard: bool = False
    """The negative shares no tag at all with the anchor."""
    synonyms: Synonyms = ()
    """Groups of tags that mean the same; each group counts as one tag, which a negative lacks as a whole."""

    needs: ClassVar[Literal["labels", "tags", "time"] | None] = "tags"

    @property
    def sets_pairs(self) -> bool:
        """Always: it draws triplets."""
        return True

    @property
    def asked_run(self) -> str | None:
        """The tagger."""
        return self.tagger

    def windows(self) -> int:
        """Three a triplet."""
        return 3 * self.batch_size

    def drawn_tags(self, metadata: ClipMetadata) -> tuple[Bools, tuple[str, ...]]:
        """Tags (N, K) and K names, synonyms merged."""
        return merge_synonyms(metadata.tags, metadata.tag_names, self.synonyms, "sampler")

    def build(
        self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int
    ) -> "TagTripletSampler":
        """The sampler over `rows`.

        Raises DataError where no tag makes a triplet, RequestError where a rule lacks its predictions.
        """
        tags, names = self.drawn_tags(metadata)
        tagged = rows[tags[rows].any(axis=1)]
        if not len(tagged):
            raise DataError(
                "sampler: tag_triplets: none of the clips to train on has a tag. Name the column that holds "
                f"them (data.tags), or take another sampler: {samplers_without('tags')}."
            )
        rng = stream(seed, "opposites")
        if self.rule == "tag":
            rule: Rule = ByTag.of(tags[tagged], self.guard, rng)
        else:
            rule = self._asking(tags[tagged], self._predictions(metadata)[tagged], rng)
        if not rule.count:
            raise self._nothing(len(names))
        dropped = tuple(names[tag] for tag in np.setdiff1d(np.arange(len(names)), rule.usable))
        return TagTripletSampler(metadata, tagged, clip_seconds, seed, self, dropped, rule)

    def _asking(self, tags: Bools, predictions: Floats, rng: np.random.Generator) -> ByPrediction | Replacing:
        if self.rule == "extreme":
            return ByPrediction.extreme(tags, predictions, self.guard)
        if self.keep_right:
            return Replacing.of(tags, predictions, self.top, self.guard, rng)
        return ByPrediction.errors(tags, predictions, self.top, self.guard)

    def _predictions(self, metadata: ClipMetadata) -> Floats:
        if metadata.predictions is None:
            raise RequestError(
                f"sampler.rule: {self.rule!r} asks what a tagger says of each clip, and no tagger is given. "
                "Set sampler.tagger to the folder of a run that was trained with loss bce or focal, or "
                "sampler.rule to tag."
            )
        return merge_scores(metadata.predictions, metadata.tag_names, self.synonyms)

    def _nothing(self, tags: int) -> DataError:
        if self.rule != "tag":
            what = {
                "extreme": "most and least probable tags that other clips have",
                "errors": f"{'' if self.keep_right else 'both '}a tag outside the tagger's first {self.top} "
                f"{'or' if self.keep_right else 'and'} a wrong one among them",
            }[self.rule]
            guarded = " Set sampler.guard to false, or" if self.guard else " Change sampler.top, or"
            return DataError(
                f"sampler: tag_triplets: rule {self.rule!r}: no clip has a prediction and {what}.{guarded} "
                "take the rule tag."
            )
        third = "that shares none with one of them. Set sampler.guard to false" if self.guard else "without"
        return DataError(
            f"sampler: tag_triplets: none of {tags} tags has two clips with it and a third {third}."
        )


@dataclass(frozen=True)
class TagTripletSampler(CutOrder):
    """Draws the triplets of an epoch at once and cuts them into batches."""

    metadata: ClipMetadata
    rows: Ints
    """The clips that have tags."""
    clip_seconds: float
    seed: int
    settings: TagTriplets
    dropped: tuple[str, ...]
    """Tags by which no triplet can be made."""
    rule: Rule

    @property
    def batch_size(self) -> int:
        """Windows a batch; the last of an epoch may hold fewer, or one triplet more."""
        return 3 * self.settings.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """Windows drawn in an epoch: three for each clip with tags that can be an anchor."""
        return 3 * self.rule.count

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """The draws of epoch `number`, laid out as anchors, positives, negatives; `pairs` is set."""
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
        """The triplets of epoch `number` in their order, by row number."""
        tags, anchors, positives, negatives = self._places(number)
        return Triplets(tags, self.rows[anchors], self.rows[positives], self.rows[negatives])

    def shared_share(self, number: int) -> float:
        """Share (0..1) of epoch `number`'s negatives that have a tag in common with their anchor."""
        _, anchors, _, negatives = self._places(number)
        words = self.rule.words
        return 1.0 - float(apart(words[anchors], words[negatives]).mean())

    def describe(self) -> str:
        """One line: batch, epoch, what is left out, and how clean the negatives are."""
        line = (
            f"Batches of {self.batch_size} windows: {self.settings.batch_size} triplets. One epoch has "
            f"{self.clips_per_epoch:,} windows {self.rule.describe()}. {self.shared_share(0):.1%} of "
            "negatives share another tag with their anchor."
        )
        return line + (f" Tags without triplets: {', '.join(self.dropped)}." if self.dropped else "")

    def _places(self, number: int) -> Triplets:
        """The same by positions among the tagged clips."""
        return self.rule.draw(stream(self.seed, "batches", number))

    def choose(self, count: int) -> TripletChoice:
        """The first triplets of the first epoch; with errors that replace, the first that are rearranged."""
        rule, drawn = self.rule, self.triplets(0)
        source = f"Drawn by sampler.rule={self.settings.rule}."
        if not isinstance(rule, Replacing):
            return TripletChoice(tuple(range(len(drawn.tags)))[:count], source)
        places = np.searchsorted(self.rows, drawn.anchors)
        chosen = np.flatnonzero((rule.missed | rule.wrong)[places].any(axis=1))
        source += (
            f" The tagger's errors rearrange {len(chosen):,} of the {len(drawn.tags):,} triplets of the "
            f"first epoch; shown are the first {min(count, len(chosen))} of these."
        )
        before = replace(self, rule=rule.by_tag)  # of the same rng: the same anchors in the same order
        return TripletChoice(tuple(chosen[:count].tolist()), source, before)

    def reason(self, number: int, negative: Collection[str], same: tuple[bool, bool] | None) -> str:
        """By what a triplet was drawn; where it was rearranged, what the tagger's errors changed."""
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
                f"The positive has {tag}, which the tagger finds most probable of the anchor; the negative "
                f"has {far}, which it finds least probable."
            )
        return (
            f"The positive has {tag}, a tag of the anchor that the tagger missed; the negative has {far}, "
            "which it named wrongly."
        )


def _changed(rule: Replacing, place: int, tag: str, wrong: str, same: tuple[bool, bool]) -> str:
    """What the tagger's errors changed in the triplet of an anchor, by its place among the tagged clips."""
    words = []
    for role, errors, tags, why, is_same in (
        ("positive", rule.missed[place], tag, "which the tagger missed", same[0]),
        ("negative", rule.wrong[place], wrong, "which the tagger named wrongly", same[1]),
    ):
        if not errors.any():
            words.append(f"{role} kept: the tagger made no such error that could be drawn by")
        elif is_same:
            words.append(f"{role} drawn anew by {tags}, {why}: the same clip came")
        else:
            words.append(f"{role} changed to one with {tags}, {why}")
    text = "; ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def _listed(tags: Bools, names: tuple[str, ...], negative: Collection[str]) -> str:
    """Those of some tags (K,) that the negative has."""
    return " and ".join(names[tag] for tag in np.flatnonzero(tags) if names[tag] in negative)
