"""From what a user points at to one direction on the sphere: sounds, spans, clips, vectors, or several."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from nearfield.core.errors import DataError, RequestError
from nearfield.core.nouns import Ints, Vectors
from nearfield.data.arrays import Input
from nearfield.data.audio import describe
from nearfield.runs.run import Run
from nearfield.space.generation import unit_rows
from nearfield.space.hearing import hear
from nearfield.space.identity import Identity

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
