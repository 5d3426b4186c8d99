"""Facts about files (headers, digests), looked up once and remembered."""

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

# Remembers what was found out about files, for as long as they do not change, in one SQLite file.
#
# A finding is found again by subject, absolute path, size and times of change: that of the contents, which
# can be set back (`cp -p`, `rsync -t`, `touch`), and that of the inode, which cannot. Several processes may
# use the cache at once; where it cannot be used (read-only, damaged, on a disk without locks) nothing is
# remembered.

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


# Digests of files' contents, remembered so that the second time costs one look at the file.


def content_digest(path: Path) -> str:
    """sha256 of the file's bytes, hexadecimal, from the cache where the file has not changed since."""
    return content_digests([path])[0]


def content_digests(paths: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> list[str]:
    """`content_digest` of many files at once. `progress` gets how many of how many were read.

    Raises FileNotFoundError or another OSError where a file cannot be read.
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


# Finds the files that a table names and looks at their headers, each once, remembering what it saw.

Progress = Callable[[int, int], None]

Probed = dict[str, tuple[str, float | None] | Fault]
"""For each name in a table: its file and length in seconds (None for pictures), or what is wrong with it."""

_THREADS = 4  # opening files on a slow disk waits more than it works


def probe(names: Iterable[str], base: Path, kind: Kind, progress: Progress | None = None) -> Probed:
    """Every name once. `progress` gets how many of how many files were opened; known ones are not."""
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
    """Seconds of the sound files among `paths` that were looked at before and have not changed since."""
    keys: dict[Path, FileKey] = {}
    for path in set(paths):
        with contextlib.suppress(OSError):  # gone: whoever wants it will say so
            keys[path] = file_key(path)
    known = recall("sound", keys.values())
    return {path: float(known[key]) for path, key in keys.items() if key in known}


def channel_counts(paths: Iterable[str]) -> dict[str, int]:
    """How many channels each sound file has. Raises Fault where one cannot be read any more."""
    keys = {path: file_key(path, check_file(path)) for path in set(paths)}
    known = recall("channels", keys.values())
    fresh = sorted(set(keys.values()).difference(known))
    counts = in_groups(lambda key: str(audio.describe(Path(key[0])).channels), fresh, _THREADS)
    looked = dict(zip(fresh, counts, strict=True))
    remember("channels", looked)
    known |= looked
    return {path: int(known[key]) for path, key in keys.items()}


def _is_array(key: FileKey) -> bool:
    """Whether a file's length rests on another file too, the one with its rate."""
    return key[0].lower().endswith(".npy")


def _look_at(keys: list[FileKey], kind: Kind, progress: Progress | None) -> dict[FileKey, str | Fault]:
    """What each header says; `progress` as for `probe`."""
    looked: dict[FileKey, str | Fault] = {}
    found = in_groups(lambda key: _look(Path(key[0]), kind), keys, _THREADS)
    for key, seen in zip(keys, found, strict=True):
        looked[key] = seen
        if progress:
            progress(len(looked), len(keys))
    return looked


def _look(path: Path, kind: Kind) -> str | Fault:
    """What is remembered of a good file: its length in seconds, or that it is a picture."""
    try:
        if kind == "picture":
            images.size(path)
            return "picture"
        return repr(audio.describe(path).seconds)
    except Fault as fault:
        return fault


def locate(name: str, base: str) -> str:
    """The file that a table means: absolute, or from the table's folder on, also upwards; `\\` counts as `/`.

    Raises Fault for a name that is empty, an address, or impossible.
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
    """Other ways to write the same path: `\\` as `/`, and accents composed or decomposed."""
    slashed = name.replace("\\", "/")
    yield os.path.join(base, slashed)
    if not slashed.isascii():
        for form in ("NFC", "NFD"):
            yield os.path.join(base, unicodedata.normalize(form, slashed))
