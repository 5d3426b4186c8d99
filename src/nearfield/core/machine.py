"""What the machine can do, and the two settings of its C library that cost training half its speed."""

import ctypes
import os
import platform
import resource
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h> of glibc


def keep_memory() -> bool:
    """Makes glibc keep freed memory instead of handing it back after every step; True where it took.

    Taking back large activations costs page faults at 7 GB/s where memory runs at 25: up to half the
    speed of a small convnet. Does nothing on other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def calm_threads() -> None:
    """Lets waiting threads of OpenMP spin for a moment only; to be called before torch is first imported.

    Spinning on and on made small steps ten times slower on a machine with other work; sleeping at once made
    them three times slower on one without. Does nothing where the environment already decides.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def total_memory() -> int:
    """Physical memory of the machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
