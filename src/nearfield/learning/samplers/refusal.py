"""A uniform draw among what is allowed, where listing all that is allowed to everyone would be too much."""

from collections.abc import Callable

import numpy as np

from nearfield.core.nouns import Bools, Ints

_ROUNDS = 1024  # a list of 100,000 costs about as much as some thousand draws


def draw_allowed(
    count: int,
    draw: Callable[[Ints], Ints],
    allowed: Callable[[Ints, Ints], Bools],
    candidates: int,
    chance: np.random.Generator,
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
    for asker in left:
        pool = np.flatnonzero(allowed(np.array([asker]), np.arange(candidates)))
        if len(pool):
            found[asker] = pool[chance.integers(len(pool))]
    return found
