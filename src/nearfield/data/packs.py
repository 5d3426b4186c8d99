"""Packs: many arrays in few files, written whole or not at all, mapped into memory to be read.

A pack is a flat `.npy` file and a `.json` index beside it that says where each array lies; the index is
written last, so a pack without one does not exist. (Three thousand files of half a second: 26 s to write
and 3,000 open files to read one by one; 0.2 s and one file as a pack.) Beside each array's place stands its
checksum (CRC-32), which is compared once in a process where the array is read: damage is found, not forgery.
"""

import contextlib
import json
import math
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from nearfield.core.files import replacing, write_text
from nearfield.core.machine import usable_cores
from nearfield.data.threads import in_groups

HEADER = 128
"""Bytes of the header of a flat `.npy` file, whatever its length."""


@dataclass(frozen=True)
class Place:
    """Where one array lies."""

    pack: Path
    first: int
    """Number of items in the pack before it."""
    shape: tuple[int, ...]
    checksum: int
    """CRC-32 of the bytes that were written."""


_COMPARED: set[Place] = set()
"""Arrays that were found to be as they were written since this process began."""


class Packs:
    """A folder of packs of one number format, in which arrays are found by a key."""

    def __init__(self, folder: Path, dtype: npt.DTypeLike) -> None:
        self.folder = folder
        self.dtype = np.dtype(dtype).newbyteorder("<")

    def places(self) -> dict[str, Place]:
        """Every array that is there."""
        found: dict[str, Place] = {}
        for index in sorted(self.folder.glob("*.json")):
            pack = index.with_suffix(".npy")
            # Removed or damaged, be it JSON of another shape: as if it were not there.
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
                entries: dict[str, list[int]] = json.loads(index.read_text(encoding="utf-8"))["arrays"]
                places = {
                    key: Place(pack, first, tuple(shape), checksum)
                    for key, (checksum, first, *shape) in entries.items()
                }
                items = max((place.first + math.prod(place.shape) for place in places.values()), default=0)
                if pack.stat().st_size >= HEADER + items * self.dtype.itemsize:
                    found |= places
        return found

    def views(self, places: Iterable[Place]) -> list[npt.NDArray[Any]]:
        """The arrays, read-only, mapped and not yet read."""
        maps: dict[Path, npt.NDArray[Any]] = {}
        views = []
        for place in places:
            if place.pack not in maps:
                mapped = np.memmap(place.pack, self.dtype, mode="r", offset=HEADER)
                maps[place.pack] = np.asarray(mapped)  # slices of a plain array cost a tenth
            size = math.prod(place.shape)
            views.append(maps[place.pack][place.first : place.first + size].reshape(place.shape))
        return views

    def damaged(self, places: Iterable[Place]) -> set[Path]:
        """Packs in which one of these arrays is not as it was written."""
        fresh = [place for place in places if place not in _COMPARED]
        sums = in_groups(lambda view: zlib.crc32(view.data), self.views(fresh), usable_cores())
        same = {place: found == place.checksum for place, found in zip(fresh, sums, strict=True)}
        _COMPARED.update(place for place, is_same in same.items() if is_same)
        return {place.pack for place, is_same in same.items() if not is_same}

    def remove(self, packs: Iterable[Path]) -> None:
        """Removes packs; whoever has them mapped keeps what was mapped."""
        for pack in packs:
            pack.with_suffix(".json").unlink(missing_ok=True)
            pack.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator["PackWriter"]:
        """A new pack, there for everybody when the block ends well."""
        pack = self.folder / f"{uuid.uuid4().hex}.npy"
        with replacing(pack) as temporary, temporary.open("wb") as file:
            writer = PackWriter(file, self.dtype)
            yield writer
            writer.finish()
        if writer.entries:
            write_text(pack.with_suffix(".json"), json.dumps({"arrays": writer.entries}))
        else:
            pack.unlink()


class PackWriter:
    """Appends arrays to one pack."""

    def __init__(self, file: BinaryIO, dtype: np.dtype[Any]) -> None:
        self.entries: dict[str, tuple[int, ...]] = {}
        """For each key the array's checksum, where it begins, and its shape."""
        self._file, self._dtype, self._items = file, dtype, 0
        file.seek(HEADER)

    def add(self, key: str, blocks: Iterable[npt.NDArray[Any]]) -> None:
        """Appends one array, given in blocks along its first axis. An error in `blocks` leaves no trace."""
        length, rest, items, checksum = 0, (0,), 0, 0
        try:
            for block in blocks:
                if block.size:  # not tofile(): its errors do not say that the disk is full
                    data = np.ascontiguousarray(block, self._dtype).data
                    self._file.write(data)
                    checksum = zlib.crc32(data, checksum)
                length, rest, items = length + len(block), block.shape[1:], items + block.size
        except BaseException:
            self._file.seek(HEADER + self._items * self._dtype.itemsize)
            self._file.truncate()
            raise
        self.entries[key] = (checksum, self._items, length, *rest)
        self._items += items

    def finish(self) -> None:
        """Writes the header, now that the length is known."""
        self._file.seek(0)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._items,)}
        np.lib.format.write_array_header_1_0(self._file, header)
        if self._file.tell() != HEADER:
            raise AssertionError("a flat .npy header has 128 bytes")
        self._file.flush()
