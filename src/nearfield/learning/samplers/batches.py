"""Functions shared by samplers: cutting into batches, window starts, mixing, rejection sampling."""

from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from nearfield.core.settings import Settings
from nearfield.core.types import Bools, ClipMetadata, Floats, Ints, MixPartner


def cut(order: Ints, size: int, drop_last: bool = False) -> Iterator[Ints]:
    """Cuts an order into batches of `size`; the last may be shorter, or is left out with `drop_last`.

    A remainder of one joins the batch before it, because one clip alone has no pairs.
    """
    whole, rest = divmod(len(order), size)
    last = whole * size
    for begin in range(0, last, size):
        end = begin + size
        yield order[begin:] if end == last and rest == 1 and not drop_last else order[begin:end]
    if rest and not drop_last and (rest > 1 or not whole):
        yield order[last:]


def random_starts(
    metadata: ClipMetadata, rows: Ints, clip_seconds: float, rng: np.random.Generator
) -> Floats:
    """Draws (B,) starts in seconds, uniform such that a window of `clip_seconds` lies inside its clip.

    0 for clips that are not longer than the window, and for images.
    """
    spare = np.maximum(metadata.seconds[rows] - clip_seconds, 0.0)
    return spare * rng.random(len(rows))


# Mixtures of two clips, which have the tags of both.
#
# Tokozume, Ushiku and Harada 2018, "Learning from between-class examples for deep sound recognition". There,
# the network predicts the ratio of the mixture; here, the mixture has all tags of both clips.


class Mixing(Settings):
    """Mixes some clips of a batch with another clip of the batch."""

    share: float = Field(0.5, gt=0, le=1)
    """Fraction of the clips that are mixed, above 0 to 1."""
    decibels: tuple[float, float] = (-6.0, 6.0)
    """Range of the power of a clip relative to the other one, in decibels: two numbers from -30 to 30,
    smaller
    first."""

    @model_validator(mode="after")
    def _neither_drowns(self) -> Self:
        least, most = self.decibels
        if not -30 <= least <= most <= 30:
            raise ValueError(
                f"decibels must be two numbers from -30 to 30, smaller first. Given: {list(self.decibels)}."
            )
        return self

    def draw(
        self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, rng: np.random.Generator
    ) -> MixPartner:
        """Draws what to mix the clips of a batch, `rows` (B,), with; each is added to one other at most."""
        turn = rng.permutation(len(rows))
        others = np.empty_like(rows)
        others[turn] = rows[np.roll(turn, 1)]  # a cyclic shift: no clip is mixed with itself
        starts = random_starts(metadata, others, clip_seconds, rng)
        alone = rng.random(len(rows)) >= self.share
        return MixPartner(np.where(alone, -1, others), starts, rng.uniform(*self.decibels, len(rows)))


# A uniform draw among the allowed candidates, without listing them for every anchor.

_ROUNDS = 1024  # testing 100,000 candidates takes about as long as some thousand draws


def rejection_sample(
    count: int,
    draw: Callable[[Ints], Ints],
    allowed: Callable[[Ints, Ints], Bools],
    candidates: int,
    rng: np.random.Generator,
) -> Ints:
    """Draws one candidate for each anchor, uniformly among those allowed.

    Anchors whose candidate is not allowed draw again; after 1024 rounds, all candidates are tested for the
    remaining anchors.

    Parameters
    ----------
    count
        Number of anchors.
    draw
        Maps anchors (A,) to proposed candidates (A,), each with the same probability, including all allowed
        ones.
    allowed
        Maps anchors and candidates to (A,) bool; one anchor may be given with many candidates.
    candidates
        Number of candidates.
    rng
        Generator of the final choice.

    Returns
    -------
    ndarray
        (count,) candidates; -1 if none is allowed.
    """
    found = np.full(count, -1, dtype=np.int64)
    left = np.arange(count)
    for _ in range(_ROUNDS):
        if not len(left):
            break
        proposed = draw(left)
        good = allowed(left, proposed)
        found[left[good]] = proposed[good]
        left = left[~good]
    for anchor in left:
        pool = np.flatnonzero(allowed(np.array([anchor]), np.arange(candidates)))
        if len(pool):
            found[anchor] = pool[rng.integers(len(pool))]
    return found
