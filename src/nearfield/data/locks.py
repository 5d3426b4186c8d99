"""One process at a time: work that lands in the cache is done once, and the others wait for it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


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
