"""The files of a space: `space.json` and arrays, each replaced atomically."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from nearfield.core.errors import DataError
from nearfield.core.files import digest, not_there, replacing, write_text
from nearfield.core.settings import Settings
from nearfield.space.identity import WindowMode

# Arrays as .npy files, written atomically and memory-mapped for reading.


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes an array to a file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_stream(
    path: Path, blocks: Iterable[npt.NDArray[Any]], size: int, kind: npt.DTypeLike = np.float32
) -> int:
    """Writes blocks (B, size) as one array (N, size) and returns N, which need not be known in advance.

    The file is not memory-mapped: on a full disk a write to a mapped file kills the process by a signal.
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
    """Memory-maps the array of a file copy-on-write. Raises DataError if the file holds no array."""
    try:
        return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, TypeError, TokenError) as error:
        raise DataError(f"{path} cannot be read as an array: {' '.join(str(error).split())}") from None


def _write_header(file: Any, count: int, size: int, dtype: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count, size)}
    np.lib.format.write_array_header_1_0(file, header)


# space.json lists the files of the current state of a space. An update replaces it atomically.

NAME = "space.json"
FORMAT = 1
ENCODER = "encoder"
"""The folder of the run that embeds queries; it is compared with the identity when it is used."""
QUICK = 1 << 24
"""Files up to this many bytes are compared with their digest whenever a space is opened: about 10 ms."""


class FileFacts(Settings):
    """The length and digest of a file."""

    bytes: int
    sha256: str


class Approximate(Settings):
    """The settings of an approximate index and its measured recall."""

    nprobes: int
    """Partitions of the index that a search reads."""
    refine: int
    """The multiple of the requested rows that is compared by full vectors."""
    recall: float
    """Measured share of the ten nearest rows that the index finds."""
    queries: int
    """Number of rows used as queries to measure the recall."""


class SpaceFile(Settings):
    """The contents of space.json."""

    format: int = FORMAT
    version: int
    """The number of this state, counted from 1."""
    identity: dict[str, Any]
    """See `identity.Identity`."""
    run: str
    """The folder of the run, as it was given."""
    data: str
    """The absolute path of the data; in an older space, as it was given."""
    windows: WindowMode
    """One vector per clip, or one per window."""
    count: int
    """N, the number of vectors."""
    size: int
    """D, the number of dimensions."""
    files: dict[str, FileFacts]
    """Every other file, by its path relative to the space's folder."""
    approximate: Approximate | None = Field(default=None)
    """The approximate index of this state, if one was built."""

    def write(self, folder: Path) -> None:
        """Replaces the previous state by this one."""
        plain = self.model_dump(mode="json")
        write_text(folder / NAME, json.dumps(plain | {"check": _check(plain)}, indent=1, ensure_ascii=False))

    @classmethod
    def read(cls, folder: Path) -> "SpaceFile":
        """Reads the current state. Raises RequestError if there is no space, DataError if it is damaged."""
        path = folder / NAME
        if not path.is_file():
            raise not_there("space", folder)
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            check = plain.pop("check")
            found = cls.model_validate(plain)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError, ValidationError):
            raise damaged(folder, f"{NAME} cannot be read") from None
        if check != _check(plain):
            raise damaged(folder, f"{NAME} was changed", found)
        if found.format != FORMAT:
            raise damaged(folder, f"it has format {found.format}; this version reads format {FORMAT}", found)
        return found

    def check_opening(self, folder: Path) -> None:
        """Raises DataError if a file is missing or has another length, or a small file has changed.

        Small files have at most `QUICK` bytes; the encoder is not read here.
        """
        self.check_sizes(folder)
        for name, facts in self.files.items():
            if facts.bytes <= QUICK and not name.startswith(ENCODER):
                self._check_content(folder, name)

    def check_sizes(self, folder: Path) -> None:
        """Raises DataError if a file is missing or has another length."""
        for name, facts in self.files.items():
            try:
                length = (folder / name).stat().st_size
            except OSError:
                raise damaged(folder, f"{name} is missing", self) from None
            if length != facts.bytes:
                raise damaged(folder, f"{name} has {length:,} bytes instead of {facts.bytes:,}", self)

    def check_contents(self, folder: Path) -> None:
        """Reads every file; raises DataError if one has changed."""
        self.check_sizes(folder)
        for name in self.files:
            self._check_content(folder, name)

    def _check_content(self, folder: Path, name: str) -> None:
        try:
            found = digest(folder / name)
        except OSError as error:
            raise damaged(folder, f"{name} cannot be read ({error.strerror})", self) from None
        if found != self.files[name].sha256:
            raise damaged(folder, f"the contents of {name} have changed", self)


def facts_of(folder: Path, files: Iterable[Path]) -> dict[str, FileFacts]:
    """Length and digest of files below `folder`, by relative path."""
    return {
        str(file.relative_to(folder).as_posix()): FileFacts(bytes=file.stat().st_size, sha256=digest(file))
        for file in files
    }


def in_force(generation: Path) -> Path:
    """The folder of a generation. Raises DataError if two later updates have removed it."""
    if not generation.is_dir():
        raise DataError(
            f"{generation.parents[1]} was updated twice since it was opened here, so the opened state is "
            "gone. Open it again (Space.reload, or restart the server)."
        )
    return generation


def damaged(folder: Path, reason: str, known: SpaceFile | None = None) -> DataError:
    """The error for a damaged space, with the command that makes it again."""
    run, data = (known.run, known.data) if known else ("RUN", "DATA")
    return DataError(
        f"The index {folder} is damaged: {reason}. Your sounds are untouched. Make it again: "
        f"remove {folder}, then nearfield index {run} --data {data} --out {folder}"
    )


def _check(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
