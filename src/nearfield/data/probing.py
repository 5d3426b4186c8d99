"""Finds the files that a table names and looks at their headers, each once, remembering what it saw."""

import contextlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nearfield.data import audio, pictures
from nearfield.data.faults import Fault, check_file
from nearfield.data.filecache import FileKey, file_key, recall, remember
from nearfield.data.listing import Kind
from nearfield.data.names import is_text
from nearfield.data.threads import in_groups

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
            pictures.size(path)
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
