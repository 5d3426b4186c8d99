"""Trouble with the disk that the cache lies on, told in words."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from nearfield.core.errors import WorkError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CURE = "set NEARFIELD_CACHE to a folder on another disk."


@contextlib.contextmanager
def writing_to(folder: Path, needed: int) -> Iterator[None]:
    """Turns errors of the disk under `folder` into WorkError; about `needed` bytes were to be written."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            free = shutil.disk_usage(folder).free
            raise WorkError(
                f"{folder}: no space left: {needed / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB free. "
                f"Free some, or {_CURE}"
            ) from error
        if error.filename and Path(error.filename).is_relative_to(folder):
            raise WorkError(f"{error.filename}: {error.strerror}. Allow writing there, or {_CURE}") from error
        raise
