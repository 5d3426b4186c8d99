"""The machine and the code that runs on it: cores, memory settings, compiled loops, the commit."""

import ctypes
import hashlib
import os
import platform
import resource
import sys
from functools import cache
from pathlib import Path

# What the machine can do, and the two settings of its C library that cost training half its speed.

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h> of glibc


def disable_malloc_trim() -> bool:
    """Makes glibc keep freed memory instead of handing it back after every step; True where it took.

    Taking back large activations costs page faults at 7 GB/s where memory runs at 25: up to half the
    speed of a small convnet. Does nothing on other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def limit_threads() -> None:
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


# Which code is running: the commit of a checkout, and the digest of the package's own files.

PACKAGE = Path(__file__).parents[1]


@cache
def source() -> dict[str, str | None]:
    """`commit`: of the git checkout that the package lies in, None where it was installed without one.
    `package`: sha256 over the names and contents of its Python files, which also tells of changes since."""
    return {"commit": commit(PACKAGE), "package": package_digest(PACKAGE)}


def package_digest(package: Path) -> str:
    """sha256, hexadecimal, over the Python files below a folder, in the order of their names."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(f"{path.relative_to(package).as_posix()}\n".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def commit(package: Path) -> str | None:
    """The commit that is checked out around `package`, read from git's files; None where there is none."""
    try:
        root = next(each for each in package.parents if (each / ".git").exists())
        if not (root / "pyproject.toml").is_file():  # some other repository, with an environment in it
            return None
        git = root / ".git"
        if git.is_file():  # a worktree: a line that names its folder
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
