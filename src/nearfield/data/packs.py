"""The cache folder: packs of arrays, filled in parallel, bounded in size, told when the disk is full."""

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

# Where Nearfield keeps what it can make again: decoded sound, digests, synthetic sets.


def cache_folder() -> Path:
    """The folder named by NEARFIELD_CACHE, or the platform's own cache folder. It may not exist yet."""
    if given := os.environ.get("NEARFIELD_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "nearfield" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nearfield"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearfield"


# Trouble with the disk that the cache lies on, told in words.

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CURE = "set NEARFIELD_CACHE to a folder on another disk."


@contextlib.contextmanager
def writing_to(folder: Path, needed: int) -> Iterator[None]:
    """Turns errors of the disk under `folder` into WorkError; about `needed` bytes were to be written."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            there = next(each for each in (folder, *folder.parents) if each.exists())
            free = shutil.disk_usage(there).free
            raise WorkError(
                f"{folder}: no space left: {needed / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB free. "
                f"Free some, or {_CURE}"
            ) from error
        at = Path(str(error.filename or ""))
        if error.filename and (at.is_relative_to(folder) or folder.is_relative_to(at)):
            said = str(in_words(error)).removesuffix(".")
            raise WorkError(f"{said}; or {_CURE}") from error
        raise


# The bound on the cache: packs that were used longest ago are removed first, none that a process uses.
#
# Each process notes the packs that it uses in a file of its own below `in-use`, and holds a lock on that
# file until it ends, however it ends. Where the system or the disk has no such locks a pack may be removed
# while it is mapped: whoever has it mapped keeps what was mapped.

VARIABLE = "NEARFIELD_CACHE_GB"
USUAL = 20.0
"""GB that the cache may hold where the variable is not set."""

BOUNDED = ("waves", "photographs", "features")
"""Folders of the cache that hold packs."""

_NOTES: dict[Path, int] = {}
"""The file with what this process uses, by the cache's folder: open, and locked, until it ends."""
_TAKEN: dict[Path, set[Path]] = {}
"""What stands in it: a note that somebody removed is written anew."""


def limit() -> float:
    """Bytes that the cache may hold; infinity for `none`. Raises RequestError for anything else."""
    given = os.environ.get(VARIABLE) or str(USUAL)
    try:
        found = float("inf") if given == "none" else float(given)
    except ValueError:
        found = -1.0
    if not found >= 0:
        raise RequestError(f"{VARIABLE}: a number of GB, or none for no bound. Given: {given!r}.")
    return found * 1e9


@contextlib.contextmanager
def taking(cache: Path) -> Iterator[Callable[[Iterable[Path]], None]]:
    """While the block runs nothing is removed. The packs that are given to what it yields are in use from
    then on until the process ends."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a cache that can only be read is bounded by nobody
            stack.enter_context(locked(cache / "in-use" / "lock"))
        yield partial(_take, cache)


def keep_within(cache: Path, tell: Callable[[str], None] | None = None) -> int:
    """Removes what was used longest ago until the cache holds no more than `limit`; gives the bytes freed.

    `tell` gets a sentence where something was removed.
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
                with contextlib.suppress(OSError):  # mapped, on a system that keeps such files
                    pack.unlink()
                    pack.with_suffix(".json").unlink(missing_ok=True)
                    freed += status.st_size
    if freed and tell is not None:
        size = f"{freed / 1e9:,.1f} GB" if freed >= 1e8 else f"{freed / 1e6:,.2f} MB"
        tell(
            f"{cache}: {size} of decoded data and feature pictures, used longest ago, went, to keep within "
            f"{most / 1e9:,g} GB ({VARIABLE} sets another bound, or none)."
        )
    return freed


def _statuses(cache: Path) -> dict[Path, os.stat_result]:
    """Size and last use of every pack; one that another process removes meanwhile is passed over."""
    found = {}
    for pack in _packs(cache):
        with contextlib.suppress(FileNotFoundError):
            found[pack] = pack.stat()
    return found


def _packs(cache: Path) -> Iterator[Path]:
    return (pack for name in BOUNDED for pack in (cache / name).glob("*/*.npy"))


def _lock_of(pack: Path) -> Path:
    """What is locked while packs are written there: see `Store` and `keeping`."""
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
    """Packs that living processes have noted; the notes of those that ended are removed."""
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
    """Whether some process holds a lock on a file."""
    with contextlib.suppress(ImportError, FileNotFoundError), path.open("rb") as file:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


# Packs: many arrays in few files, written whole or not at all, mapped into memory to be read.
#
# A pack is a flat `.npy` file and a `.json` index beside it that says where each array lies; the index is
# written last, so a pack without one does not exist. (Three thousand files of half a second: 26 s to write
# and 3,000 open files to read one by one; 0.2 s and one file as a pack.) Beside each array's place stands
# its checksum (CRC-32), which is compared once in a process where the array is read: damage is found, not
# forgery.

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


# Filling packs: many sources decoded side by side, with bounded memory, and every fault told at once.

Progress = Callable[[int, int], None]
"""Told how many of how many are done; may be called from several threads, one at a time."""

Tell = Callable[[str], None]
"""Told, in a sentence, what somebody should know before or after the work."""

LARGE = 1_000_000_000
"""Bytes from which it is told beforehand how much is going to be written, and where."""

Blocks = Callable[[Path], Iterable[npt.NDArray[Any]]]
"""A source in the pieces that are to be kept of it."""

SMALLEST, LARGEST = 1 << 22, 1 << 28
"""About how many bytes go into one pack: each costs a few waits for the disk; a longer source has its own."""


class Filling:
    """Decodes what is missing, in groups of about a pack, each by one thread with bounded memory."""

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
        f"{count(files, 'file')} will be decoded, once, into {folder}: about {needed / 1e9:,.1f} GB, of "
        f"{free / 1e9:,.1f} GB that are free. NEARFIELD_CACHE names another folder; `nearfield doctor "
        "--clear-cache` empties it."
    )


def _groups(weights: dict[str, int], limit: int) -> Iterator[list[str]]:
    """Keys in their order, in groups of about `limit` together."""
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
    """Raises DataError with the first ten faults, where there are any."""
    if faults:
        more = [f"... and {len(faults) - 10} more."] if len(faults) > 10 else []
        raise DataError("\n".join([*faults[:10], *more]))
