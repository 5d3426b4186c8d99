"""The cache folder: packs of arrays, written in parallel and limited in size."""

import contextlib
import errno
import json
import math
import os
import shutil
import sys
import threading
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import DataError, RequestError, WorkError, in_words
from nearfield.core.files import locked, replacing, write_text
from nearfield.core.machine import usable_cores
from nearfield.core.parallel import in_groups
from nearfield.core.text import count


def cache_folder() -> Path:
    """Returns NEARFIELD_CACHE, or the cache folder of the platform. It may not exist yet.

    It holds data that can be generated again: decoded sounds, digests, synthetic sets.
    """
    if given := os.environ.get("NEARFIELD_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "nearfield" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nearfield"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearfield"


# Errors of the disk that holds the cache.

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CURE = "set NEARFIELD_CACHE to a folder on another disk."


@contextlib.contextmanager
def writing_to(folder: Path, needed: int) -> Iterator[None]:
    """Converts errors of the disk of `folder` to WorkError; `needed` is the approximate number of bytes."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            there = next(each for each in (folder, *folder.parents) if each.exists())
            free = shutil.disk_usage(there).free
            raise WorkError(
                f"{folder}: no space left: {needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free. "
                f"Free some space, or {_CURE}"
            ) from error
        at = Path(str(error.filename or ""))
        if error.filename and (at.is_relative_to(folder) or folder.is_relative_to(at)):
            message = str(in_words(error)).removesuffix(".")
            raise WorkError(f"{message}; or {_CURE}") from error
        raise


# The size limit of the cache: least recently used packs are removed first, but none that a process uses.
#
# Each process lists the packs that it uses in its own file below `in-use`, and holds a lock on this file
# until it ends in any way. If the system or the disk does not support locks, a pack may be removed while it
# is mapped; existing mappings remain valid.

VARIABLE = "NEARFIELD_CACHE_GB"
USUAL = 20.0
"""Default limit of the cache in GB."""

BOUNDED = ("waves", "photographs", "features")
"""Folders of the cache that hold packs."""

_NOTES: dict[Path, int] = {}
"""Cache folders to the open, locked files that list the packs used by this process."""
_TAKEN: dict[Path, set[Path]] = {}
"""Contents of these files, to write them again if they are removed."""


def limit() -> float:
    """Reads the limit of the cache in bytes; infinity for `none`. Raises RequestError for other values."""
    given = os.environ.get(VARIABLE) or str(USUAL)
    try:
        found = float("inf") if given == "none" else float(given)
    except ValueError:
        found = -1.0
    if not found >= 0:
        raise RequestError(f"{VARIABLE}: use a number of GB, or none for no limit. Given: {given!r}.")
    return found * 1e9


@contextlib.contextmanager
def taking(cache: Path) -> Iterator[Callable[[Iterable[Path]], None]]:
    """Prevents removals from the cache during the block.

    Packs given to the yielded function are in use until the process ends.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a read-only cache has no limit
            stack.enter_context(locked(cache / "in-use" / "lock"))
        yield partial(_take, cache)


def keep_within(cache: Path, tell: Callable[[str], None] | None = None) -> int:
    """Removes least recently used packs until the cache is within `limit`; returns the bytes freed.

    `tell` gets a message if something was removed.
    """
    most, freed = limit(), 0
    with taking(cache):
        packs = _statuses(cache)
        left = sum(status.st_size for status in packs.values())
        used = _in_use(cache) if left > most else set()
        for pack, status in sorted(packs.items(), key=lambda item: item[1].st_mtime_ns):
            if left - freed <= most:
                break
            if pack not in used and not _is_held(_lock_of(pack)):
                with contextlib.suppress(OSError):  # mapped, on a system that does not remove mapped files
                    pack.unlink()
                    pack.with_suffix(".json").unlink(missing_ok=True)
                    freed += status.st_size
    if freed and tell is not None:
        size = f"{freed / 1e9:,.1f} GB" if freed >= 1e8 else f"{freed / 1e6:,.2f} MB"
        tell(
            f"{cache}: the least recently used {size} of decoded data and spectrograms were removed to stay "
            f"within {most / 1e9:,g} GB ({VARIABLE} sets another limit, or none)."
        )
    return freed


def _statuses(cache: Path) -> dict[Path, os.stat_result]:
    """Size and last use of each pack; packs that another process removes in the meantime are skipped."""
    found = {}
    for pack in _packs(cache):
        with contextlib.suppress(FileNotFoundError):
            found[pack] = pack.stat()
    return found


def _packs(cache: Path) -> Iterator[Path]:
    return (pack for name in BOUNDED for pack in (cache / name).glob("*/*.npy"))


def _lock_of(pack: Path) -> Path:
    """The lock that is held while packs are written: see `Store` and `feature_cache`."""
    folder = pack.parent
    return folder.with_name(f"{folder.name}.lock") if folder.parent.name == "features" else folder / "lock"


def _take(cache: Path, packs: Iterable[Path]) -> None:
    taken = set(packs)
    with contextlib.suppress(OSError):
        noted = taken
        if cache in _NOTES and not os.fstat(_NOTES[cache]).st_nlink:
            os.close(_NOTES.pop(cache))
            noted = taken | _TAKEN[cache]
        if cache not in _NOTES:
            _in_use(cache)  # removes the notes of processes that ended
            _NOTES[cache] = _note(cache / "in-use")
        os.write(_NOTES[cache], "".join(f"{pack.relative_to(cache)}\n" for pack in sorted(noted)).encode())
    _TAKEN.setdefault(cache, set()).update(taken)
    for pack in sorted(taken):
        with contextlib.suppress(OSError):
            os.utime(pack)


def _note(folder: Path) -> int:
    file = os.open(folder / f"{os.getpid()}-{uuid.uuid4().hex}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def _in_use(cache: Path) -> set[Path]:
    """Packs that running processes use; the lists of ended processes are removed."""
    used: set[Path] = set()
    for note in (cache / "in-use").glob("*.txt"):
        if _is_held(note):
            lines = note.read_text(encoding="utf-8").split("\n")
            used.update(cache / line for line in lines if line)
        else:
            with contextlib.suppress(OSError):
                note.unlink()
    return used


def _is_held(path: Path) -> bool:
    """Whether a process holds a lock on a file."""
    with contextlib.suppress(ImportError, FileNotFoundError), path.open("rb") as file:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


# Packs: many arrays in few files, written atomically and memory-mapped for reading.
#
# A pack is a flat `.npy` file and a `.json` index with the position of each array. The index is written last;
# a pack without index is ignored. (Three thousand sounds of half a second take 26 s to write and 3,000 open
# files to read one by one, but 0.2 s and one file as a pack.) The index also has the CRC-32 checksum of each
# array, which is verified at its first use in a process. It detects damage, not manipulation.

HEADER = 128
"""Bytes of the header of a flat `.npy` file, for any length."""


@dataclass(frozen=True)
class Place:
    """The position of an array."""

    pack: Path
    first: int
    """Number of items before it in the pack."""
    shape: tuple[int, ...]
    checksum: int
    """CRC-32 of the written bytes."""


_COMPARED: set[Place] = set()
"""Arrays whose checksums this process has verified."""


class Packs:
    """A folder of packs of one data type, with arrays by key."""

    def __init__(self, folder: Path, dtype: npt.DTypeLike) -> None:
        self.folder = folder
        self.dtype = np.dtype(dtype).newbyteorder("<")

    def places(self) -> dict[str, Place]:
        """Returns the positions of all arrays by key."""
        found: dict[str, Place] = {}
        for index in sorted(self.folder.glob("*.json")):
            pack = index.with_suffix(".npy")
            # Packs that were removed or are damaged are ignored.
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
        """Returns the arrays as read-only memory maps."""
        maps: dict[Path, npt.NDArray[Any]] = {}
        views = []
        for place in places:
            if place.pack not in maps:
                mapped = np.memmap(place.pack, self.dtype, mode="r", offset=HEADER)
                maps[place.pack] = np.asarray(mapped)  # slicing a plain array takes a tenth of the time
            size = math.prod(place.shape)
            views.append(maps[place.pack][place.first : place.first + size].reshape(place.shape))
        return views

    def damaged(self, places: Iterable[Place]) -> set[Path]:
        """Returns the packs in which the checksum of one of these arrays is wrong."""
        fresh = [place for place in places if place not in _COMPARED]
        sums = in_groups(lambda view: zlib.crc32(view.data), self.views(fresh), usable_cores())
        same = {place: found == place.checksum for place, found in zip(fresh, sums, strict=True)}
        _COMPARED.update(place for place, is_same in same.items() if is_same)
        return {place.pack for place, is_same in same.items() if not is_same}

    def remove(self, packs: Iterable[Path]) -> None:
        """Removes packs; existing memory maps remain valid."""
        for pack in packs:
            pack.with_suffix(".json").unlink(missing_ok=True)
            pack.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator["PackWriter"]:
        """Writes a new pack, which becomes visible when the block ends without error."""
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
        """Keys to checksum, position and shape of the array."""
        self._file, self._dtype, self._items = file, dtype, 0
        file.seek(HEADER)

    def add(self, key: str, blocks: Iterable[npt.NDArray[Any]]) -> None:
        """Appends an array given in blocks along its first axis; an error in `blocks` leaves the pack as it
        was."""
        length, rest, items, checksum = 0, (0,), 0, 0
        try:
            for block in blocks:
                if block.size:  # tofile() does not report a full disk
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
        """Writes the header with the final length."""
        self._file.seek(0)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._items,)}
        np.lib.format.write_array_header_1_0(self._file, header)
        if self._file.tell() != HEADER:
            raise AssertionError("a flat .npy header has 128 bytes")
        self._file.flush()


