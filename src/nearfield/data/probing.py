"""Finds the files that a table names and looks at their headers, each once, remembering what it saw."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nearfield.data import audio, pictures
from nearfield.data.faults import Fault, check_file
from nearfield.data.filecache import FileKey, file_key, recall, remember
from nearfield.data.listing import Kind

Progress = Callable[[int, int], None]

Probed = dict[str, tuple[Path, float | None] | Fault]
"""For each name in a table: its file and length in seconds (None for pictures), or what is wrong with it."""

_THREADS = 4  # opening files on a slow disk waits more than it works


def probe(names: Sequence[str], base: Path, kind: Kind, progress: Progress | None = None) -> Probed:
    """Every name once. `progress` gets how many of how many files were looked at."""
    every = sorted(set(names))
    found: Probed = {}
    keys: dict[str, FileKey] = {}
    for name in every:
        try:
            path = locate(name, base)
            check_file(path)
            keys[name] = file_key(path)
        except Fault as fault:
            found[name] = fault
    known = recall(kind, keys.values())
    seen: dict[FileKey, str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        looks = pool.map(lambda name: known.get(keys[name]) or _look(Path(keys[name][0]), kind), keys)
        for done, (name, what) in enumerate(zip(keys, looks, strict=True), 1):
            path = Path(keys[name][0])
            found[name] = (
                what if isinstance(what, Fault) else (path, float(what) if what != "picture" else None)
            )
            if isinstance(what, str) and keys[name] not in known:
                seen[keys[name]] = what
            if progress:
                progress(done, len(keys))
    remember(kind, seen)
    return found


def _look(path: Path, kind: Kind) -> str | Fault:
    """What is remembered of a good file: its length in seconds, or that it is a picture."""
    try:
        if kind == "picture":
            pictures.size(path)
            return "picture"
        return repr(audio.describe(path).seconds)
    except Fault as fault:
        return fault


def locate(name: str, base: Path) -> Path:
    """The file that a table means: absolute, or from the table's folder on, also upwards; `\\` counts as `/`.

    Raises Fault for a name that is empty, an address, or impossible.
    """
    if not name:
        raise Fault("no_path", "the row names no file.", "Give it a path or remove the row.")
    if "://" in name:
        raise Fault("address", "it is an address, and nothing is fetched.", "Download it and give its path.")
    if "\0" in name:
        raise Fault("no_path", "the path holds a zero byte.", "Correct the path.")
    path = base / name
    if "\\" in name and not os.path.lexists(path):
        path = base / name.replace("\\", "/")
    return Path(os.path.abspath(path))
