"""Tables of clips on disk: CSV, TSV, Parquet, JSON lines, Raven selections and Audacity labels."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path, PureWindowsPath
from typing import TextIO

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.text import is_text
from nearfield.data.audio import SUFFIXES
from nearfield.data.faults import Problem
from nearfield.data.listing import Listing

# Selection tables of Raven and labels of Audacity.

_BEGIN, _END, _OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
_SAME = ("Selection", "Begin Path", "Begin File", _BEGIN, _END, _OFFSET)
_LABEL = re.compile(r"(-?\d+(?:[.,]\d+)?)\t(-?\d+(?:[.,]\d+)?)(?:\t(.*))?")


def is_raven(table: pd.DataFrame) -> bool:
    """Whether a table has the columns that all tables of Raven have."""
    return {"Selection", _BEGIN, _END} <= set(table)


def from_raven(listing: Listing, path: Path) -> Listing:
    """Converts selections to clips with `path`, `start`, `seconds`, and `label` from `Annotation`.

    Raven repeats a selection for each view; repetitions are recognized by number, file and times, since
    numbers start again in joined tables. Selections with invalid times are left out and listed. Raises
    DataError if the table does not give the file of a selection, or its position in the file.
    """
    table = listing.table
    views = [name for name in _SAME if name in table]
    once = ~table.duplicated(views).to_numpy()
    table = table[once].reset_index(drop=True)
    lines = tuple(line for line, kept in zip(listing.lines, once, strict=True) if kept)
    files = _files(table, path)
    if _OFFSET not in table and len(set(files)) > 1:
        raise DataError(
            f"{path}: this Raven table has several files, and {_BEGIN!r} counts through all of them. "
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
    """Problems of selections with invalid times."""
    for column in (_OFFSET, _END, _BEGIN):
        if column not in table:
            continue
        times = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        for row in np.flatnonzero(~np.isfinite(times)).tolist():
            reason = f"{column!r} is {str(table[column].iloc[row]).strip()!r}, no number of seconds."
            cure = "Correct it, or remove the row."
            yield row, Problem("bad_time", files[row], lines[row], reason, cure)


def from_audacity(path: Path, lines: Iterable[str]) -> Listing:
    """Converts the labels of `rain.txt` to clips of the sound `rain.wav` (or another suffix) in its folder.

    Raises DataError if a line is not a label, or there is no such sound.
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
    """The file of each selection: in the folder of the table if it exists there, else as given."""
    given = next((name for name in ("Begin Path", "Begin File") if name in table), None)
    if given is None:
        return [_beside(path)] * len(table)
    names = [PureWindowsPath(str(cell)).name for cell in table[given]]
    there = {name: (path.parent / name).is_file() for name in set(names)}
    return [name if there[name] else str(cell) for name, cell in zip(names, table[given], strict=True)]


def _beside(path: Path) -> str:
    """The sound of a table of one recording: `rain.wav` for `rain.Table.1.selections.txt`."""
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


# Rows of tables (CSV, TSV, Parquet, JSON lines), with line numbers for messages.

_SAID = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_WHOLE = re.compile(r"-?\d+\.0+")

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
TEXT = ".txt"
"""Suffix of selection tables of Raven and labels of Audacity."""


def read_table(path: Path) -> Listing:
    """Reads a table, with paths relative to its folder. CSV cells remain text.

    Raises DataError if the file is not a table, has no rows, or has a column twice. Rows with more cells than
    the header are left out and listed.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _from_parquet(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _from_json_lines(path, file) if suffix == ".jsonl" else _from_text(path, file)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: it is not UTF-8 text ({error.reason}). Save it as UTF-8.") from None
    if len(rows.table) and is_raven(rows.table):
        rows = from_raven(rows, path)
    if not len(rows.table):
        raise _no_rows(path, rows.problems)
    return rows


def _no_rows(path: Path, problems: tuple[Problem, ...] = ()) -> DataError:
    if not problems:
        return DataError(f"{path}: there are no rows in it. Add a row for each clip.")
    first = "".join(f"\n  {problem}" for problem in problems[:3])
    return DataError(f"{path}: not one of its {len(problems)} rows can be read. The first reasons:{first}")


def _from_text(path: Path, file: TextIO) -> Listing:
    """Rows of CSV, a selection table of Raven, or labels of Audacity."""
    if path.suffix.lower() == TEXT:
        first = file.readline()
        file.seek(0)
        if "Begin Time (s)" not in first:
            return from_audacity(path, file)
    return _from_csv(path, file)


def cell_text(value: object) -> str:
    """Converts a cell to stripped text: missing is "", and 3.0 is "3" (gaps turn integers into floats)."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).strip()


def texts(table: pd.DataFrame, column: str | None) -> list[str]:
    """Returns the cells of a column as text; "" for each row if `column` is None.

    If all cells are whole numbers written as 1.0, they become 1.
    """
    if column is None:
        return [""] * len(table)
    cells = [cell_text(cell) for cell in table[column]]
    if all(_WHOLE.fullmatch(cell) for cell in cells if cell):
        return [cell.partition(".")[0] for cell in cells]
    return cells


