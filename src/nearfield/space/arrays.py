"""Arrays on disk as .npy files, whole or not there, and mapped into memory for reading."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.files import replacing
from nearfield.core.nouns import Vectors


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """An array as a file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_stream(path: Path, blocks: Iterable[Vectors], size: int) -> int:
    """Blocks (B, size) of float32 as one file (N, size); gives N, which need not be known before."""
    count = 0
    with replacing(path) as temporary, temporary.open("wb") as file:
        _write_header(file, 0, size)
        for block in blocks:
            file.write(np.ascontiguousarray(block, np.float32).tobytes())
            count += len(block)
        begin = file.tell() - 4 * count * size
        file.seek(0)
        _write_header(file, count, size)
        assert file.tell() == begin, "numpy leaves room in its header for the first axis to grow"
    return count


def mapped(path: Path) -> npt.NDArray[Any]:
    """A file's array, read as it is used; what is done to the array does not reach the file."""
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def _write_header(file: Any, count: int, size: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, size)}
    np.lib.format.write_array_header_1_0(file, header)
