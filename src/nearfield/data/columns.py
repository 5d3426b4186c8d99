"""Which column of a table plays which part: the one the user chose, or the usual names."""

import difflib
from dataclasses import dataclass

import pandas as pd

from nearfield.core.errors import DataError, choose
from nearfield.data.faults import Problem
from nearfield.data.listing import Listing
from nearfield.data.settings import Columns
from nearfield.data.tables import cell_text

PATH = ("path", "file_name")
GROUP = ("group", "speaker", "source", "recording", "track")
"""What is kept on one side of a split: the first of these that is there."""
STARTS = ("start", "start_time")
SECONDS = ("seconds", "duration")

_CLOSE = 0.8
"""How like a usual name a column must be to be asked about (difflib's ratio)."""


@dataclass(frozen=True)
class Parts:
    """Names of columns, None where the table has nothing for the part."""

    path: str
    label: str | None
    tags: str | None
    split: str | None
    recording: str | None
    group: str | None
    starts: tuple[str, ...]
    seconds: str | None
    end: str | None


def find_parts(listing: Listing, columns: Columns) -> Parts:
    """The parts of a listing's columns.

    Raises DataError, naming the columns found and the nearest, where there is no path or a chosen column
    is not there.
    """
    table, where = listing.table, listing.source
    path = _first(table, PATH)
    if path is None:
        raise DataError(f"{where}: {_no_path(list(table))}")
    named = columns.model_dump(exclude={"views"})
    chosen = {part: name for part, name in named.items() if name is not None}
    for part, name in chosen.items():
        if name not in table:
            raise DataError(
                f"{where}: there is no column {name!r} to be used as {part}. {choose(name, map(str, table))}"
            )
    return Parts(
        path=path,
        label=chosen.get("label") or _first(table, ("label",)),
        tags=chosen.get("tags") or _first(table, ("tags",)),
        split=chosen.get("split") or _first(table, ("split", "fold")),
        recording=chosen.get("recording") or _first(table, ("recording",)),
        group=chosen.get("group") or _first(table, GROUP),
        starts=tuple(name for name in STARTS if name in table),
        seconds=_first(table, SECONDS),
        end=_first(table, ("end",)),
    )


def doubts(listing: Listing, parts: Parts) -> list[Problem]:
    """Columns that look like a misspelt `label`, `tags` or `split` where that part is missing."""
    found = []
    for part in ("label", "tags", "split"):
        names = [str(name) for name in listing.table if name != parts.path]
        close = difflib.get_close_matches(part, names, n=1, cutoff=_CLOSE)
        if getattr(parts, part) is None and close and close[0] != part:
            reason = f"there is no column {part!r}, but one called {close[0]!r}, which was not used."
            cure = f"Rename it to {part}, or say that it is the {part} column."
            found.append(Problem("column", listing.source, None, reason, cure, "warning"))
    return found


def texts(table: pd.DataFrame, column: str | None) -> list[str]:
    """A column's cells as text, "" for each row where there is no such column."""
    return [""] * len(table) if column is None else [cell_text(cell) for cell in table[column]]


def _first(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    """The first of `names` that is a column with something in it."""
    for name in names:
        if name in table and any(_is_filled(cell) for cell in table[name]):
            return name
    return None


def _is_filled(cell: object) -> bool:
    return len(cell) > 0 if hasattr(cell, "__len__") and not isinstance(cell, str) else bool(cell_text(cell))


def _no_path(found: list[object]) -> str:
    names = [str(name) for name in found if str(name)]
    empty = [name for name in PATH if name in names]
    if empty:
        return f"the column {empty[0]!r} is empty. Give each row the path of its file."
    pairs = [
        (difflib.SequenceMatcher(None, part, name.lower()).ratio(), name) for part in PATH for name in names
    ]
    ratio, name = max(pairs, default=(0.0, ""))
    guess = f"Is it {name!r}? Then rename it. " if ratio >= 0.6 else ""
    listed = ", ".join(names) or "none"
    return f"there is no column 'path' or 'file_name' that names the files. {guess}Columns found: {listed}."
