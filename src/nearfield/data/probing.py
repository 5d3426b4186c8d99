"""Headers and digests of files, cached while the files do not change."""

import contextlib
import os
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from nearfield.core.files import digest
from nearfield.core.machine import usable_cores
from nearfield.core.parallel import in_groups
from nearfield.core.text import is_text
from nearfield.data import audio, images
from nearfield.data.faults import Fault, check_file
from nearfield.data.listing import Kind
from nearfield.data.packs import cache_folder

# A cache of findings about files in an SQLite database.
#
# Findings are identified by subject, absolute path, size and the sum of two times: mtime, which can be set
# back (`cp -p`, `rsync -t`, `touch`), and ctime, which cannot. Several processes may use the cache at once.
# If it cannot be used (read-only, damaged, on a disk without locks), nothing is cached.

FileKey = tuple[str, int, int]
"""Absolute path, size in bytes, sum of mtime and ctime in nanoseconds."""

_SETTLED = 2.0
"""Age in seconds from which the time of a file is trusted: a file may be written twice within one tick."""


def file_key(path: Path | str, status: os.stat_result | None = None) -> FileKey:
    """Returns the key of a file; `status` is that of `os.stat`. Raises OSError if there is no file."""
    status = status or os.stat(path)
    return os.path.abspath(path), status.st_size, status.st_mtime_ns + status.st_ctime_ns


def recall(subject: str, keys: Iterable[FileKey]) -> dict[FileKey, str]:
    """Returns the cached findings of unchanged files."""
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
    """Caches findings of files, except of files written within the last `_SETTLED` seconds."""
    newest = 2 * (time.time_ns() - int(_SETTLED * 1e9))
    rows = [(subject, *key, value) for key, value in found.items() if key[2] < newest]
    with _database() as database, database:
        database.executemany("INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?, ?)", rows)


@contextlib.contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    """Opens the database of the cache. Its errors end the block silently, since it only saves time."""
    database = _connect(cache_folder() / "files.sqlite")
    with contextlib.closing(database), contextlib.suppress(sqlite3.Error):
        yield database


def _connect(path: Path) -> sqlite3.Connection:
    """The database at `path`, or an empty one in memory if that cannot be used."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _prepared(sqlite3.connect(path, timeout=30))
    except sqlite3.OperationalError:
        pass  # locked for too long, or not writable
    except sqlite3.DatabaseError:
        with contextlib.suppress(OSError):
            path.unlink()  # damaged: the next connection creates a new one
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


# Cached digests of the contents of files.


def content_digest(path: Path) -> str:
    """Returns the hexadecimal sha256 of a file, from the cache if the file has not changed."""
    return content_digests([path])[0]


def content_digests(paths: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Returns `content_digest` of many files. `progress` gets the numbers of files read and to read.

    Raises FileNotFoundError or another OSError if a file cannot be read.
    """
    keys = [file_key(path) for path in paths]
    found = recall("sha256", keys)
    fresh = sorted({key for key in keys if key not in found})
    if fresh:
        made = dict(zip(fresh, _hash_all(fresh, progress), strict=True))
        remember("sha256", made)
        found |= made
    return [found[key] for key in keys]


def _hash_all(keys: list[FileKey], progress: Callable[[int, int], None] | None) -> Iterator[str]:
    for done, value in enumerate(in_groups(lambda key: digest(Path(key[0])), keys, usable_cores()), 1):
        if progress:
            progress(done, len(keys))
        yield value


# Paths and cached headers of the files of a table.

Progress = Callable[[int, int], None]

Probed = dict[str, tuple[str, float | None] | Fault]
"""Names in a table to file and length in seconds (None for images), or to a fault."""

_THREADS = 4  # opening files on a slow disk is limited by waiting


