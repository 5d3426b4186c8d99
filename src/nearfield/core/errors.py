"""Exceptions of the package, and system errors translated to them."""

import difflib
import errno
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

# There is one root class; subclasses exist only where a caller would react differently.
#
#     NearfieldError
#     ├── RequestError     the request was wrong: a recipe key, a path, a combination   (exit code 2)
#     │   └── DataError    the data cannot serve the request: nothing trainable, a leak (exit code 2)
#     └── WorkError        the request was right and the work failed: a full disk      (exit code 1)
#         └── DivergedError  a training whose loss is no longer a number             (exit code 1)
#
# A message has up to three sentences: what is wrong and where, what was given, what to do next.

_COMPARED = 20_000  # largest number of choices that a word is compared with


class NearfieldError(Exception):
    """Base class of all errors that Nearfield raises."""

    exit_code = 1


class RequestError(NearfieldError):
    """The request is invalid: a recipe key, a path or a combination."""

    exit_code = 2


class DataError(RequestError):
    """The data cannot serve the request."""


class WorkError(NearfieldError):
    """The request is valid, but the work failed."""


class DivergedError(WorkError):
    """The loss of a training is no longer a number; training it again would give the same result."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Returns the choice most similar to `word`, or None if none is close.

    Only the first `_COMPARED` choices are compared; all of them would take seconds.
    """
    known = {choice.lower(): choice for choice in islice(choices, _COMPARED)}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def choose(word: str, choices: Iterable[str]) -> str:
    """Returns a sentence that suggests the choice most similar to `word`, if one is close, and lists all."""
    listed = list(choices)
    guess = nearest(word, listed)
    hint = f"Did you mean {guess!r}? " if guess else ""
    return f"{hint}Known: {', '.join(listed) or 'none'}."


# Messages for system errors such as a full disk.

_REQUEST = {
    errno.ENOTDIR: "a part of this path is a file, but a folder is expected. Correct the path.",
    errno.EEXIST: "a file of this name exists already. Give another name.",
    errno.EISDIR: "it is a folder, but a file is expected. Give the name of a file.",
    errno.ENAMETOOLONG: "a name in this path is longer than the disk allows. Give a shorter one.",
    errno.ENOENT: "there is no such file or folder. Correct the path.",
    errno.ELOOP: "the links in this path form a loop. Give the path of the file itself.",
}
_WORK = {
    errno.ENOSPC: "no space is left on its disk. Free some space, or give a path on another disk.",
    errno.EDQUOT: "the quota of its disk is used up. Free some space, or give a path on another disk.",
    errno.EFBIG: "the file is larger than its disk or `ulimit -f` allows. Give a path on another disk.",
    errno.EROFS: "its disk is read-only. Give a path on another disk, or mount it for writing.",
    errno.EACCES: "permission was denied. Allow reading and writing there, or give another path.",
    errno.EPERM: "permission was denied. Allow reading and writing there, or give another path.",
    errno.EMFILE: "more files are open than the system allows. Raise the limit: ulimit -n 4096",
    errno.ENFILE: "more files are open than the system allows. Close other programs.",
    errno.EIO: "its disk could not be read or written. Check the disk, and copy the data to another.",
}
_NO_MEMORY = (
    "the memory of this machine is not sufficient. Close other programs, or use a smaller batch "
    "(sampler), shorter clips (data.clip_seconds) or a smaller backbone."
)
_PART = re.compile(r"^\.(.+)\.[0-9a-f]{16}\.part$")


def in_words(error: BaseException) -> NearfieldError | None:
    """Translates an error of the system or of memory; returns None for any other error."""
    if isinstance(error, NearfieldError):
        return error
    if isinstance(error, MemoryError) or _is_memory(error):
        return WorkError(_NO_MEMORY)
    if not isinstance(error, OSError):
        return None
    place = _place(error)
    if error.errno in _REQUEST:
        return RequestError(f"{place}: {_REQUEST[error.errno]}")
    if error.errno in _WORK:
        return WorkError(f"{place}: {_WORK[error.errno]}")
    return WorkError(f"{place}: {error.strerror}." if error.filename and error.strerror else f"{error}")


def _is_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory, which it reports by a RuntimeError."""
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    )


def _place(error: OSError) -> str:
    """The path in an error; for a temporary file, the path of the file that it will replace."""
    if not error.filename:
        return "a file or standard output"
    path = Path(error.filename if isinstance(error.filename, str) else str(error.filename))
    part = _PART.match(path.name)
    text = str(path.with_name(part[1]) if part else path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"
