"""Trouble with the disk that the cache lies on, told in words."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from nearfield.core.errors import WorkError
from nearfield.core.failures import in_words

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
