"""Which code is running: the commit of a checkout, and the digest of the package's own files."""

import hashlib
from functools import cache
from pathlib import Path

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
