"""How typical a sound is of a space: where the distance to its nearest stands among those of the clips.

For a clip like those of the space every rank is as likely (conformal prediction, Vovk et al. 2005,
chapter 2): of such clips about a share p has a typicality of p or less. Own groups are left out, because
a new sound has no clip of its own recording here.
"""

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.core.seeds import stream
from nearfield.space.nearest import Nearest

SAME = 1e-6
"""Cosine distance by which two vectors of one sound may differ: float32, and the company in a batch."""
SAMPLE = 2000
"""Clips whose nearest are looked up: p is then known to half a thousandth."""
_AT_ONCE = 32  # neighbours looked at first; rows whose group has more are searched again without it


def calibrate(nearest: Nearest, groups: Ints) -> Floats:
    """Ascending: the cosine distances of a sample of rows to their nearest of another group.

    Where all are of one group, to the nearest other row; empty where there is one row only.
    """
    count = len(groups)
    if count < 2:
        return np.empty(0)
    if (groups == groups[0]).all():
        groups = np.arange(count)
    rows = np.sort(stream(0, "calibration").permutation(count)[:SAMPLE])
    found, scores = nearest.search_many(nearest.vectors[rows], min(_AT_ONCE, count))
    others = groups[found] != groups[rows][:, None]
    best = np.where(others, scores, -np.inf).max(axis=1)
    for place in np.flatnonzero(~others.any(axis=1)):
        allowed: Bools = groups != groups[rows[place]]
        best[place] = nearest.search(nearest.vectors[rows[place]], 1, allowed)[1][0]
    return np.sort(1.0 - best)


def typicality(distance: float, calibration: Floats) -> float:
    """Share of clips, the query among them, whose nearest is as far as `distance` or farther."""
    farther = len(calibration) - int(np.searchsorted(calibration, distance - SAME))
    return (1 + farther) / (1 + len(calibration))
