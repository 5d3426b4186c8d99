"""Eight-bit codes of vectors with a proven error bound, which keeps the search exact."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nearfield.core.types import Floats, Vectors
from nearfield.space.storage import mapped, write_array, write_stream

# A vector is x = mean + scale * code + residual. For a query q with code c, scale s and residual r
#
#     q . (x - mean) = s * scale * (c . code) + r . (scale * code) + q . residual
#
# whose last two terms are at most |r| |scale * code| + |q| |residual| (Cauchy-Schwarz). Both lengths are
# measured, and the largest of each group of rows is stored. The mean does not change the order of rows.

Bytes = npt.NDArray[np.int8]

SIDE = 64
"""Number of groups in a tile, and of rows in a group."""
TILE = SIDE * SIDE
"""Number of rows screened together."""

FILES = ("codes.npy", "bounds.npy")
"""The files that `write_codes` writes."""

LARGEST = 127
"""The largest absolute value in a code."""
_ROUNDING = 4e-6  # relative to a product: twice the largest error of its float32 arithmetic
_TINY = 1e-12  # relative to the length of vectors: the largest difference of sums in float64


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of N vectors of D numbers, padded to whole tiles."""

    codes: Bytes
    """(tiles * TILE, D)"""
    bounds: Vectors
    """(3, tiles, SIDE): for each group its scale, its largest residual and its largest length of codes."""

    @classmethod
    def of(cls, vectors: Vectors) -> "Codes":
        """Encodes (N, D) vectors in memory."""
        tiles = list(_tiles(vectors))
        return cls(np.concatenate([codes for codes, _ in tiles]), np.stack([b for _, b in tiles], axis=1))

    @classmethod
    def open(cls, folder: Path) -> "Codes":
        """Memory-maps the files of `write_codes`."""
        return cls(*(mapped(folder / name) for name in FILES))


def write_codes(folder: Path, vectors: Vectors) -> None:
    """Writes the codes of (N, D) vectors tile by tile; each file is replaced atomically."""
    bounds: list[Vectors] = []

    def blocks() -> Iterator[Bytes]:
        for codes, bound in _tiles(vectors):
            bounds.append(bound)
            yield codes

    write_stream(folder / FILES[0], blocks(), vectors.shape[1], np.int8)
    write_array(folder / FILES[1], np.stack(bounds, axis=1))


def _tiles(vectors: Vectors) -> Iterator[tuple[Bytes, Vectors]]:
    """Codes (TILE, D) and bounds (3, SIDE) of each tile; the last tile is padded with its last row."""
    mean = _mean(vectors)
    for first in range(0, len(vectors), TILE):
        rows = vectors[first : first + TILE].astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1).max()
        filled = np.concatenate([rows, np.repeat(rows[-1:], TILE - len(rows), axis=0)]) - mean
        yield _encode(filled.reshape(SIDE, SIDE, -1), float(lengths))


def _encode(rows: Floats, length: float) -> tuple[Bytes, Vectors]:
    """Encodes rows (member, group, D) as codes (TILE, D) and bounds (3, SIDE)."""
    scale = (np.maximum(np.abs(rows).max((0, 2)), 1e-30) / LARGEST).astype(np.float32)
    codes = np.clip(np.rint(rows / scale[:, None].astype(np.float64)), -LARGEST, LARGEST)
    decoded = codes * scale[:, None]
    residual = np.sqrt(np.square(rows - decoded).sum(2)).max(0)
    size = np.sqrt(np.square(decoded).sum(2)).max(0)
    lost = residual + _ROUNDING * (size + residual) + _TINY * length
    bounds = np.stack([scale, _up(lost), _up(size * (1 + _ROUNDING))])
    return codes.astype(np.int8).reshape(TILE, -1), bounds


def _up(numbers: Floats) -> Vectors:
    """Converts to float32, rounding up."""
    return np.nextafter(numbers.astype(np.float32), np.float32(np.inf))


def _mean(vectors: Vectors) -> Floats:
    total = np.zeros(vectors.shape[1], np.float64)
    for first in range(0, len(vectors), TILE):
        total += vectors[first : first + TILE].sum(axis=0, dtype=np.float64)
    return total / max(1, len(vectors))
