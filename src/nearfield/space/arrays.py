"""Arrays on disk as .npy files, whole or not there, and mapped into memory for reading."""

from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import DataError
from nearfield.core.files import replacing


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """An array as a file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_stream(
    path: Path, blocks: Iterable[npt.NDArray[Any]], size: int, kind: npt.DTypeLike = np.float32
) -> int:
    """Blocks (B, size) of one kind as one file (N, size); gives N, which need not be known before.

    Written, not mapped: on a full disk what is mapped ends the process by a signal.
    """
    count, dtype = 0, np.dtype(kind)
    with replacing(path) as temporary, temporary.open("wb") as file:
        _write_header(file, 0, size, dtype)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype).tobytes())
            count += len(block)
        begin = file.tell() - dtype.itemsize * count * size
        file.seek(0)
        _write_header(file, count, size, dtype)
        assert file.tell() == begin, "numpy leaves room in its header for the first axis to grow"
    return count


def mapped(path: Path) -> npt.NDArray[Any]:
    """A file's array, read as it is used; what is done to the array does not reach the file.

    Raises DataError where it is no array.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, TypeError, TokenError) as error:
        raise DataError(f"{path} cannot be read as an array: {' '.join(str(error).split())}") from None


def _write_header(file: Any, count: int, size: int, dtype: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count, size)}
    np.lib.format.write_array_header_1_0(file, header)