def _from_csv(path: Path, file: Iterable[str]) -> Listing:
    lines = iter(file)
    first, skipped, sign = _first_line(path, lines)
    reader = csv.reader(chain([first], lines), delimiter=sign, strict=True)
    rows: list[list[str]] = []
    numbers: list[int] = []
    problems: list[Problem] = []
    before = 0
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        before = reader.line_num
        for cells in reader:
            line, before = before + 1 + skipped, reader.line_num
            while len(cells) > len(header) and not cells[-1].strip():
                cells.pop()
            if len(cells) > len(header):
                problems.append(_ragged(path, line, len(cells), len(header)))
            elif any(cell.strip() for cell in cells):
                rows.append(cells + [""] * (len(header) - len(cells)))
                numbers.append(line)
                problems += _swallowed(path, line, cells, len(header), sign)
    except csv.Error as error:
        raise _bad_csv(path, before + 1 + skipped, reader.line_num + skipped, str(error)) from None
    table = pd.DataFrame(rows, columns=header, dtype=object)
    return Listing(table, path.parent, tuple(numbers), path.name, tuple(problems))


def _first_line(path: Path, lines: Iterator[str]) -> tuple[str, int, str]:
    """The header, the number of lines before it, and the separator, which Excel may give first (`sep=;`)."""
    declared = None
    for skipped, line in enumerate(lines):
        found = _SAID.fullmatch(line.strip())
        if not found and line.strip(" \t\r\n,;"):
            return line, skipped, declared[1] if declared else separator(path, line)
        declared = found or declared
    return "", 0, ","


def _bad_csv(path: Path, line: int, last: int, message: str) -> DataError:
    """The error for a row that begins in `line` and could not be parsed at line `last`."""
    if message == "unexpected end of data":
        reason = f'line {line}: a double quote (") is opened in this row and not closed'
    elif "expected after" in message:
        reason = f"line {line}: this row has text between a closing quote and the next cell"
    else:
        return DataError(f"{path}: line {last}: {message}. Save the table as plain CSV.")
    return DataError(f'{path}: {reason}. Close it, or write a quote inside a cell as "".')


def _swallowed(path: Path, line: int, cells: list[str], columns: int, sign: str) -> list[Problem]:
    """Warns of a quoted cell that contains lines which look like rows."""
    inner = [text for cell in cells for text in cell.splitlines()[1:-1]]
    if columns < 2 or not any(text.count(sign) == columns - 1 for text in inner):
        return []
    reason = "a cell in quotes holds lines that look like rows, which were not read as such."
    return [Problem("quoted", path.name, line, reason, "See whether a quote is closed too late.", "warning")]


def separator(path: Path, header: str) -> str:
    """Returns the separator of a table with the first line `header`."""
    if path.suffix.lower() == ".tsv" and "\t" in header:
        return "\t"
    return max(",;\t", key=header.count)


def _check_header(path: Path, header: list[str]) -> None:
    repeated = sorted({name for name in header if header.count(name) > 1 and name})
    if repeated:
        raise DataError(f"{path}: two columns are named {repeated[0]!r}. Rename or remove one.")


def _ragged(path: Path, line: int, cells: int, columns: int) -> Problem:
    reason = f"the row has {cells} cells where the header has {columns}."
    return Problem("ragged", path.name, line, reason, "Put cells that hold the separator in double quotes.")


def _from_json_lines(path: Path, file: Iterable[str]) -> Listing:
    rows: list[dict[str, object]] = []
    numbers: list[int] = []
    problems: list[Problem] = []
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        row, reason = _from_json(text)
        if isinstance(row, dict):
            rows.append(row)
            numbers.append(line)
        else:
            cure = 'Write one object a line: {"file_name": "a.wav", "label": "dog"}.'
            problems.append(Problem("ragged", path.name, line, reason, cure))
    table = pd.DataFrame(rows, dtype=object)
    return Listing(table, path.parent, tuple(numbers), path.name, tuple(problems))


def _from_json(text: str) -> tuple[object, str]:
    """The value of a line, and the problem if it is not an object."""
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        return None, f"the line is not JSON ({error.msg})."
    except (ValueError, RecursionError):  # thousands of digits, or of brackets
        return None, "the line is not JSON that can be read: a number or a nesting in it has no end."
    if _HALF.search(text) and not is_text(json.dumps(row, ensure_ascii=False)):
        return None, "the line holds half of a pair of signs (\\ud800 to \\udfff), which is no text."
    return row, "the line is not a JSON object."


def _from_parquet(path: Path) -> Listing:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path}: it cannot be read as Parquet ({reason}). Write it again.") from None
    if not len(table):
        raise _no_rows(path)
    if any(table.index.names):  # pandas stores the index separately
        table = table.reset_index()
    table.columns = table.columns.map(str)
    return Listing(table, path.parent, tuple(range(2, len(table) + 2)), path.name)
