"""A split on disk: which clip is on which side, as CSV with a hash, so that a run keeps it for life."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from nearfield.core.errors import DataError
from nearfield.core.files import write_text
from nearfield.data.splits import SHARES

_HEADER = ["id", "split", "sha256"]


def split_hash(ids: Sequence[str], sides: Sequence[str]) -> str:
    """sha256 over the sorted pairs of clip and side, hexadecimal."""
    return hashlib.sha256(_body(ids, sides).encode()).hexdigest()


def write_split(path: Path, ids: Sequence[str], sides: Sequence[str]) -> None:
    """Writes a CSV table `id,split,sha256`, sorted, the hash in its first row; whole or not at all."""
    rows = sorted(zip(ids, sides, strict=True))
    hashes = [split_hash(ids, sides), *[""] * len(rows)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # a name may hold a line's end
    writer.writerow(_HEADER)
    writer.writerows((*row, digest) for row, digest in zip(rows, hashes, strict=False))
    write_text(path, text.getvalue())


def read_split_file(path: Path) -> dict[str, str]:
    """Side by clip. Raises DataError where the file is missing, no split file, or was changed by hand."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            mark = file.readline() if file.read(1) == "#" else ""  # as files were written before
            if not mark:
                file.seek(0)
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: the split cannot be read ({error}). Correct the path, or make the split anew."
        ) from None
    width = 2 if mark else 3
    if rows[:1] != [_HEADER[:width]] or any(len(row) != width for row in rows):
        raise DataError(f"{path}: this is no split file. Give one that Collection.save_split wrote.")
    sides = {row[0]: row[1] for row in rows[1:]}
    hashes = [mark.partition(":")[2].strip()] if mark else [row[2] for row in rows[1:] if row[2]]
    wrong = [name for name in sides.values() if name not in ("", *SHARES)]
    if wrong or hashes != [split_hash(list(sides), list(sides.values()))]:
        raise DataError(f"{path}: the split was changed after it was written. Bring the original back.")
    return sides


def _body(ids: Sequence[str], sides: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "split"])
    writer.writerows(sorted(zip(ids, sides, strict=True)))
    return text.getvalue()
