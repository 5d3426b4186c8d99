"""Errors: one root class, a subclass where callers act differently, and system errors put into words."""

import difflib
import errno
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

# The error family: one root, and a subclass only where a caller would do something different.
#
#     NearfieldError
#     ├── RequestError     the request was wrong: a recipe key, a path, a combination   (exit code 2)
#     │   └── DataError    the data cannot serve the request: nothing trainable, a leak (exit code 2)
#     └── WorkError        the request was right and the work failed: a full disk      (exit code 1)
#         └── DivergedError  a training whose loss is no longer a number             (exit code 1)
#
# A message has up to three sentences: what is wrong and where, what was given, what to do next.

_COMPARED = 20_000  # choices that a word is compared with


class NearfieldError(Exception):
    """Root of every error that Nearfield raises on purpose."""

    exit_code = 1


class RequestError(NearfieldError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class DataError(RequestError):
    """The data cannot serve the request."""


class WorkError(NearfieldError):
    """The request was sound; the work failed."""


class DivergedError(WorkError):
    """A training whose loss is no longer a number: to train it again would end alike."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was most likely meant to be, or None where none is close.

    Of very many the first are looked at: all would take seconds.
    """
    known = {choice.lower(): choice for choice in islice(choices, _COMPARED)}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def choose(word: str, choices: Iterable[str]) -> str:
    """A sentence that lists `choices`, with the nearest one to `word` first where one is close."""
    listed = list(choices)
    guess = nearest(word, listed)
    hint = f"Did you mean {guess!r}? " if guess else ""
    return f"{hint}Known: {', '.join(listed) or 'none'}."


# Errors of the system, such as a full disk, as errors of ours: the one place that puts them into words.

_REQUEST = {
    errno.ENOTDIR: "a part of this path is a file, and a folder is wanted there. Correct the path.",
    errno.EEXIST: "a file of this name is in the way. Give another name.",
    errno.EISDIR: "it is a folder, and a file is wanted. Give the name of a file.",
    errno.ENAMETOOLONG: "a name in this path is longer than the disk allows. Give a shorter one.",
    errno.ENOENT: "there is no such file or folder. Correct the path.",
    errno.ELOOP: "links in this path lead round in a circle. Give the path of the file itself.",
}
_WORK = {
    errno.ENOSPC: "no space is left on its disk. Free some, or give a place on another disk.",
    errno.EDQUOT: "the quota of its disk is used up. Free some space, or give a place on another disk.",
    errno.EFBIG: "the file grew larger than its disk, or `ulimit -f`, allows. Give a place on another disk.",
    errno.EROFS: "its disk can only be read. Give a place on another disk, or mount it for writing.",
    errno.EACCES: "permission was denied. Allow reading and writing there, or give another place.",
    errno.EPERM: "permission was denied. Allow reading and writing there, or give another place.",
    errno.EMFILE: "more files are open than the system allows. Raise the limit: ulimit -n 4096",
    errno.ENFILE: "more files are open than the system allows. Close other programs.",
    errno.EIO: "its disk could not be read or written. Check the disk, and copy the data to another.",
}
_NO_MEMORY = (
    "the memory of this machine did not suffice. Close other programs, or take a smaller batch "
    "(sampler), shorter clips (data.clip_seconds) or a smaller backbone."
)
_PART = re.compile(r"^\.(.+)\.[0-9a-f]{16}\.part$")


def in_words(error: BaseException) -> NearfieldError | None:
    """What an error of the system, or of memory, means; None for any other error."""
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
    """Torch's own errors of memory are RuntimeErrors."""
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    )


def _place(error: OSError) -> str:
    """The path that an error names; a file being written beside its place is called by the place's name."""
    if not error.filename:
        return "a file or standard output"
    path = Path(error.filename if isinstance(error.filename, str) else str(error.filename))
    part = _PART.match(path.name)
    text = str(path.with_name(part[1]) if part else path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"
