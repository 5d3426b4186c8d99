"""Queries and answers: sounds, spans, clips or several to one direction, and its nearest clips."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from nearfield.core.errors import DataError, RequestError
from nearfield.core.types import Bools, Ints, Vectors
from nearfield.data.arrays import Input
from nearfield.data.audio import describe
from nearfield.space.generation import SAME, Generation, Grouping, State, typicality, unit_rows
from nearfield.space.identity import Identity
from nearfield.space.nearest import Found, Nearest
from nearfield.training.run import Run
from nearfield.training.stream import hear

# From what a user points at to one direction on the sphere: sounds, spans, clips, vectors, or several.

Span = tuple[str | Path, float, float] | tuple[str | Path, float, float, int | None]
"""A file, where in it to begin, and how long, in seconds; and the one channel to hear, where it is one."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """A vector that says whose it is, so that a space of another identity refuses it."""

    vector: Vectors
    """(D,)"""
    identity: Identity

    @classmethod
    def of(cls, run: Run, sound: Input) -> Self:
        """What `run` makes of a file, or of a wave at its sample rate; raises as `Run.encode`."""
        return cls(run.encode([sound])[0], Identity.of(run))


Example = str | Path | Span | npt.NDArray[Any] | Embedded
"""A sound file, a span of one, the id of a clip of the space, or a vector (D,).

A bare array (also (1, D), as `Run.encode` gives it) says nothing of where it comes from, and is taken for one
of this space's own run: one of another run is answered, and the answer means nothing. `Embedded` says whose
it is.
"""


@dataclass(frozen=True, eq=False)
class Resolved:
    """What an example is in a space."""

    vector: Vectors
    """(D,)"""
    own: Ints
    """The rows that the example names: they are no answers."""
    copies: Ints
    """The rows of files that hold the same bytes as the example's: they are answers, and no company."""


def span_of(example: Example) -> Span | None:
    """The piece of a file that an example names, where it names one."""
    if isinstance(example, tuple):
        if len(example) not in (3, 4) or min(float(example[1]), float(example[2])) < 0:
            raise RequestError(f"A span is (file, start, seconds), from 0 on. Given: {example!r}.")
        path, *piece = example
        return (Path(path).expanduser(), *piece)
    if isinstance(example, Path) or (isinstance(example, str) and Path(example).expanduser().is_file()):
        return Path(example).expanduser(), 0.0, 0.0
    return None


def hear_span(run: Run, span: Span) -> Vectors:
    """(D,) the vector of a piece of a file, as indexing makes it. Raises DataError for what is no sound."""
    path, start, seconds, *channel = span
    if start > 0 and (length := describe(Path(path)).seconds) <= start:
        raise RequestError(f"start: {path} ends at {length:g} s. Given: {start:g} s. Give an earlier start.")
    rows = {"path": [str(path)], "start": [float(start)], "seconds": [float(seconds)]}
    rows["channel"] = channel or [None]
    part = hear(run, pd.DataFrame(rows), "clip")
    if not len(part.rows):
        raise DataError("\n".join(part.faults))
    vector: Vectors = part.vectors[0]
    return vector


def given_vector(example: Any, size: int) -> Vectors:
    """(D,) a vector that was given, also as `Run.encode` gives one: (1, D).

    Raises RequestError where it is none of this space.
    """
    try:
        vector = np.asarray(example, np.float32)
    except (TypeError, ValueError):  # NumPy's own words are about its own types
        raise RequestError(
            f"An example is one sound file, span, id or vector. Given: a {type(example).__name__}. Further "
            "examples go into plus and minus; several searches are several calls."
        ) from None
    if vector.shape == (1, size):
        vector = vector[0]
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise RequestError(
            f"A query vector is {size} finite numbers in this space. Given: shape {vector.shape}. "
            "Encode a wave by the run that the space was made with, space.run.encode([wave]); search for "
            "several vectors one by one."
        )
    return vector


def direction(plus: Sequence[Vectors], minus: Sequence[Vectors]) -> Vectors:
    """(D,) the mean of some unit vectors less the mean of others, of unit length.

    Raises RequestError where nothing is left of them.
    """
    total = np.zeros_like(np.asarray((*plus, *minus)[0], np.float64))
    for sign, some in ((1.0, plus), (-1.0, minus)):
        if len(some):
            total += sign * unit_rows(np.stack(some)).astype(np.float64).mean(axis=0)
    length = float(np.linalg.norm(total))
    if not length >= 1e-6:
        raise RequestError(
            "The examples cancel each other out: no direction is left to search in. Take one of them away."
        )
    return (total / length).astype(np.float32)


# Answers to a query: what is left out, what is filtered, how repeats are thinned, and what each one says.

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
