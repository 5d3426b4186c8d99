"""A split on disk: which clip is on which side, as CSV with a hash, so that a run keeps it for life."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from nearfield.core.errors import DataError
from nearfield.core.files import write_text
from nearfield.data.splits import SHARES

_MARK = "# sha256: "


def split_hash(ids: Sequence[str], sides: Sequence[str]) -> str:
    """sha256 over the sorted pairs of clip and side, hexadecimal."""
    return hashlib.sha256(_body(ids, sides).encode()).hexdigest()


def write_split(path: Path, ids: Sequence[str], sides: Sequence[str]) -> None:
    """Writes `# sha256: ...`, then a CSV table `id,split`, sorted; whole or not at all."""
    write_text(path, f"{_MARK}{split_hash(ids, sides)}\n{_body(ids, sides)}")


def read_split_file(path: Path) -> dict[str, str]:
    """Side by clip. Raises DataError where the file is missing, no split file, or was changed by hand."""
    try:
        mark, _, body = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the split cannot be read ({error}). Correct the path, or make the split anew."
        ) from None
    rows = list(csv.reader(io.StringIO(body)))
    if not mark.startswith(_MARK) or rows[:1] != [["id", "split"]] or any(len(row) != 2 for row in rows):
        raise DataError(f"{path}: this is no split file. Give one that Collection.save_split wrote.")
    sides = {row[0]: row[1] for row in rows[1:]}
    wrong = [name for name in sides.values() if name not in ("", *SHARES)]
    if wrong or split_hash(list(sides), list(sides.values())) != mark.removeprefix(_MARK):
        raise DataError(f"{path}: the split was changed after it was written. Bring the original back.")
    return sides


def _body(ids: Sequence[str], sides: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "split"])
    writer.writerows(sorted(zip(ids, sides, strict=True)))
    return text.getvalue()
