"""How smoothly a given order of clips, such as a DJ set, leads from one to the next.

Conventions: distances are 1 - cos, 0 to 2. A transition's `nearer` is the share of the space's other clips
that lie nearer to the clip before than the one that follows: 0 is the nearest there is, one half is chance.
The order is set beside random orders of the same clips, the first one kept, and beside the playlist that
always goes on to the nearest clip left.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats, Ints, Vectors
from nearfield.core.seeds import stream
from nearfield.evaluation.checks import check_vectors
from nearfield.evaluation.neighbours import unit
from nearfield.evaluation.playlist import playlist


@dataclass(frozen=True, eq=False)
class Rating:
    """The transitions of n clips in their order."""

    distances: Floats
    """(n - 1,) from each clip to the next."""
    nearer: Floats
    """(n - 1,) share of the space's other clips that are nearer, 0 to 1."""
    mean: float
    """Of the distances."""
    random: float
    """The same of random orders."""
    smoother: float
    """Share of random orders whose mean is smaller, or as small."""
    playlist: float
    """The mean distance of the playlist of the same clips from the first one on."""


def rate_order(vectors: Vectors, rows: Ints, seed: int = 0, draws: int = 1000) -> Rating:
    """Rates the clips `rows` (n,) of the space `vectors` (N, D) in their order, against `draws` random ones.

    Raises RequestError for fewer than three clips.
    """
    check_vectors("vectors", vectors)
    if len(rows) < 3:
        raise RequestError(
            f"An order of clips can be rated from three clips on, and {len(rows)} were given. Give more."
        )
    units = unit(vectors.astype(np.float64))
    chosen = units[rows]
    between = 1.0 - chosen @ chosen.T
    own = between[np.arange(len(rows) - 1), np.arange(1, len(rows))]
    around = 1.0 - chosen[:-1] @ units.T
    around[np.arange(len(rows) - 1), rows[:-1]] = np.inf  # a clip is not its own neighbour
    nearer = (around < own[:, None] - 1e-12).sum(axis=1) / max(1, len(vectors) - 2)
    chance = stream(seed, "orders")
    others = np.arange(1, len(rows))
    orders = np.stack([np.r_[0, chance.permutation(others)] for _ in range(draws)])
    means = between[orders[:, :-1], orders[:, 1:]].mean(axis=1)
    made = playlist(np.asarray(vectors[rows]), 0, len(rows))
    return Rating(
        distances=own,
        nearer=nearer,
        mean=float(own.mean()),
        random=float(means.mean()),
        smoother=float((means <= own.mean() + 1e-12).mean()),
        playlist=float(made.distances[1:].mean()),
    )
