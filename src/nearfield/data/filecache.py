"""Remembers what was found out about files, for as long as they do not change, in one SQLite file.

A finding is found again by subject, absolute path, size and times of change: that of the contents, which can
be set back (`cp -p`, `rsync -t`, `touch`), and that of the inode, which cannot. Several processes may use the
cache at once; where it cannot be used (read-only, damaged, on a disk without locks) nothing is remembered.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nearfield.data.cache import cache_folder

FileKey = tuple[str, int, int]
"""Absolute path, bytes, both times of change in nanoseconds, added: each only grows unless it is set back."""

_SETTLED = 2.0
"""Seconds after which a file's time of change is trusted: it could be written twice within one tick."""


def file_key(path: Path | str, status: os.stat_result | None = None) -> FileKey:
    """What a file is known by; `status` where it is at hand. Raises OSError where there is no file."""
    status = status or os.stat(path)
    return os.path.abspath(path), status.st_size, status.st_mtime_ns + status.st_ctime_ns


def recall(subject: str, keys: Iterable[FileKey]) -> dict[FileKey, str]:
    """What is remembered of these files; those that are new or have changed are left out."""
    found: dict[FileKey, str] = {}
    with _database() as database:
        for key in set(keys):
            row = database.execute(
                "SELECT value FROM findings WHERE subject = ? AND path = ? AND bytes = ? AND changed = ?",
                (subject, *key),
            ).fetchone()
            if row:
                found[key] = row[0]
    return found


def remember(subject: str, found: Mapping[FileKey, str]) -> None:
    """Remembers a finding for each file, but not for files that were written just now."""
    newest = 2 * (time.time_ns() - int(_SETTLED * 1e9))
    rows = [(subject, *key, value) for key, value in found.items() if key[2] < newest]
    with _database() as database, database:
        database.executemany("INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?, ?)", rows)


@contextlib.contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    """The cache's database. Trouble with it ends the block and nothing else: it only saves time."""
    database = _connect(cache_folder() / "files.sqlite")
    with contextlib.closing(database), contextlib.suppress(sqlite3.Error):
        yield database


def _connect(path: Path) -> sqlite3.Connection:
    """The database at `path`, or an empty one in memory where that cannot be had."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _prepared(sqlite3.connect(path, timeout=30))
    except sqlite3.OperationalError:
        pass  # locked too long, or a disk that takes no files
    except sqlite3.DatabaseError:
        with contextlib.suppress(OSError):
            path.unlink()  # damaged: the next one starts afresh
    except OSError:
        pass
    return _prepared(sqlite3.connect(":memory:"))


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    try:
        database.execute(
            "CREATE TABLE IF NOT EXISTS findings (subject TEXT, path TEXT, bytes INTEGER, changed INTEGER,"
            " value TEXT, PRIMARY KEY (subject, path)) WITHOUT ROWID"
        )
    except sqlite3.Error:
        database.close()
        raise
    return database
