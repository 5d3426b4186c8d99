"""Where a window starts inside its clip, when any place will do."""

import numpy as np

from nearfield.core.nouns import Facts, Floats, Ints


def random_starts(facts: Facts, rows: Ints, clip_seconds: float, chance: np.random.Generator) -> Floats:
    """(B,) seconds, uniform over the starts at which a window of `clip_seconds` lies inside its clip.

    0 for clips that are not longer than the window, and for pictures.
    """
    spare = np.maximum(facts.seconds[rows] - clip_seconds, 0.0)
    return spare * chance.random(len(rows))
