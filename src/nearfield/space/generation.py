"""A generation of a space: vectors and search files that never change; the state in force."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.space.nearest import Nearest
from nearfield.space.rows import Rows
from nearfield.space.storage import SpaceFile, in_force, mapped, write_array, write_stream

if TYPE_CHECKING:
    from nearfield.space.nearest import Nearest


# How typical a sound is of a space: where the distance to its nearest stands among those of the clips.
#
# For a clip like those of the space every rank is as likely (conformal prediction, Vovk et al. 2005,
# chapter 2): of such clips about a share p has a typicality of p or less. Own groups are left out, because
# a new sound has no clip of its own recording here.

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


# A generation: the vectors of one state of a space and what search needs, in files that never change.
#
# vectors.npy      (N, D) float32, of unit length
# codes.npy        (P, D) int8, and bounds.npy: see `codes`
# groups.npy       (N,) numbers of groups, and recordings.npy, of recordings
# calibration.npy  ascending: see `typicality`
# rows.arrow       what is known of each vector: see `rows`

Grouping = Literal["group", "recording"]

VECTORS, CALIBRATION = "vectors.npy", "calibration.npy"
GROUPINGS: dict[Grouping, str] = {"group": "groups.npy", "recording": "recordings.npy"}

_BLOCK = 1 << 14


@dataclass(frozen=True)
class Generation:
    """One generation's folder; nothing is read before it is asked for."""

    folder: Path

    @cached_property
    def vectors(self) -> Vectors:
        """(N, D) of unit length."""
        return mapped(in_force(self.folder) / VECTORS)

    @cached_property
    def nearest(self) -> "Nearest":
        """The exact search."""
        from nearfield.space.codes import Codes  # the compiler takes half a second to load
        from nearfield.space.nearest import Nearest

        return Nearest(self.vectors, Codes.open(in_force(self.folder)))

    @cached_property
    def calibration(self) -> Floats:
        """How far clips of this space are from their nearest, ascending."""
        return mapped(in_force(self.folder) / CALIBRATION)

    def grouping(self, name: Grouping) -> Ints:
        """(N,) the number of each row's group or recording."""
        return self._groupings[name]

    @cached_property
    def _groupings(self) -> dict[Grouping, Ints]:
        return {name: mapped(in_force(self.folder) / file) for name, file in GROUPINGS.items()}


def write_generation(folder: Path, blocks: Iterator[Vectors], size: int, rows: pa.Table) -> Generation:
    """Writes all files of a generation; `blocks` are its unit vectors (B, size), `rows` its table."""
    from nearfield.space.codes import write_codes

    folder.mkdir(parents=True, exist_ok=True)
    write_stream(folder / VECTORS, blocks, size)
    generation = Generation(folder)
    write_codes(folder, generation.vectors)
    for name, file in GROUPINGS.items():
        write_array(folder / file, _numbered(rows[name]))
    write_array(folder / CALIBRATION, calibrate(generation.nearest, generation.grouping("group")))
    return generation


def gathered(parts: list[Vectors], order: Ints) -> Iterator[Vectors]:
    """Rows of several arrays, counted through one after the other, in `order`, a block at a time."""
    firsts = np.cumsum([0, *(len(part) for part in parts)])
    for begin in range(0, len(order), _BLOCK):
        rows = order[begin : begin + _BLOCK]
        block = np.empty((len(rows), parts[0].shape[1]), np.float32)
        for part, first, end in zip(parts, firsts[:-1], firsts[1:], strict=True):
            own = (rows >= first) & (rows < end)
            block[own] = part[rows[own] - first]
        yield block


def unit_rows(vectors: Vectors) -> Vectors:
    """(N, D), each row divided by its length; a row of no length stays as it is."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return (exact / np.where(lengths > 1e-6, lengths, 1.0)).astype(np.float32)


def _numbered(names: pa.ChunkedArray) -> Ints:
    numbers: Ints = pd.factorize(names.to_pandas())[0].astype(np.int64)
    return numbers


# A state of a space: the file that says what is in force, and the generation that it names.

GENERATIONS = "generations"
"""The folder of a space with its generations."""


@dataclass(frozen=True)
class State:
    """A state of a space that is in force."""

    file: SpaceFile
    generation: Generation
    rows: Rows

    @classmethod
    def read(cls, folder: Path) -> "State":
        """The present one; raises as `SpaceFile.read` and `check_opening`."""
        file = SpaceFile.read(folder)
        file.check_opening(folder)
        own = generation_folder(folder, file.version)
        return cls(file, Generation(own), Rows(own))


def generation_folder(folder: Path, version: int) -> Path:
    """Where all that belongs to one state lies."""
    return folder / GENERATIONS / f"{version:06d}"
