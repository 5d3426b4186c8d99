"""Which of many vectors are the same but for rounding, in memory and time that grow with their number."""

import numpy as np

from nearfield.core.nouns import Bools, Ints, Vectors
from nearfield.core.seeds import stream

_LINES = 3  # directions that vectors are sorted along
_NEXT = 32  # how many places further in such an order a vector is compared
_SEEN = 8  # numbers, those that vary most, that are compared before all are
_CHUNK = 1 << 22  # numbers of vectors compared at once


def same_groups(vectors: Vectors, slack: float) -> Ints:
    """(N,) a number for each of (N, D) vectors: one for those of which no number differs by more than
    `slack`, directly or by way of others.

    Such vectors lie within `slack` of each other along every direction whose weights sum to 1 in size, so
    each is compared with the next along a few directions. Of very many that are within `slack` along these
    and yet apart, pairs may be missed.
    """
    weights = stream(0, "same vectors").standard_normal((vectors.shape[1], _LINES))
    group = np.arange(len(vectors))
    seen = np.ascontiguousarray(vectors[:, np.argsort(-vectors.std(axis=0), kind="stable")[:_SEEN]].T)
    for direction in weights.T:
        along = vectors @ (direction / np.abs(direction).sum())
        order = np.argsort(along, kind="stable")
        for step in range(1, min(_NEXT, len(order) - 1) + 1):
            first, second = order[:-step], order[step:]
            is_near = along[second] - along[first] <= slack
            if not is_near.any():
                break
            is_near &= group[first] != group[second]
            first, second = _same(vectors, seen, first[is_near], second[is_near], slack)
            if len(first):
                group = _joined(group, first, second)
    return group


def _same(vectors: Vectors, seen: Vectors, first: Ints, second: Ints, slack: float) -> tuple[Ints, Ints]:
    """The pairs of which no number differs by more than `slack`."""
    for numbers in seen:
        is_near = np.abs(numbers[first] - numbers[second]) <= slack
        first, second = first[is_near], second[is_near]
    step = max(1, _CHUNK // vectors.shape[1])
    is_same: Bools = np.zeros(len(first), np.bool_)
    for start in range(0, len(first), step):
        some = slice(start, start + step)
        is_same[some] = (np.abs(vectors[first[some]] - vectors[second[some]]) <= slack).all(axis=1)
    return first[is_same], second[is_same]


def _joined(group: Ints, first: Ints, second: Ints) -> Ints:
    """The groups once each pair is of one."""
    from scipy.sparse import coo_array  # takes its time to load, and few spaces have such pairs
    from scipy.sparse.csgraph import connected_components

    ends = group[first], group[second]
    links = coo_array((np.ones(len(first), np.int8), ends), shape=(len(group), len(group)))
    found: Ints = connected_components(links, directed=False)[1].astype(np.int64)[group]
    return found
