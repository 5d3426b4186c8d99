"""Queries and answers: turns one or several examples into a unit vector and finds its nearest clips."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import DataError, RequestError
from nearfield.core.types import Bools, Ints, Vectors
from nearfield.data.arrays import Input
from nearfield.data.audio import describe
from nearfield.space.generation import SAME, Generation, Grouping, State, typicality, unit_rows
from nearfield.space.identity import Identity
from nearfield.space.nearest import Found, Nearest
from nearfield.training.run import Run
from nearfield.training.vector_checks import NOT_FINITE
from nearfield.training.windows import FileClip

# From the examples of a user (sounds, spans, clips, vectors) to one unit vector.

Span = tuple[str | Path, float, float] | tuple[str | Path, float, float, int | None]
"""A file, the start and the length in seconds (0: to the end), and optionally one channel."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """An embedding with the identity of its encoder, so that a space of another encoder rejects it."""

    vector: Vectors
    """(D,)"""
    identity: Identity

    @classmethod
    def of(cls, run: Run, sound: Input) -> Self:
        """Encodes a file, or a waveform at the sample rate of `run`; raises the errors of `Run.encode`."""
        return cls(run.encode([sound])[0], Identity.of(run))


Example = str | Path | Span | npt.NDArray[Any] | Embedded
"""A sound file, a span of a file, the id of a clip of the space, or a vector (D,).

A bare array, also (1, D) as `Run.encode` returns it, carries no identity and is assumed to come from the run
of the space. A vector of another run gives meaningless answers without an error. `Embedded` is checked.
"""


@dataclass(frozen=True, eq=False)
class Resolved:
    """The vector of an example and its rows in a space."""

    vector: Vectors
    """(D,)"""
    own: Ints
    """Rows that the example names; they are excluded from the answers."""
    copies: Ints
    """Rows of files with the same bytes; they may be answers, but are left out of the typicality."""


def span_of(example: Example) -> Span | None:
    """The span of a file that an example names, or None."""
    if isinstance(example, tuple):
        if len(example) not in (3, 4) or min(float(example[1]), float(example[2])) < 0:
            raise RequestError(
                f"A span is (file, start, seconds) with start and seconds >= 0. Given: {example!r}."
            )
        path, *piece = example
        return (Path(path).expanduser(), *piece)
    if isinstance(example, Path) or (isinstance(example, str) and Path(example).expanduser().is_file()):
        return Path(example).expanduser(), 0.0, 0.0
    return None


def embed_span(run: Run, span: Span) -> Vectors:
    """The vector (D,) of a span of a file, as in an index. Raises DataError if the file cannot be used."""
    path, start, seconds, *channel = span
    if start > 0 and (length := describe(Path(path)).seconds) <= start:
        raise RequestError(f"start: {path} ends at {length:g} s. Given: {start:g} s. Give an earlier start.")
    clip = FileClip(Path(path), float(start), float(seconds), channel[0] if channel else None)
    vector: Vectors = run.embed([clip]).by_clip(1, run.recipe.embedding.normalize)[0]
    if not np.isfinite(vector).all():
        raise DataError(f"{path}: {NOT_FINITE}")
    return vector


def given_vector(example: Any, size: int) -> Vectors:
    """A given vector as (D,); also accepts (1, D), the shape that `Run.encode` returns for one sound.

    Raises RequestError if its shape does not fit the space or it is not finite.
    """
    try:
        vector = np.asarray(example, np.float32)
    except (TypeError, ValueError):  # NumPy's message would name NumPy's types
        raise RequestError(
            f"An example is one sound file, span, id or vector. Given: a {type(example).__name__}. Pass "
            "further examples as plus or minus; call search once per query."
        ) from None
    if vector.shape == (1, size):
        vector = vector[0]
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise RequestError(
            f"A query vector has {size} finite numbers in this space. Given: shape {vector.shape}. "
            "Encode a waveform with the run of the space, space.run.encode([wave]); search for several "
            "vectors one by one."
        )
    return vector


def direction(plus: Sequence[Vectors], minus: Sequence[Vectors]) -> Vectors:
    """The unit vector (D,) of the mean of the `plus` unit vectors minus the mean of the `minus` ones.

    Raises RequestError if the difference is zero.
    """
    total = np.zeros_like(np.asarray((*plus, *minus)[0], np.float64))
    for sign, some in ((1.0, plus), (-1.0, minus)):
        if len(some):
            total += sign * unit_rows(np.stack(some)).astype(np.float64).mean(axis=0)
    length = float(np.linalg.norm(total))
    if not length >= 1e-6:
        raise RequestError(
            "The positive and negative examples cancel each other out, so their difference is zero. "
            "Remove one of them."
        )
    return (total / length).astype(np.float32)


# Answers to a query: exclusion of examples, filter, one answer per group, typicality.

APPROXIMATE_FROM = 5_000_000
"""From this number of rows on a search uses the approximate index, if built; below, exact search is fast."""


@dataclass(frozen=True)
class Answer:
    """One nearest neighbor of a query."""

    rank: int
    """1 for the nearest."""
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
    """Cosine distance 1 - cos, from 0 (same direction) to 2 (opposite direction)."""
    typicality: float
    """Typicality of the query, equal in all its answers: the share of clips of the whole space, without the
    filter, whose nearest neighbor is at least as far away as the query's. Near 0 the query is an outlier.
    The query's own recording is left out, if the space contains it."""
    position: int
    """The row's number in this state of the space."""

    def plain(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self) | {"tags": list(self.tags)}


@dataclass(frozen=True, eq=False)
class Aim:
    """The query vector of all examples, and their rows."""

    vector: Vectors
    """(D,) of unit length."""
    own: Ints
    """Rows of the examples; they are excluded from the answers."""
    copies: Ints
    """Rows of files with the same bytes as an example's; they are left out of the typicality."""

    @classmethod
    def of(cls, near: Sequence[Resolved], far: Sequence[Resolved]) -> "Aim":
        """From positive and negative examples. Raises RequestError if they cancel each other out."""
        vector = direction([each.vector for each in near], [each.vector for each in far])
        every = (*near, *far)
        own, copies = (np.concatenate([getattr(each, name) for each in every]) for name in ("own", "copies"))
        return cls(vector, own, copies)


@dataclass(frozen=True)
class Wish:
    """The options of a search."""

    top: int
    where: str | None
    diverse: Grouping | None


def answer(state: State, aim: Aim, wish: Wish) -> list[Answer]:
    """The answers, nearest first. Raises RequestError if the filter is invalid."""
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
    """The typicality of a query among all clips of the space, without the filter.

    The groups of the examples and of their copies are left out. If there are none, the group of a row with
    an equal vector is left out.
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
    """The nearest row of each of the `top` nearest groups, in the format of `Nearest.search`."""
    count = len(groups) if allowed is None else int(allowed.sum())
    asked = min(count, 4 * top)
    while True:
        rows, scores = nearest.search(query, asked, allowed)
        firsts = np.sort(np.unique(groups[rows], return_index=True)[1])
        if len(firsts) >= top or asked == count:
            return rows[firsts[:top]], scores[firsts[:top]]
        asked = min(count, 4 * asked)
