"""What samplers share: batches of an order, window starts, mixed pairs, rejection sampling."""

from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from nearfield.core.settings import Settings
from nearfield.core.types import Bools, ClipMetadata, Floats, Ints, MixPartner

# An order cut into batches.


def cut(order: Ints, size: int, drop_last: bool = False) -> Iterator[Ints]:
    """Runs of `size` in the order given; the last may be short, or is left out with `drop_last`.

    A rest of one joins the run before it: alone it would have nobody to be compared with.
    """
    whole, rest = divmod(len(order), size)
    last = whole * size
    for begin in range(0, last, size):
        end = begin + size
        yield order[begin:] if end == last and rest == 1 and not drop_last else order[begin:end]
    if rest and not drop_last and (rest > 1 or not whole):
        yield order[last:]


# Where a window starts inside its clip, when any place will do.


def random_starts(
    metadata: ClipMetadata, rows: Ints, clip_seconds: float, rng: np.random.Generator
) -> Floats:
    """(B,) seconds, uniform over the starts at which a window of `clip_seconds` lies inside its clip.

    0 for clips that are not longer than the window, and for pictures.
    """
    spare = np.maximum(metadata.seconds[rows] - clip_seconds, 0.0)
    return spare * rng.random(len(rows))


# Two clips heard at once: what sounds then has the tags of both.
#
# Tokozume, Ushiku and Harada 2018, "Learning from between-class examples for deep sound recognition", in
# which the mixture is to be told by its parts' shares; here each tag is a question of its own, and both are
# heard.


class Mixing(Settings):
    """Some clips of a batch sound together with another of the same batch."""

    share: float = Field(0.5, gt=0, le=1)
    """Share of clips that do not sound alone."""
    decibels: tuple[float, float] = (-6.0, 6.0)
    """Power of a clip over that of the one beside it: least and most, in decibels; neither may drown."""

    @model_validator(mode="after")
    def _neither_drowns(self) -> Self:
        least, most = self.decibels
        if not -30 <= least <= most <= 30:
            raise ValueError(
                f"decibels must be two numbers from -30 to 30, the least first. Given: {list(self.decibels)}."
            )
        return self

    def draw(
        self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, rng: np.random.Generator
    ) -> MixPartner:
        """What the clips of a batch, `rows` (B,), are heard with; each is with another one at most once."""
        turn = rng.permutation(len(rows))
        others = np.empty_like(rows)
        others[turn] = rows[np.roll(turn, 1)]  # one round of all: nobody meets itself
        starts = random_starts(metadata, others, clip_seconds, rng)
        alone = rng.random(len(rows)) >= self.share
        return MixPartner(np.where(alone, -1, others), starts, rng.uniform(*self.decibels, len(rows)))


# A uniform draw among what is allowed, where listing all that is allowed to everyone would be too much.

_ROUNDS = 1024  # a list of 100,000 costs about as much as some thousand draws


def rejection_sample(
    count: int,
    draw: Callable[[Ints], Ints],
    allowed: Callable[[Ints, Ints], Bools],
    candidates: int,
    rng: np.random.Generator,
) -> Ints:
    """(count,) for each asker one candidate, uniform among those allowed to it; -1 where there is none.

    `draw(askers)` proposes candidates that contain the allowed ones, all with one probability;
    `allowed(askers, candidates)` judges them, also one asker against many candidates. Refused askers draw
    again; for the stubborn few all numbers below `candidates` are judged.
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
