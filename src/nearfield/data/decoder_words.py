"""What a decoder prints while it reads a file, kept from the terminal and given to whoever reads the file.

libmpg123 prints what it thinks of an mp3 on the C library's standard error, without the file's name. Where
the C library is glibc, its standard error is replaced by a stream of ours; what others print, or is printed
while no file is read, goes on to the terminal. Python's own standard error is another stream, and stays so.
"""

import atexit
import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

_READING = threading.local()
_WRITE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
_KEPT: list[Any] = []  # functions that C code may call
_UNBUFFERED = 2  # _IONBF of stdio.h


class _Functions(ctypes.Structure):
    """cookie_io_functions_t of glibc's stdio.h."""

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _WRITE),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


@contextlib.contextmanager
def words_kept(said: list[str]) -> Iterator[None]:
    """Adds to `said` what C code of this thread prints on its standard error within the block."""
    _replaced()
    before = getattr(_READING, "said", None)
    _READING.said = said
    try:
        yield
    finally:
        _READING.said = before


@functools.cache
def _replaced() -> None:
    """Puts our stream in place of the C library's, once; does nothing where that is not glibc."""
    try:
        library = ctypes.CDLL(None)
        make, unbuffer = library.fopencookie, library.setvbuf
        place = ctypes.c_void_p.in_dll(library, "stderr")
    except (AttributeError, OSError, TypeError, ValueError):
        return
    make.restype, make.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p, _Functions)
    unbuffer.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    write = _WRITE(_take)
    stream, before = make(None, b"w", _Functions(None, write, None, None)), place.value
    if stream is None:
        return
    _KEPT.append(write)
    unbuffer(stream, None, _UNBUFFERED, 0)
    place.value = stream
    atexit.register(setattr, place, "value", before)


def _take(_: Any, data: Any, size: int) -> int:
    written = ctypes.string_at(data, size)
    said: list[str] | None = getattr(_READING, "said", None)
    if said is None:
        with contextlib.suppress(OSError):
            os.write(2, written)
    else:
        said.append(written.decode("utf-8", errors="replace").strip())
    return size
