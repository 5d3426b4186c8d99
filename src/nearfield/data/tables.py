"""Tables on disk (CSV, TSV, Parquet, JSON lines) to rows, each with its line, for messages."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.data.faults import Problem
from nearfield.data.listing import Listing

_WHOLE = re.compile(r"-?\d+\.0+")

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")


def read_table(path: Path) -> Listing:
    """The rows of a table, paths in it counting from its folder. CSV cells stay text.

    Raises DataError where the file is no such table, has no rows, or names a column twice. Rows with more
    cells than the header are left out and listed.
    """
    if path.suffix.lower() == ".parquet":
        return _from_parquet(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _from_json_lines(path, file) if path.suffix.lower() == ".jsonl" else _from_csv(path, file)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: it is not UTF-8 text ({error.reason}). Save it as UTF-8.") from None
    if not len(rows.table):
        raise DataError(f"{path}: there are no rows in it. Add a row for each clip.")
    return rows


def cell_text(value: object) -> str:
    """A cell as text without blanks around it: missing is "", and 3.0 is "3" as it was before a gap."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).strip()


def texts(table: pd.DataFrame, column: str | None) -> list[str]:
    """A column's cells as text, "" for each row where there is no such column.

    Text that holds whole numbers written as 1.0 throughout reads as the numbers themselves do: 1.
    """
    if column is None:
        return [""] * len(table)
    cells = [cell_text(cell) for cell in table[column]]
    if all(_WHOLE.fullmatch(cell) for cell in cells if cell):
        return [cell.partition(".")[0] for cell in cells]
    return cells


def _from_csv(path: Path, file: Iterable[str]) -> Listing:
    lines = iter(file)
    first = next(lines, "")
    reader = csv.reader(_chained(first, lines), delimiter=separator(path, first))
    rows: list[list[str]] = []
    numbers: list[int] = []
    problems: list[Problem] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        before = reader.line_num
        for cells in reader:
            line, before = before + 1, reader.line_num
            if len(cells) > len(header):
                problems.append(_ragged(path, line, len(cells), len(header)))
            elif any(cell.strip() for cell in cells):
                rows.append(cells + [""] * (len(header) - len(cells)))
                numbers.append(line)
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}. Save the table as plain CSV.") from None
    table = pd.DataFrame(rows, columns=header, dtype=object)
    return Listing(table, path.parent, tuple(numbers), path.name, tuple(problems))


def separator(path: Path, header: str) -> str:
    """What parts the cells of a table whose first line is `header`."""
    if path.suffix.lower() == ".tsv" and "\t" in header:
        return "\t"
    return max(",;\t", key=header.count)


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _check_header(path: Path, header: list[str]) -> None:
    doubled = sorted({name for name in header if header.count(name) > 1 and name})
    if doubled:
        raise DataError(f"{path}: two columns are called {doubled[0]!r}. Rename or remove one.")


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
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            row, reason = None, f"the line is not JSON ({error.msg})."
        else:
            reason = "the line is not a JSON object."
        if isinstance(row, dict):
            rows.append(row)
            numbers.append(line)
        else:
            cure = 'Write one object a line: {"file_name": "a.wav", "label": "dog"}.'
            problems.append(Problem("ragged", path.name, line, reason, cure))
    table = pd.DataFrame(rows, dtype=object)
    return Listing(table, path.parent, tuple(numbers), path.name, tuple(problems))


def _from_parquet(path: Path) -> Listing:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path}: it cannot be read as Parquet ({reason}). Write it again.") from None
    if not len(table):
        raise DataError(f"{path}: there are no rows in it. Add a row for each clip.")
    if any(table.index.names):  # pandas keeps what was an index apart
        table = table.reset_index()
    table.columns = table.columns.map(str)
    return Listing(table, path.parent, tuple(range(2, len(table) + 2)), path.name)
