"""Files and folders: atomic writes, locks between processes, kinds of folders."""

import contextlib
import hashlib
import json
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nearfield.core.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa


# Atomic writes: to a temporary file in the same folder, flushed to disk, then renamed.


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder, and renames it to `path` after the block without error.

    If the process is killed, either the old or the new file remains, complete. Raises RequestError if `path`
    is not a regular file (for example a device), because it would be replaced by one.
    """
    if path.parent in (Path("/dev"), Path("/dev/fd")) or (path.exists() and not path.is_file()):
        raise RequestError(f"{path}: it is a folder, a device or a pipe. Give the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.part"
    temporary.touch(0o666, exist_ok=False)  # masked by the user's umask, as for any new file
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        with contextlib.suppress(OSError):  # a new file, or a file of another user
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes temporary files of killed processes below `folder`; no other process may write there."""
    for leftover in folder.rglob(".*.part"):
        leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flushes a rename in `folder` to disk, where the system supports it (Windows does not)."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically. NaN raises ValueError, since it is not JSON; use None."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path, cure: str, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Reads an object that `write_json` wrote; `keys` are required, nested ones as "data.name".

    Raises RequestError, with `cure`, if the file is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds {type(found).__name__}")  # noqa: TRY004 - of the file, not of a caller
        for key in keys:
            here: Any = found
            for step in key.split("."):
                if not isinstance(here, dict) or step not in here:
                    raise ValueError(f"it has no {key!r}")
                here = here[step]
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path} is damaged: {error}. {cure}") from None
    return found


def read_parquet(
    path: Path, cure: str, columns: list[str] | None = None, sha256: str | None = None
) -> "pa.Table":
    """Reads a Parquet table; `sha256` is the digest that the file had when it was written.

    Raises RequestError, with `cure`, if the file is missing or damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise RequestError(f"{path} is missing. {cure}")
    if sha256 is not None and digest(path) != sha256:
        raise RequestError(f"{path} is damaged: it was changed after it was written. {cure}")
    try:
        table = pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise RequestError(f"{path} is damaged: {str(error).splitlines()[0]} {cure}") from None
    lacking = [name for name in columns or () if name not in table.column_names]
    if lacking:
        raise RequestError(f"{path} is damaged: it has no column {lacking[0]!r}. {cure}")
    return table


def digest(path: Path) -> str:
    """Computes the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Locks between processes: cached work is done by one process while the others wait.


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock on the file `path` during the block; the system releases it when the process ends.

    If the system or the disk does not support locks, the block runs without one. Its writes must therefore be
    safe without a lock; the lock only avoids duplicate work.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def alone(path: Path, refusal: str) -> Iterator[None]:
    """Holds a lock on the file `path` during the block, or raises RequestError if another process holds it.

    The system releases it when the process ends in any way. If the system or the disk does not support
    locks, the block runs without one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RequestError(refusal) from None
        yield


# Kinds of folders (run, space, study, other), and errors if another kind was expected.

Place = Literal["run", "space", "study", "other things", "empty", "missing"]

_MARKS: dict[Literal["space", "study", "run"], str] = {
    "space": "space.json",
    "study": "plan.json",
    "run": "recipe.yaml",
}
_BEGINNINGS = {
    "run": (
        *("split.csv", "network.txt", "environment.json", "metrics.jsonl", "state", "tensorboard"),
        "lock",
    ),
    "study": (),
}
"""Files that are written before the mark; a process killed at that point may start again."""


def place_of(path: str | Path) -> Place:
    """Returns the kind of folder at `path`; a file counts as "other things"."""
    folder = Path(path)
    for place, mark in _MARKS.items():
        if (folder / mark).is_file():
            return place
    if not folder.exists():
        return "missing"
    return "other things" if folder.is_file() or any(folder.iterdir()) else "empty"


def not_there(wanted: Literal["run", "space", "study"], path: str | Path) -> RequestError:
    """Creates the error for a `path` that is not the wanted kind of folder, with what it is and a remedy."""
    found = place_of(path)
    missing = f"No {wanted} at {path}: it has no {_MARKS[wanted]}"
    if found in ("missing", "empty"):
        return RequestError(f"{missing}. {_make(wanted, str(path))}")
    if found == "other things":
        return RequestError(
            f"{missing}, and holds other things. Correct the path. {_make(wanted, f'NEW_{wanted.upper()}')}"
        )
    return RequestError(f"{missing}; it is a {found}. {_step(wanted, found, Path(path))}")


def check_free(path: str | Path, wanted: Literal["run", "study"] = "run") -> None:
    """Raises RequestError unless `path` is missing, empty, or a run (or study) that was started there."""
    folder, found = Path(path), place_of(path)
    if found in (wanted, "missing", "empty"):
        return
    if found == "other things" and folder.is_dir():
        kept = [each.name for each in folder.iterdir() if each.suffix != ".part"]
        if all(name in _BEGINNINGS[wanted] for name in kept):
            return
    held = f"is a {found}" if found != "other things" else f"holds other things and no {_MARKS[wanted]}"
    raise RequestError(f"--out {path}: it {held}, but a {wanted} needs its own folder. Give a new one.")


def _make(wanted: str, out: str) -> str:
    out = shlex.quote(out)
    if wanted == "run":
        return f"Train one: nearfield train RECIPE --data DATA --out {out}"
    if wanted == "space":
        return f"Make one: nearfield index RUN --data DATA --out {out}"
    return f"Run one: nearfield study run STUDY --data DATA --out {out}"


def _step(wanted: str, found: str, path: Path) -> str:
    """The remedy for a run, space or study that was given in place of another of these."""
    given = shlex.quote(str(path))
    if wanted == "run" and found == "space":
        run = _read(path / _MARKS["space"]).get("run")
        return "Give the run that made it" + (f": {run}" if run else ".")
    if found == "study":
        runs = f"the folders {given}/runs/ARM/seed-N"
        if wanted == "run":
            return f"Give one of its runs, {runs}"
        return f"Its runs are {runs}. Make a space of one: nearfield index RUN --data DATA --out NEW_SPACE"
    if wanted == "space":
        data = _read(path / "environment.json").get("data", {}).get("given", "DATA")
        new = f"{str(path).rstrip('/')}-space"
        out = "NEW_SPACE" if Path(new).exists() else shlex.quote(new)
        return f"Make a space of it: nearfield index {given} --data {shlex.quote(data)} --out {out}"
    if found == "run":
        return f"To inspect a run: nearfield explain {given}"
    return f"To inspect a space: nearfield explore {given}"


def _read(file: Path) -> dict[str, Any]:
    """The values of a JSON file, or none if it cannot be read; they are used for advice only."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