# Writing of packs: sources are decoded in parallel with limited memory, and all faults are reported together.

Progress = Callable[[int, int], None]
"""Called with the number done and the total; possibly from several threads, one at a time."""

Tell = Callable[[str], None]
"""Called with a message for the user."""

LARGE = 1_000_000_000
"""Number of bytes from which the amount and the folder are announced."""

Blocks = Callable[[Path], Iterable[npt.NDArray[Any]]]
"""Yields the data of a source in blocks."""

SMALLEST, LARGEST = 1 << 22, 1 << 28
"""Approximate limits of the bytes in a pack: each pack waits for the disk; a longer source has its own."""


class Filling:
    """Decodes missing sources in groups of about one pack, each in one thread with limited memory."""

    def __init__(
        self,
        packs: Packs,
        missing: dict[str, Path],
        blocks: Blocks,
        weigh: Callable[[Path], int],
        progress: Progress | None,
        tell: Tell,
    ) -> None:
        self._packs, self._missing, self._blocks, self._progress = packs, missing, blocks, progress
        self._weigh, self._tell = weigh, tell
        self._done = 0
        self._faults: dict[str, DataError] = {}
        self._lock, self._stop = threading.Lock(), threading.Event()

    def run(self) -> dict[str, DataError]:
        """Writes the packs, and gives what is wrong with each source that could not be decoded."""
        weights = self._weights()
        needed, workers = sum(weights.values()), usable_cores()
        groups = list(_groups(weights, min(LARGEST, max(SMALLEST, needed // (2 * workers)))))
        if needed >= LARGE:
            self._tell(_announced(len(weights), needed, self._packs.folder))
        with writing_to(self._packs.folder, needed), ThreadPoolExecutor(workers, "decode") as pool:
            try:
                list(pool.map(self._write, groups))
            except BaseException:
                self._stop.set()
                raise
        return self._faults

    def _weights(self) -> dict[str, int]:
        weights: dict[str, int] = {}
        for digest, path in self._missing.items():
            try:
                weights[digest] = self._weigh(path)
            except DataError as fault:
                self._faults[digest] = fault
        return weights

    def _write(self, group: list[str]) -> None:
        with self._packs.writing() as writer:
            for digest in group:
                if self._stop.is_set():
                    return
                self._add(writer, digest)

    def _add(self, writer: PackWriter, digest: str) -> None:
        try:
            writer.add(digest, self._blocks(self._missing[digest]))
        except DataError as fault:
            self._faults[digest] = fault
        with self._lock:
            self._done += 1
            if self._progress:
                self._progress(self._done, len(self._missing))


def _announced(files: int, needed: int, folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    return (
        f"{count(files, 'file')} will be decoded once to {folder}: about {needed / 1e9:,.1f} GB of "
        f"{free / 1e9:,.1f} GB free. NEARFIELD_CACHE sets another folder; `nearfield doctor --clear-cache` "
        "empties it."
    )


def _groups(weights: dict[str, int], limit: int) -> Iterator[list[str]]:
    """Consecutive keys in groups with a total weight of about `limit`."""
    group: list[str] = []
    total = 0
    for key, weight in weights.items():
        group.append(key)
        total += weight
        if total >= limit:
            yield group
            group, total = [], 0
    if group:
        yield group


def refuse(faults: list[str]) -> None:
    """Raises DataError with the first ten faults, if there are any."""
    if faults:
        more = [f"... and {len(faults) - 10} more."] if len(faults) > 10 else []
        raise DataError("\n".join([*faults[:10], *more]))
