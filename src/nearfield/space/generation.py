"""A generation: the vectors of one state of a space and what search needs, in files that never change.

vectors.npy      (N, D) float32, of unit length
codes.npy        (P, D) int8, and bounds.npy: see `codes`
groups.npy       (N,) numbers of groups, and recordings.npy, of recordings
calibration.npy  ascending: see `typicality`
rows.arrow       what is known of each vector: see `rows`
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from nearfield.core.nouns import Floats, Ints, Vectors
from nearfield.space.arrays import mapped, write_array, write_stream
from nearfield.space.spacefile import in_force

if TYPE_CHECKING:
    from nearfield.space.nearest import Nearest

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
    from nearfield.space.typicality import calibrate

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
