"""Answers to a query: what is left out, what is filtered, how repeats are thinned, and what each one says."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nearfield.core.nouns import Bools, Ints, Vectors
from nearfield.space.generation import Generation, Grouping
from nearfield.space.nearest import Found, Nearest
from nearfield.space.query import Resolved, direction
from nearfield.space.state import State
from nearfield.space.typicality import SAME, typicality

APPROXIMATE_FROM = 5_000_000
"""Rows from which a plain search is approximate once an index for that is built; below, exact is fast."""


@dataclass(frozen=True)
class Answer:
    """One neighbour of a query."""

    rank: int
    """From 1, the nearest."""
    id: str
    path: str
    start: float
    """Seconds into the file."""
    seconds: float
    label: str
    tags: tuple[str, ...]
    group: str
    recording: str
    distance: float
    """Cosine distance, 1 - cos: 0 the same direction, 2 the opposite."""
    typicality: float
    """Of the query, the same in all its answers: share of the clips of the whole space, whatever the filter,
    whose nearest is at least as far away: near 0 nothing is like it, near 1 it is as typical as any. The
    query's own recording, where the space has it, counts as nobody's."""
    position: int
    """The row's number in this state of the space."""

    def plain(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self) | {"tags": list(self.tags)}


@dataclass(frozen=True, eq=False)
class Aim:
    """What is searched for."""

    vector: Vectors
    """(D,) of unit length."""
    own: Ints
    """Rows of the space that were examples: they are no answers."""
    copies: Ints
    """Rows whose files hold the same as an example's: answers, but no sign that it is a typical sound."""

    @classmethod
    def of(cls, near: Sequence[Resolved], far: Sequence[Resolved]) -> "Aim":
        """Toward some examples and away from others. Raises RequestError where they cancel each other out."""
        vector = direction([each.vector for each in near], [each.vector for each in far])
        every = (*near, *far)
        own, copies = (np.concatenate([getattr(each, name) for each in every]) for name in ("own", "copies"))
        return cls(vector, own, copies)


@dataclass(frozen=True)
class Wish:
    """How it is to be answered."""

    top: int
    where: str | None
    diverse: Grouping | None


def answer(state: State, aim: Aim, wish: Wish) -> list[Answer]:
    """The answers, the nearest first. Raises RequestError where the filter cannot be understood."""
    generation, count = state.generation, state.file.count
    allowed = None if wish.where is None else state.rows.allowed(wish.where)
    if len(aim.own):
        allowed = np.ones(count, np.bool_) if allowed is None else allowed
        allowed[aim.own] = False
    if wish.diverse is not None:
        groups = generation.grouping(wish.diverse)
        rows, scores = diverse(generation.nearest, aim.vector, wish.top, groups, allowed)
    elif allowed is None and state.file.approximate is not None and count >= APPROXIMATE_FROM:
        from nearfield.space.approximate import ApproximateIndex

        rows, scores = ApproximateIndex(generation.folder, state.file.approximate).search(
            aim.vector, wish.top
        )
    else:
        rows, scores = generation.nearest.search(aim.vector, wish.top, allowed)
    share = how_typical(generation, aim)
    found = zip(state.rows.take(rows.tolist()), rows.tolist(), scores.tolist(), strict=True)
    return [
        Answer(
            rank=rank,
            **{name: row[name] for name in ("id", "path", "start", "seconds", "label", "group", "recording")},
            tags=tuple(row["tags"]),
            distance=max(0.0, 1.0 - score),
            typicality=share,
            position=position,
        )
        for rank, (row, position, score) in enumerate(found, 1)
    ]


def how_typical(generation: Generation, aim: Aim) -> float:
    """How typical a query is of all clips, whatever filter it has.

    The groups of its examples and of their copies are left out; where there are none, that of a row with the
    very same vector.
    """
    known = np.concatenate([aim.own, aim.copies])
    if not len(known):
        rows, scores = generation.nearest.search(aim.vector, 1)
        known = rows[scores >= 1.0 - SAME]
    if len(known):
        groups = generation.grouping("group")
        others = ~np.isin(groups, groups[known])
        allowed = others if others.any() else np.ones(len(groups), np.bool_)
        allowed[known] = False
        scores = generation.nearest.search(aim.vector, 1, allowed)[1]
    return typicality(1.0 - float(scores[0]), generation.calibration) if len(scores) else 1.0


def diverse(nearest: Nearest, query: Vectors, top: int, groups: Ints, allowed: Bools | None) -> Found:
    """The nearest row of each of the `top` nearest groups, as `Nearest.search` gives rows."""
    count = len(groups) if allowed is None else int(allowed.sum())
    asked = min(count, 4 * top)
    while True:
        rows, scores = nearest.search(query, asked, allowed)
        firsts = np.sort(np.unique(groups[rows], return_index=True)[1])
        if len(firsts) >= top or asked == count:
            return rows[firsts[:top]], scores[firsts[:top]]
        asked = min(count, 4 * asked)
