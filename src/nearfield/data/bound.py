"""The bound on the cache: packs that were used longest ago are removed first, none that a process uses.

Each process notes the packs that it uses in a file of its own below `in-use`, and holds a lock on that file
until it ends, however it ends. Where the system or the disk has no such locks a pack may be removed while it
is mapped: whoever has it mapped keeps what was mapped.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from nearfield.core.errors import RequestError
from nearfield.data.locks import locked

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
