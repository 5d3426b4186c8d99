"""One process at a time: work that lands in the cache is done once, and the others wait for it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from nearfield.core.errors import RequestError


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock on the file `path` for the block; the system frees it when the process dies.

    Where the system or the disk has no such locks the block runs all the same: what it writes must be safe
    without, and only work is then done twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def alone(path: Path, refusal: str) -> Iterator[None]:
    """Holds a lock on the file `path` for the block, or raises RequestError where another process does.

    The system frees it when the process dies, however it dies. Where the system or the disk has no such
    locks nothing is held: better than no work at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RequestError(refusal) from None
        yield
