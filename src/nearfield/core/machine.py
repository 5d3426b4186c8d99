"""The machine and the running code: cores, memory, threads, commit."""

import ctypes
import hashlib
import os
import platform
import resource
import sys
from functools import cache
from pathlib import Path

# Resources of the machine, and settings of malloc and OpenMP that affect the speed of training.

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h> of glibc


def disable_malloc_trim() -> bool:
    """Makes glibc keep freed memory instead of returning it to the system; returns whether that worked.

    Allocating large activations again causes page faults at 7 GB/s with memory of 25 GB/s, up to half of the
    time of a small convnet. Does nothing for other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def limit_threads() -> None:
    """Limits how long waiting OpenMP threads spin; call it before the first import of torch.

    Unlimited spinning makes small steps ten times slower on a busy machine, and sleeping at once makes them
    three times slower on an idle one. Does nothing if the environment sets OMP_WAIT_POLICY.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def usable_cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int:
    """Returns the largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def total_memory() -> int:
    """Returns the physical memory of the machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# The running code: the commit of a checkout, and a digest of the files of the package.

PACKAGE = Path(__file__).parents[1]


@cache
def source() -> dict[str, str | None]:
    """Returns `commit`, of the git checkout that contains the package or None, and `package`, the sha256 of
    its Python files, which also shows uncommitted changes."""
    return {"commit": commit(PACKAGE), "package": package_digest(PACKAGE)}


def package_digest(package: Path) -> str:
    """Computes the hexadecimal sha256 of the Python files below a folder, sorted by name."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(f"{path.relative_to(package).as_posix()}\n".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def commit(package: Path) -> str | None:
    """Reads the checked-out commit around `package` from git's files; None if there is none."""
    try:
        root = next(each for each in package.parents if (each / ".git").exists())
        if not (root / "pyproject.toml").is_file():  # another repository that contains the environment
            return None
        git = root / ".git"
        if git.is_file():  # a worktree: the file names the git folder
            git = root / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head
        common = git / "commondir"
        shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
        return _of_ref(head.removeprefix("ref:").strip(), git, shared)
    except (StopIteration, OSError, ValueError):
        return None


def _of_ref(ref: str, git: Path, shared: Path) -> str | None:
    for place in (git, shared):
        if (place / ref).is_file():
            return (place / ref).read_text(encoding="utf-8").strip()
    packed = shared / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {ref}")), None)
