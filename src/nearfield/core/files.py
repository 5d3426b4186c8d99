"""Files that are whole or not there: written beside their place, flushed to disk, then renamed."""

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfield.core.errors import RequestError

if TYPE_CHECKING:
    import pyarrow as pa


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
