"""Files and folders: atomic writes, locks between processes, and what kind of folder a path is."""

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


# Files that are whole or not there: written beside their place, flushed to disk, then renamed.


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder; renames it onto `path` when the block ends well.

    A kill at any moment leaves the old file or the new one, never half of one. Raises RequestError where what
    is there is no file, such as a device: it would be replaced by one.
    """
    if path.parent in (Path("/dev"), Path("/dev/fd")) or (path.exists() and not path.is_file()):
        raise RequestError(f"{path}: it is a folder, a device or a pipe. Give the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.part"
    temporary.touch(0o666, exist_ok=False)  # less what the user's umask takes away, as for any new file
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        with contextlib.suppress(OSError):  # a new file, or one of another user's
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes what killed writers left half-done below `folder`; only where no one else writes there."""
    for leftover in folder.rglob(".*.part"):
        leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut, where the system can (Windows cannot)."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON, whole or not at all. NaN is refused: it is not JSON; use None."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path, cure: str, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """The object that `write_json` wrote; `keys`: what it must have, a key within another as "data.name".

    Raises RequestError, with `cure`, where the file is damaged.
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
    """A table that was written whole; `sha256`: the digest of the file that was noted then.

    Raises RequestError, with `cure`, where the file is missing, damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise RequestError(f"{path} is missing. {cure}")
    if sha256 is not None and digest(path) != sha256:
        raise RequestError(f"{path} is damaged: it is not what was written there. {cure}")
    try:
        table = pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise RequestError(f"{path} is damaged: {str(error).splitlines()[0]} {cure}") from None
    lacking = [name for name in columns or () if name not in table.column_names]
    if lacking:
        raise RequestError(f"{path} is damaged: it has no column {lacking[0]!r}. {cure}")
    return table


def digest(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# One process at a time: work that lands in the cache is done once, and the others wait for it.


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock on the file `path` for the block; the system frees it when the process dies.

    Where the system or the disk has no such locks the block runs all the same: what it writes must be safe
    without, and only work is then done twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def alone(path: Path, refusal: str) -> Iterator[None]:
    """Holds a lock on the file `path` for the block, or raises RequestError where another process does.

    The system frees it when the process dies, however it dies. Where the system or the disk has no such
    locks nothing is held: better than no work at all.
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


# What a folder is - a run, a space, a study, other things - and what to do where another was wanted.

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
"""What each writes before its mark: one that was killed there may begin again."""


def place_of(path: str | Path) -> Place:
    """What lies at `path`; a file counts among other things."""
    folder = Path(path)
    for place, mark in _MARKS.items():
        if (folder / mark).is_file():
            return place
    if not folder.exists():
        return "missing"
    return "other things" if folder.is_file() or any(folder.iterdir()) else "empty"


def not_there(wanted: Literal["run", "space", "study"], path: str | Path) -> RequestError:
    """The error where `path` is no run, space or study: what it is instead, and the step that helps."""
    found = place_of(path)
    said = f"No {wanted} at {path}: it has no {_MARKS[wanted]}"
    if found in ("missing", "empty"):
        return RequestError(f"{said}. {_make(wanted, str(path))}")
    if found == "other things":
        return RequestError(
            f"{said}, and holds other things. Correct the path. {_make(wanted, f'NEW_{wanted.upper()}')}"
        )
    return RequestError(f"{said}; it is a {found}. {_step(wanted, found, Path(path))}")


def check_free(path: str | Path, wanted: Literal["run", "study"] = "run") -> None:
    """Raises RequestError where `path` is neither missing, nor empty, nor a run (or study) that was begun."""
    folder, found = Path(path), place_of(path)
    if found in (wanted, "missing", "empty"):
        return
    if found == "other things" and folder.is_dir():
        kept = [each.name for each in folder.iterdir() if each.suffix != ".part"]
        if all(name in _BEGINNINGS[wanted] for name in kept):
            return
    held = f"is a {found}" if found != "other things" else f"holds other things and no {_MARKS[wanted]}"
    raise RequestError(f"--out {path}: it {held}, and a {wanted} has a folder of its own. Give a new one.")


def _make(wanted: str, out: str) -> str:
    out = shlex.quote(out)
    if wanted == "run":
        return f"Train one: nearfield train RECIPE --data DATA --out {out}"
    if wanted == "space":
        return f"Make one: nearfield index RUN --data DATA --out {out}"
    return f"Run one: nearfield study run STUDY --data DATA --out {out}"


def _step(wanted: str, found: str, path: Path) -> str:
    """What helps somebody who gave a run, a space or a study for another of these."""
    given = shlex.quote(str(path))
    if wanted == "run" and found == "space":
        run = _read(path / _MARKS["space"]).get("run")
        return "Give the run that it was made by" + (f": {run}" if run else ".")
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
        return f"A run is looked into by: nearfield explain {given}"
    return f"A space is looked at by: nearfield explore {given}"


def _read(file: Path) -> dict[str, Any]:
    """The values of a JSON file; none where it cannot be read: this is for advice alone."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
