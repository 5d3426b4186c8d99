"""Generations of a space: immutable files of vectors and of the search, and the current state."""

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


# Typicality of a sound: the rank of its nearest-neighbor distance among those of the clips of the space.
#
# For a clip drawn like those of the space every rank is equally likely (conformal prediction, Vovk et al.
# 2005, chapter 2): about a share p of such clips has a typicality of p or less. Neighbors of the same group
# are left out, because the space has no clip of a new sound's own recording.

SAME = 1e-6
"""Largest cosine distance between two vectors of one sound: float32, and batches of different composition."""
SAMPLE = 2000
"""Number of clips in the calibration; the resolution of p is then 1/2000."""
_AT_ONCE = 32  # neighbors searched first; rows whose group has more are searched again without their group


def calibrate(nearest: Nearest, groups: Ints) -> Floats:
    """Ascending cosine distances of a sample of rows to their nearest neighbor of another group.

    If all rows are of one group, distances to the nearest other row; empty if there is only one row.
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
    """Share of clips, the query included, whose nearest neighbor is at `distance` or farther."""
    farther = len(calibration) - int(np.searchsorted(calibration, distance - SAME))
    return (1 + farther) / (1 + len(calibration))


# A generation: the vectors and search files of one state, which never change.
#
# vectors.npy      (N, D) float32, of unit length
# codes.npy        (P, D) int8, and bounds.npy: see `codes`
# groups.npy       (N,) group of each row as a number; recordings.npy the same for recordings
# calibration.npy  ascending distances: see `typicality`
# rows.arrow       metadata of each vector: see `rows`

Grouping = Literal["group", "recording"]

VECTORS, CALIBRATION = "vectors.npy", "calibration.npy"
GROUPINGS: dict[Grouping, str] = {"group": "groups.npy", "recording": "recordings.npy"}

_BLOCK = 1 << 14


@dataclass(frozen=True)
class Generation:
    """The folder of one generation; its files are read on first use."""

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
        """Ascending distances of clips to their nearest neighbor; see `calibrate`."""
        return mapped(in_force(self.folder) / CALIBRATION)

    def grouping(self, name: Grouping) -> Ints:
        """(N,) the group or recording of each row as a number."""
        return self._groupings[name]

    @cached_property
    def _groupings(self) -> dict[Grouping, Ints]:
        return {name: mapped(in_force(self.folder) / file) for name, file in GROUPINGS.items()}


def write_generation(folder: Path, blocks: Iterator[Vectors], size: int, rows: pa.Table) -> Generation:
    """Writes the files of a generation from blocks of unit vectors (B, size) and the table of rows."""
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
    """Yields blocks of the rows `order` of several arrays, numbered as if they were concatenated."""
    firsts = np.cumsum([0, *(len(part) for part in parts)])
    for begin in range(0, len(order), _BLOCK):
        rows = order[begin : begin + _BLOCK]
        block = np.empty((len(rows), parts[0].shape[1]), np.float32)
        for part, first, end in zip(parts, firsts[:-1], firsts[1:], strict=True):
            own = (rows >= first) & (rows < end)
            block[own] = part[rows[own] - first]
        yield block


def unit_rows(vectors: Vectors) -> Vectors:
    """Scales each row of (N, D) to unit length; zero rows stay unchanged."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return (exact / np.where(lengths > 1e-6, lengths, 1.0)).astype(np.float32)


def _numbered(names: pa.ChunkedArray) -> Ints:
    numbers: Ints = pd.factorize(names.to_pandas())[0].astype(np.int64)
    return numbers


# The current state of a space: space.json and the generation that it names.

GENERATIONS = "generations"
"""The folder of the generations."""


@dataclass(frozen=True)
class State:
    """A state of a space."""

    file: SpaceFile
    generation: Generation
    rows: Rows

    @classmethod
    def read(cls, folder: Path) -> "State":
        """Reads the current state; raises the errors of `SpaceFile.read` and `check_opening`."""
        file = SpaceFile.read(folder)
        file.check_opening(folder)
        own = generation_folder(folder, file.version)
        return cls(file, Generation(own), Rows(own))


def generation_folder(folder: Path, version: int) -> Path:
    """The folder of one state."""
    return folder / GENERATIONS / f"{version:06d}"
