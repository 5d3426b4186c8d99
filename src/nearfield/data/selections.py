"""Selection tables of Raven and labels of Audacity, as tables of clips."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError
from nearfield.data.audio import SUFFIXES
from nearfield.data.faults import Problem
from nearfield.data.listing import Listing

_BEGIN, _END, _OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
_SAME = ("Selection", "Begin Path", "Begin File", _BEGIN, _END, _OFFSET)
_LABEL = re.compile(r"(-?\d+(?:[.,]\d+)?)\t(-?\d+(?:[.,]\d+)?)(?:\t(.*))?")


def is_raven(table: pd.DataFrame) -> bool:
    """Whether a table has the columns that Raven always writes."""
    return {"Selection", _BEGIN, _END} <= set(table)


def from_raven(listing: Listing, path: Path) -> Listing:
    """The selections as clips: `path`, `start`, `seconds`, and `label` from `Annotation`.

    A selection stands once for each view, and is taken once: by its number, file and times, since the numbers
    begin anew where tables were joined. A selection one of whose times is no number is left out and listed.
    Raises DataError where the table does not say which file a selection is in, or where in it.
    """
    table = listing.table
    views = [name for name in _SAME if name in table]
    once = ~table.duplicated(views).to_numpy()
    table = table[once].reset_index(drop=True)
    lines = tuple(line for line, kept in zip(listing.lines, once, strict=True) if kept)
    files = _files(table, path)
    if _OFFSET not in table and len(set(files)) > 1:
        raise DataError(
            f"{path}: this Raven table is of several files, and {_BEGIN!r} counts through all of them. "
            f"Add the measurement {_OFFSET!r} in Raven, and save it again."
        )
    begin, end = (pd.to_numeric(table[name], errors="coerce") for name in (_BEGIN, _END))
    taken = [name for name in table if str(name).startswith(("Begin ", "End ", _OFFSET))]
    clips = pd.DataFrame(
        {
            "path": files,
            "start": table[_OFFSET] if _OFFSET in table else table[_BEGIN],
            "seconds": (end - begin).round(6),
        }
    ).astype(object)
    rest = table.drop(columns=taken).rename(columns={"Annotation": "label", "annotation": "label"})
    problems = dict(_untimed(table, files, lines))
    good = [row for row in range(len(table)) if row not in problems]
    return replace(
        listing,
        table=pd.concat([clips, rest], axis=1).iloc[good].reset_index(drop=True),
        lines=tuple(lines[row] for row in good),
        problems=(*listing.problems, *problems.values()),
    )


def _untimed(
    table: pd.DataFrame, files: list[str], lines: tuple[int | None, ...]
) -> Iterator[tuple[int, Problem]]:
    """Selections one of whose times cannot be read, which would begin or end with their file."""
    for column in (_OFFSET, _END, _BEGIN):
        if column not in table:
            continue
        times = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        for row in np.flatnonzero(~np.isfinite(times)).tolist():
            reason = f"{column!r} is {str(table[column].iloc[row]).strip()!r}, no number of seconds."
            cure = "Correct it, or remove the row."
            yield row, Problem("bad_time", files[row], lines[row], reason, cure)


def from_audacity(path: Path, lines: Iterable[str]) -> Listing:
    """The labels of `rain.txt` as clips of the sound `rain.wav` (or another ending) beside it.

    Raises DataError where a line is no label, or there is no such sound.
    """
    sound = _beside(path)
    rows, numbers = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("\\"):  # the frequencies of the label above
            continue
        match = _LABEL.fullmatch(line.rstrip("\r\n"))
        if not match:
            raise DataError(
                f"{path}: line {number} is no label of Audacity (start, end and text with tabs between), and "
                "the file is no selection table of Raven. Give a .csv, .tsv, .parquet or .jsonl table."
            )
        start, end = (cell.replace(",", ".") for cell in match.groups()[:2])
        rows.append({"path": sound, "start": start, "end": end, "label": (match[3] or "").strip()})
        numbers.append(number)
    table = pd.DataFrame(rows, dtype=object)
    return Listing(table, path.parent, tuple(numbers), path.name)


def _files(table: pd.DataFrame, path: Path) -> list[str]:
    """The file of each selection: by its name in the folder of the table where it is there, else as given."""
    given = next((name for name in ("Begin Path", "Begin File") if name in table), None)
    if given is None:
        return [_beside(path)] * len(table)
    names = [PureWindowsPath(str(cell)).name for cell in table[given]]
    there = {name: (path.parent / name).is_file() for name in set(names)}
    return [name if there[name] else str(cell) for name, cell in zip(names, table[given], strict=True)]


def _beside(path: Path) -> str:
    """The sound that a table of one recording is about: `rain.Table.1.selections.txt` is of `rain.wav`."""
    for stem in dict.fromkeys((path.stem, path.name.partition(".Table.")[0], path.name.partition(".")[0])):
        found = sorted(
            each.name
            for each in path.parent.iterdir()
            if each.stem == stem and each.suffix.lower() in SUFFIXES
        )
        if found:
            return found[0]
    raise DataError(
        f"{path}: the table does not say which file it is of (in Raven: 'Begin Path' or 'Begin File'), and "
        f"there is no sound called {path.name.partition('.')[0]} beside it. Put the sound beside it."
    )
