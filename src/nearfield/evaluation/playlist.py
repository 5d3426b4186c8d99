"""A sequence of clips from one onwards, each the nearest to the last that was not played yet."""

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Bools, Distance, Ints, Vectors
from nearfield.evaluation.centres import Heard
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.neighbours import Search, nearest


def playlist(
    vectors: Vectors,
    start: int,
    count: int = 20,
    distance: Distance = "cosine",
    once: Ints | None = None,
    allowed: Bools | None = None,
) -> Heard:
    """`count` clips from row `start` on, which comes first; `distances` are those to the clip before.

    `vectors` (N, D). `once` (N,) numbers what may be heard but once (song, artist, recording), -1 bars
    nothing; `allowed` (N,) tells which clips may be played. Shorter where no clip is left. Raises
    RequestError where `start` is no row.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), once=once, allowed=allowed)
    if not 0 <= start < len(vectors):
        raise RequestError(f"playlist: row {start} is not one of the {len(vectors)} clips.")
    free = np.ones(len(vectors), dtype=bool) if allowed is None else allowed.copy()
    rows, apart = [start], [0.0]
    while len(rows) < count:
        free[rows[-1]] = False
        if once is not None and once[rows[-1]] >= 0:
            free &= once != once[rows[-1]]
        left = np.flatnonzero(free)
        if not len(left):
            break
        index, found = nearest(Search(vectors[[rows[-1]]], vectors[left], distance), 1)
        rows.append(int(left[index[0, 0]]))
        apart.append(float(found[0, 0]))
    return Heard(np.array(rows, dtype=np.int64), np.array(apart))
