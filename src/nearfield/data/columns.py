"""Which column of a table plays which part: the one the user chose, or the usual names."""

import difflib
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from nearfield.core.errors import DataError, choose
from nearfield.data.faults import Problem
from nearfield.data.listing import Listing
from nearfield.data.marks import as_tags, parted, place_of, recurring
from nearfield.data.search import search
from nearfield.data.settings import Choice, Columns
from nearfield.data.splits import side
from nearfield.data.tables import cell_text, texts
from nearfield.data.time_columns import Times, find_times, holds_times, name_words

PARTS = ("path", "label", "tags", "split", "group", "recording", "start", "end", "seconds")
"""The parts that a column can be chosen for."""
PATH = ("path", "file_name")
"""The usual names of the column with the files; others are understood by their words."""
_FILE = frozenset(("path", "file", "filename", "filepath", "fname"))
_BESIDE = frozenset(("name", "audio", "sound", "wav", "clip", "slice", "relative"))
"""A name like `slice_file_name` or `AudioFile` is of words of `_FILE`, one at least, and of these."""
GROUP = ("group", "speaker", "source", "recording", "track")
"""What is kept on one side of a split: the first of these that is there."""

_MEANT = {"label": ("class", "classname", "category", "species", "annotation", "target", "genre")}
"""Other names under which tables hold a part."""
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
    times: Times

    def unused_numbers(self, table: pd.DataFrame) -> list[str]:
        """Columns that play no part and hold numbers or times: they may say which piece a row is."""
        used = {self.path, self.label, self.tags, self.split, self.recording, self.group}
        used |= self.times.names()
        return [str(name) for name in table if str(name) not in used and holds_times(table[name])]


def find_parts(listing: Listing, columns: Columns) -> Parts:
    """The parts of a listing's columns.

    Raises DataError, naming the columns found and the nearest, where there is no path or a chosen column
    is not there.
    """
    table, where = listing.table, listing.source
    if isinstance(columns.group, str) and columns.group_by is not None:
        raise DataError("data.group and data.group_by: both say which clips stay together. Give one of them.")
    for part, name in columns.model_dump(include=set(PARTS)).items():
        if isinstance(name, str) and name not in table:
            raise DataError(
                f"{where}: there is no column {name!r} to be used as {part}. {choose(name, map(str, table))}"
            )
    able = [columns.path] if columns.path else path_columns(table)
    if not able:
        raise DataError(f"{where}: {_no_path(list(table))}{without_table(listing)}")
    if len(able) > 1:
        raise DataError(
            f"{where}: {able[0]!r} and {able[1]!r} could both name the files. "
            f"Choose one, as in data.path={able[0]}."
        )
    return Parts(
        path=able[0],
        label=_pick(table, columns.label, ("label",)),
        tags=_pick(table, columns.tags, ("tags",)),
        split=_pick(table, columns.split, ("split", "fold")),
        recording=_pick(table, columns.recording, ("recording",)),
        group=_pick(table, columns.group, GROUP),
        times=find_times(table, columns, where),
    )


def without_table(listing: Listing) -> str:
    """How to read the folder of a table without it, where there are folders of sounds in it."""
    if not listing.instead or all(len(path.parts) < 2 for path in search(listing.base).sounds):
        return ""
    return f"\nIf {listing.source} is not a table of the clips, take the folders alone: {listing.instead}"


def path_columns(table: pd.DataFrame) -> list[str]:
    """The columns that could name the files; of those with a usual name the first, where they agree."""
    usual = [name for wanted in PATH if (name := _first(table, (wanted,)))]
    if usual:
        return usual if len({_stems(table, name) for name in usual}) > 1 else usual[:1]
    return [str(name) for name in table if _names_files(str(name)) and _first(table, (str(name).lower(),))]


def _stems(table: pd.DataFrame, column: str) -> tuple[str, ...]:
    """The names of a column's files, without folder and ending."""
    return tuple(PurePosixPath(cell.replace("\\", "/")).stem for cell in texts(table, column))


def _names_files(name: str) -> bool:
    words = set(name_words(name))
    return bool(words & _FILE) and words <= _FILE | _BESIDE


