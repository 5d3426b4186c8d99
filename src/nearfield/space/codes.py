"""Eight-bit codes of vectors, with a proven bound on what was lost, so that searching them stays exact."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nearfield.core.types import Floats, Vectors
from nearfield.space.storage import mapped, write_array, write_stream

# Codes: vectors in eight bits, with a proven bound on what was lost, so that searching them stays exact.
#
# A vector is x = mean + scale * code + residual. For a query q with code c, scale s and residual r
#
#     q . (x - mean) = s * scale * (c . code) + r . (scale * code) + q . residual
#
# whose last two terms are at most |r| |scale * code| + |q| |residual| (Cauchy and Schwarz). Both lengths are
# measured, not assumed, and kept as the largest of each group of rows. The mean changes no order.

Bytes = npt.NDArray[np.int8]

SIDE = 64
"""Groups in a tile, and rows in a group."""
TILE = SIDE * SIDE
"""Rows that are screened together."""

FILES = ("codes.npy", "bounds.npy")
"""What `write_codes` writes into a folder."""

LARGEST = 127
"""Of a code's numbers, up and down."""
_ROUNDING = 4e-6  # of a product's length: twice what its float32 arithmetic can lose
_TINY = 1e-12  # of the vectors' length: what sums in float64 may differ by


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of N vectors of D numbers, filled up to whole tiles."""

    codes: Bytes
    """(tiles * TILE, D)"""
    bounds: Vectors
    """(3, tiles, SIDE): the scale of each group, its largest residual, its largest length of codes."""

    @classmethod
    def of(cls, vectors: Vectors) -> "Codes":
        """The codes of (N, D) vectors, in memory."""
        tiles = list(_tiles(vectors))
        return cls(np.concatenate([codes for codes, _ in tiles]), np.stack([b for _, b in tiles], axis=1))

    @classmethod
    def open(cls, folder: Path) -> "Codes":
        """Codes that `write_codes` wrote, mapped into memory."""
        return cls(*(mapped(folder / name) for name in FILES))


def write_codes(folder: Path, vectors: Vectors) -> None:
    """Writes the codes of (N, D) vectors a tile at a time, each file whole or not at all."""
    bounds: list[Vectors] = []

    def blocks() -> Iterator[Bytes]:
        for codes, bound in _tiles(vectors):
            bounds.append(bound)
            yield codes

    write_stream(folder / FILES[0], blocks(), vectors.shape[1], np.int8)
    write_array(folder / FILES[1], np.stack(bounds, axis=1))


def _tiles(vectors: Vectors) -> Iterator[tuple[Bytes, Vectors]]:
    """Codes (TILE, D) and bounds (3, SIDE) of each tile; the last one is filled up with its last row."""
    mean = _mean(vectors)
    for first in range(0, len(vectors), TILE):
        rows = vectors[first : first + TILE].astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1).max()
        filled = np.concatenate([rows, np.repeat(rows[-1:], TILE - len(rows), axis=0)]) - mean
        yield _encode(filled.reshape(SIDE, SIDE, -1), float(lengths))


def _encode(rows: Floats, length: float) -> tuple[Bytes, Vectors]:
    """(member, group, D) numbers to codes (TILE, D) and bounds (3, SIDE)."""
    scale = (np.maximum(np.abs(rows).max((0, 2)), 1e-30) / LARGEST).astype(np.float32)
    codes = np.clip(np.rint(rows / scale[:, None].astype(np.float64)), -LARGEST, LARGEST)
    seen = codes * scale[:, None]
    residual = np.sqrt(np.square(rows - seen).sum(2)).max(0)
    size = np.sqrt(np.square(seen).sum(2)).max(0)
    lost = residual + _ROUNDING * (size + residual) + _TINY * length
    bounds = np.stack([scale, _up(lost), _up(size * (1 + _ROUNDING))])
    return codes.astype(np.int8).reshape(TILE, -1), bounds


def _up(numbers: Floats) -> Vectors:
    """To float32, never smaller."""
    return np.nextafter(numbers.astype(np.float32), np.float32(np.inf))


def _mean(vectors: Vectors) -> Floats:
    total = np.zeros(vectors.shape[1], np.float64)
    for first in range(0, len(vectors), TILE):
        total += vectors[first : first + TILE].sum(axis=0, dtype=np.float64)
    return total / max(1, len(vectors))
