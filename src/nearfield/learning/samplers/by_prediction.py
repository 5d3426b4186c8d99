"""Rules for triplets that ask an earlier tagger: by its most and least probable tags, or by its errors.

Both draw every usable clip as an anchor once an epoch, then a tag for the positive and one for the negative,
uniformly, then a clip that has the tag, uniformly. What clips have is the truth; the tagger is asked about
anchors alone.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.learning.samplers.refusal import draw_allowed
from nearfield.learning.samplers.tag_sets import Triplets, apart, packed

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

    def draw(self, chance: np.random.Generator) -> Triplets:
        """One epoch's triplets."""
        order = chance.permutation(self.count)
        anchors = self.anchors[order]
        tags, against = pick(self.near[order], chance), pick(self.far[order], chance)
        positives = clips_with(tags, self.tags, anchors[:, None], None, self.words, chance)
        taken = np.stack([anchors, positives], axis=1)
        strange_to = anchors if self.guard else None
        negatives = clips_with(against, self.tags, taken, strange_to, self.words, chance)
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
    tags: Ints, has: Bools, taken: Ints, strange_to: Ints | None, words: Ints, chance: np.random.Generator
) -> Ints:
    """(A,) a clip with each of `tags` (A,), uniform; none of `taken` (A, n), sharing nothing with
    `strange_to` (A,). `has` (N, K) and the packed `words` (N, words) are what clips have."""
    _, members = np.nonzero(has.T)
    sizes = has.sum(axis=0)
    begins = np.cumsum(sizes) - sizes

    def draw(some: Ints) -> Ints:
        drawn: Ints = members[begins[tags[some]] + chance.integers(sizes[tags[some]])]
        return drawn

    def allowed(some: Ints, drawn: Ints) -> Bools:
        good: Bools = has[drawn, tags[some]] & (taken[some] != drawn[:, None]).all(axis=1)
        if strange_to is not None:
            good &= apart(words[strange_to[some]], words[drawn])
        return good

    return draw_allowed(len(tags), draw, allowed, len(has), chance)


def strangers_with(some: Bools, tags: Bools) -> Ints:
    """(A, K) how many of N clips that share no tag with one of `some` (A, K) have each tag."""
    has, counts = tags.astype(np.float32), np.zeros(some.shape, dtype=np.int64)
    for start in range(0, len(some), _BLOCK):
        part = slice(start, start + _BLOCK)
        apart_from = some[part].astype(np.float32) @ has.T == 0
        counts[part] = apart_from.astype(np.float32) @ has
    return counts


def pick(choices: Bools, chance: np.random.Generator) -> Ints:
    """(A,) one of each row's set columns (A, K), uniformly."""
    picked: Ints = np.where(choices, chance.random(choices.shape), -1.0).argmax(axis=1)
    return picked