def doubts(listing: Listing, parts: Parts, columns: Columns) -> list[Problem]:
    """Columns that look like times, or like a label, tags or a split, and were not used.

    Raises DataError where a column that nobody chose may hold labels or tags.
    """
    found = parts.times.doubts(listing.source)
    if parts.label is not None and parts.tags is None and columns.label is None and columns.tags is None:
        _refuse_tags(listing, parts.label)
    if parts.label is not None and parts.label != parts.tags and columns.tags is not False:
        none = "data.tags=false" if parts.tags is None else "nothing is to be done"
        found += _lists(listing, parts.label, "each such cell is taken for one class.", none)
    for part in ("label", "tags", "split"):
        if getattr(parts, part) is not None or getattr(columns, part) is False:
            continue
        names = [str(name) for name in listing.table if str(name) != parts.path]
        close = [name for name in names if name.lower() in _MEANT.get(part, ())]
        close += difflib.get_close_matches(part, names, n=1, cutoff=_CLOSE)
        filled = [name for name in close if _first(listing.table, (name.lower(),))]
        if filled and part == "label" and parted(listing, filled[0]):
            classes = f"data.label={filled[0]} and data.tags=false"
            found += _lists(listing, filled[0], "it was not used.", classes)
        elif filled:
            reason = f"there is no column {part!r}, but one called {filled[0]!r}, which was not used."
            cure = f"If it holds the {part}, choose it: data.{part}={filled[0]}."
            found.append(Problem("column", listing.source, None, reason, cure, "warning"))
    if parts.split is None and columns.split is None and listing.lines[0] is not None:
        found += _sides_in_paths(listing, parts.path)
    return found


def _refuse_tags(listing: Listing, column: str) -> None:
    if listing.label_from or (found := recurring(listing, column)) is None:
        return
    row, text, word = found
    raise DataError(
        f"{place_of(listing, row)}: {text!r} in the column {column!r} has a {word} in it, and parts of it "
        f"stand in other cells too. If they are tags: {as_tags(column, word)}. If each cell is the name of "
        "one class: data.tags=false."
    )


def _lists(listing: Listing, column: str, taken: str, classes: str) -> list[Problem]:
    """A word where cells of a column of labels look like lists of tags; `classes` says that they are none."""
    if listing.label_from or (found := parted(listing, column)) is None:
        return []
    row, text, word = found
    reason = f"the column {column!r} looks like lists of tags ({text!r} has a {word} in it); {taken}"
    cure = f"If they are tags: {as_tags(column, word)}. If each cell is the name of one class: {classes}."
    return [Problem("lists", listing.source, listing.lines[row], reason, cure, "warning")]


def _sides_in_paths(listing: Listing, path: str) -> list[Problem]:
    """A word where the paths of a table begin with folders called train, test or the like."""
    firsts = {cell.replace("\\", "/").partition("/")[0] for cell in texts(listing.table, path) if "/" in cell}
    called = sorted(first for first in firsts if side(first))
    if len({side(first) for first in called}) < 2:
        return []
    reason = f"paths begin with {', '.join(called)}, which is not taken for the split; one is made instead."
    cure = "Write them into a column split, or name the folder as audiofolder:FOLDER; else data.split=false."
    return [Problem("side", listing.source, None, reason, cure, "warning")]


def _pick(table: pd.DataFrame, chosen: Choice, usual: tuple[str, ...]) -> str | None:
    """The chosen column, none where that is False, or the first of the usual ones."""
    return chosen if isinstance(chosen, str) else None if chosen is False else _first(table, usual)


def _first(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    """The first of `names`, in any case, that is a column with something in it."""
    for wanted in names:
        for name in table:
            if str(name).strip().lower() == wanted and any(_is_filled(cell) for cell in table[name]):
                return str(name)
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
    guess = f"Is it {name!r}? Then choose it: data.path={name}. " if ratio >= 0.6 else ""
    listed = ", ".join(names) or "none"
    return f"there is no column 'path' or 'file_name' that names the files. {guess}Columns found: {listed}."
