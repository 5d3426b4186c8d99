"""`space.json` and arrays on disk: the files that make up a space, replaced whole."""

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
from nearfield.training.stream import Windows

# Arrays on disk as .npy files, whole or not there, and mapped into memory for reading.


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


# space.json: which files make up the present state of a space. Replacing it, whole, is what an update is.

NAME = "space.json"
FORMAT = 1
ENCODER = "encoder"
"""The folder with the run that hears queries, which is compared with the identity where it is used."""
QUICK = 1 << 24
"""Bytes up to which a file is compared with its digest whenever a space is opened: some 10 ms."""


class FileFacts(Settings):
    """What a file must be."""

    bytes: int
    sha256: str


class Approximate(Settings):
    """An approximate index that was built, and how well it finds what is there."""

    nprobes: int
    """Parts of the index that a search looks into."""
    refine: int
    """Times as many rows as asked for are compared by their full vectors."""
    recall: float
    """Measured share of the ten nearest that it finds."""
    queries: int
    """Rows of the space that it was measured with."""


class SpaceFile(Settings):
    """The contents of space.json."""

    format: int = FORMAT
    version: int
    """Counts the states of this space from 1."""
    identity: dict[str, Any]
    """See `identity.Identity`."""
    run: str
    """The run's folder, as it was given."""
    data: str
    """The data from the root on; in an older space, as they were given."""
    windows: Windows
    """One vector a clip, or one a window."""
    count: int
    """N, the number of vectors."""
    size: int
    """D, the numbers in each."""
    files: dict[str, FileFacts]
    """Every other file, from the space's folder on."""
    approximate: Approximate | None = Field(default=None)
    """The approximate index of this state, where one was built."""

    def write(self, folder: Path) -> None:
        """Puts this state in the place of the one before."""
        plain = self.model_dump(mode="json")
        write_text(folder / NAME, json.dumps(plain | {"check": _check(plain)}, indent=1, ensure_ascii=False))

    @classmethod
    def read(cls, folder: Path) -> "SpaceFile":
        """The present state. Raises RequestError where there is no space, DataError where it is damaged."""
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
            raise damaged(folder, f"it has format {found.format}, and this version reads {FORMAT}", found)
        return found

    def check_opening(self, folder: Path) -> None:
        """Raises DataError where a file is missing or has another length, or one of the present generation
        that is read in no time (`QUICK` bytes) is not what was written."""
        self.check_sizes(folder)
        for name, facts in self.files.items():
            if facts.bytes <= QUICK and not name.startswith(ENCODER):
                self._check_content(folder, name)

    def check_sizes(self, folder: Path) -> None:
        """Raises DataError where a file is missing or has another length."""
        for name, facts in self.files.items():
            try:
                length = (folder / name).stat().st_size
            except OSError:
                raise damaged(folder, f"{name} is missing", self) from None
            if length != facts.bytes:
                raise damaged(folder, f"{name} has {length:,} bytes instead of {facts.bytes:,}", self)

    def check_contents(self, folder: Path) -> None:
        """Reads every file; raises DataError where one is not what was written."""
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
    """What is to be remembered of some files below `folder`."""
    return {
        str(file.relative_to(folder).as_posix()): FileFacts(bytes=file.stat().st_size, sha256=digest(file))
        for file in files
    }


def in_force(generation: Path) -> Path:
    """A generation's folder. Raises DataError where it is gone: two updates remove what was in force."""
    if not generation.is_dir():
        raise DataError(
            f"{generation.parents[1]} was brought up to date twice since it was opened here, and what it "
            "held then is gone. Open it again (Space.reload; or start the server anew)."
        )
    return generation


def damaged(folder: Path, reason: str, known: SpaceFile | None = None) -> DataError:
    """The index is not what it was; the command that makes it again."""
    run, data = (known.run, known.data) if known else ("RUN", "DATA")
    return DataError(
        f"The index {folder} is damaged: {reason}. Your sounds are untouched. Make it again: "
        f"remove {folder}, then nearfield index {run} --data {data} --out {folder}"
    )


def _check(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
