"""The clips at the heart of each label, and the clips around one clip: what to play to hear a space."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Distance, Floats, Ints, Vectors
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.neighbours import Search, nearest
from nearfield.evaluation.sphere import angles, spherical_mean


@dataclass(frozen=True)
class Heard:
    """Clips to play one after the other."""

    rows: Ints
    """(n,) nearest first."""
    distances: Floats
    """(n,) from the centre, or from the clip."""


def centre_clips(vectors: Vectors, labels: Ints, label: int, count: int = 5) -> Heard:
    """The `count` clips of `label` nearest to its spherical centroid, by angle in radians.

    `vectors` (N, D); `labels` (N,), -1 not known. Raises RequestError where no clip has the label, or
    where the label has no centre.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), labels=labels)
    members = np.flatnonzero(labels == label)
    if not len(members):
        raise RequestError(f"centre clips: no clip has label number {label}. Choose a label that has clips.")
    apart = angles(vectors[members], spherical_mean(vectors[members]))
    order = np.argsort(apart, kind="stable")[:count]
    return Heard(members[order], apart[order])


def neighbourhood(vectors: Vectors, row: int, count: int = 5, distance: Distance = "cosine") -> Heard:
    """The clip `row` itself, and then the `count` clips nearest to it."""
    check_vectors("vectors", vectors)
    if not 0 <= row < len(vectors):
        raise RequestError(f"neighbourhood: row {row} is not one of the {len(vectors)} clips.")
    index, apart = nearest(Search(vectors[[row]], vectors, distance, np.array([row])), count)
    there = index[0] >= 0
    return Heard(np.append(row, index[0][there]), np.append(0.0, apart[0][there]))