def probe(names: Iterable[str], base: Path, kind: Kind, progress: Progress | None = None) -> Probed:
    """Reads the headers of files that are not cached; `progress` gets the numbers done and of all."""
    folder = str(base)
    found: Probed = {}
    keys: dict[str, FileKey] = {}
    for name in sorted(set(names)):
        try:
            path = locate(name, folder)
            keys[name] = file_key(path, check_file(path))
        except Fault as fault:
            found[name] = fault
    known = recall(kind, keys.values())
    looked = _look_at(sorted(set(keys.values()).difference(known)), kind, progress)
    whole = {key: seen for key, seen in looked.items() if isinstance(seen, str) and not _is_array(key)}
    remember(kind, whole)
    for name, key in keys.items():
        seen = known.get(key) or looked[key]
        length = None if kind == "picture" or isinstance(seen, Fault) else float(seen)
        found[name] = seen if isinstance(seen, Fault) else (key[0], length)
    return found


def known_lengths(paths: Iterable[Path]) -> dict[Path, float]:
    """Returns the cached lengths, in seconds, of unchanged sound files among `paths`."""
    keys: dict[Path, FileKey] = {}
    for path in set(paths):
        with contextlib.suppress(OSError):  # missing files are reported when they are used
            keys[path] = file_key(path)
    known = recall("sound", keys.values())
    return {path: float(known[key]) for path, key in keys.items() if key in known}


def channel_counts(paths: Iterable[str]) -> dict[str, int]:
    """Returns the number of channels of each sound file. Raises Fault if one cannot be read."""
    keys = {path: file_key(path, check_file(path)) for path in set(paths)}
    known = recall("channels", keys.values())
    fresh = sorted(set(keys.values()).difference(known))
    counts = in_groups(lambda key: str(audio.describe(Path(key[0])).channels), fresh, _THREADS)
    looked = dict(zip(fresh, counts, strict=True))
    remember("channels", looked)
    known |= looked
    return {path: int(known[key]) for path, key in keys.items()}


def _is_array(key: FileKey) -> bool:
    """Whether the length of a file also depends on another file, which has its sample rate."""
    return key[0].lower().endswith(".npy")


def _look_at(keys: list[FileKey], kind: Kind, progress: Progress | None) -> dict[FileKey, str | Fault]:
    """The finding of each header; `progress` as for `probe`."""
    looked: dict[FileKey, str | Fault] = {}
    found = in_groups(lambda key: _look(Path(key[0]), kind), keys, _THREADS)
    for key, seen in zip(keys, found, strict=True):
        looked[key] = seen
        if progress:
            progress(len(looked), len(keys))
    return looked


def _look(path: Path, kind: Kind) -> str | Fault:
    """The finding of a header: the length in seconds, or "picture"."""
    try:
        if kind == "picture":
            images.size(path)
            return "picture"
        return repr(audio.describe(path).seconds)
    except Fault as fault:
        return fault


def locate(name: str, base: str) -> str:
    """Resolves a path of a table, absolute or relative to the folder of the table; `\\` counts as `/`.

    Raises Fault for an empty name, a URL, or an invalid name.
    """
    if not name:
        raise Fault("no_path", "the row names no file.", "Give it a path or remove the row.")
    if "://" in name:
        raise Fault("address", "it is an address, and nothing is fetched.", "Download it and give its path.")
    if "\0" in name:
        raise Fault("no_path", "the path holds a zero byte.", "Correct the path.")
    if not is_text(name):
        raise Fault("name", "its name is not UTF-8 text.", "Rename the file, and correct the row.")
    path = os.path.join(base, name)
    if not os.path.lexists(path):
        path = next(filter(os.path.lexists, _otherwise(base, name)), path)
    return os.path.abspath(path)


def _otherwise(base: str, name: str) -> Iterator[str]:
    """Other spellings of the same path: `\\` as `/`, accents composed or decomposed."""
    slashed = name.replace("\\", "/")
    yield os.path.join(base, slashed)
    if not slashed.isascii():
        for form in ("NFC", "NFD"):
            yield os.path.join(base, unicodedata.normalize(form, slashed))
