"""What to do about a query that a space does not know."""

import math
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nearfield.core.errors import DataError, nearest
from nearfield.core.words import count
from nearfield.data.audio import describe
from nearfield.data.pictures import SUFFIXES as PICTURES


def next_step(given: str, names: pa.Table, folder: Path) -> str:
    """A sentence; of NAME@SECONDS what is there of NAME instead. `names`: columns clip, id and start."""
    name, at, text = given.rpartition("@")
    moment = _seconds(text) if at else None
    is_there = Path(name).expanduser().is_file() or name in names["clip"].to_pylist()
    if moment is not None and is_there and Path(name).suffix.lower() in PICTURES:
        return f"A picture has no moments: search for {name!r}."
    if moment is not None and Path(name).expanduser().is_file():
        return _of_file(name, moment, folder)
    if moment is not None:
        own = names.filter(pc.equal(names["clip"], name))
        if len(own):
            return _of_clip(name, moment, own)
    close = nearest(given, names["id"].to_pylist())
    return f"Did you mean {close!r}?" if close else "Correct the path, or give the id of a clip."


def _seconds(text: str) -> float | None:
    """Of seconds, or of a clock as the answers show it: "61.5", "1:01.5", "1:01:01"."""
    *larger, last = text.split(":")
    if len(larger) > 2 or not all(part.isdecimal() for part in larger):
        return None
    try:
        found = float(last) + sum(int(part) * 60**power for power, part in enumerate(reversed(larger), 1))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _of_file(path: str, moment: float, folder: Path) -> str:
    """Of a file on the disk: the option that begins there, where it goes on so long."""
    try:
        length = describe(Path(path).expanduser()).seconds
    except DataError as error:
        return str(error)
    if moment < 0:
        return f"{path} begins at 0 s and ends at {length:g} s. Give a moment between by --start."
    if moment < length:
        command = shlex.join(["nearfield", "search", str(folder), path, "--start", f"{moment:g}"])
        return f"To hear that file from there on: {command}"
    return f"{path} ends at {length:g} s. Give an earlier moment by --start."


def _of_clip(clip: str, moment: float, own: pa.Table) -> str:
    """Of a clip of the space: that it is one vector, or its window that begins nearest to the moment."""
    ids, starts = own["id"].to_pylist(), own["start"].to_pylist()
    if ids == [clip]:
        return (
            f"The space has one vector of the whole clip {clip!r}: search for that, or make a space of "
            "windows (nearfield index --windows all), or give the path of the file with --start."
        )
    near = min(range(len(ids)), key=lambda row: abs(starts[row] - moment))
    reach = f"the first at {min(starts):g} s, the last at {max(starts):g} s"
    return f"{clip!r} has {count(len(ids), 'window')}, {reach}. The nearest: {ids[near]!r}."
