"""Errors of the system, such as a full disk, as errors of ours: the one place that puts them into words."""

import errno
import re
from pathlib import Path

from nearfield.core.errors import NearfieldError, RequestError, WorkError

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
