"""Columns of a table: which one holds the label, the times, the speaker and so on."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import Literal

import pandas as pd

from nearfield.core.errors import DataError, choose
from nearfield.data.faults import Problem
from nearfield.data.labels import as_tags, parted, place_of, recurring
from nearfield.data.listing import Listing, search
from nearfield.data.settings import Choice, Columns
from nearfield.data.splits import split_name
from nearfield.data.tables import cell_text, texts
from nearfield.data.times import is_missing, to_number

# Which columns of a table say when its clips begin and end, told by their names, and in which unit.

Role = Literal["start", "end", "seconds"]

USUAL: dict[Role, tuple[str, ...]] = {
    "start": ("start", "start_time"),
    "end": ("end", "end_time"),
    "seconds": ("seconds", "duration"),
}
"""Names that come first where several columns could play a role; both starts are read."""

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("start", "starts", "begin", "begins", "beginning", "onset"), "start"),
    **dict.fromkeys(("end", "ends", "ending", "stop", "stops", "offset", "finish", "until"), "end"),
    **dict.fromkeys(("duration", "durations", "length", "dur", "len"), "seconds"),
}
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
}
_NEUTRAL = frozenset(("time", "times", "t", "at", "in", "clip", "event", "segment"))
"""Words that change nothing beside a role and a unit."""
_COUNTS = frozenset(("sample", "samples", "frame", "frames"))
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_CLOCK = re.compile(r"\d+:\d\d")
_LOOKED_AT = 20  # cells that tell what a column holds
_TIMES = {
    "start": "the start of each clip",
    "end": "the end of each clip",
    "seconds": "how long each clip is",
}


@dataclass(frozen=True)
class TimeColumn:
    """A column whose name looks like a time."""

    name: str
    role: Role
    unit: float | None
    """Seconds that a 1 in it stands for; None where the name does not say it plainly."""
    is_dated: bool = False
    """Whether it holds dates and times, which place a recording and cut no piece out of it."""


@dataclass(frozen=True)
class Times:
    """The columns that say which piece of its file a clip is."""

    starts: tuple[TimeColumn, ...]
    seconds: TimeColumn | None
    end: TimeColumn | None
    unused: tuple[TimeColumn, ...]
    """Columns that look like times, hold such, and are not used."""

    def cells(self, table: pd.DataFrame) -> Iterator[tuple[list[str], str, str]]:
        """For each row its starts, its seconds and its end, as text: numbers in seconds, "" where missing."""
        starts = [_cells(table, column) for column in self.starts]
        ends = zip(_cells(table, self.seconds), _cells(table, self.end), strict=True)
        for position, (seconds, end) in enumerate(ends):
            yield [column[position] for column in starts], seconds, end

    def names(self) -> set[str]:
        """The columns that are used."""
        return {column.name for column in (*self.starts, self.seconds, self.end) if column}

    def doubts(self, source: str) -> list[Problem]:
        """A warning for each column that looks like a time and is not used."""
        return [
            Problem(
                "column",
                source,
                None,
                f"the column {column.name!r} looks like a time and was not used.",
                f"If it is {_TIMES[column.role]}: data.{column.role}={column.name}.",
                "warning",
            )
            for column in self.unused
        ]


def find_times(table: pd.DataFrame, columns: Columns, where: str) -> Times:
    """The columns of times of a table, those that the user chose first.

    Raises DataError where a column that is not understood looks like the half that is missing: a start
    without an end, or an end without a start.
    """
    looking = _looking(table)
    starts = _choose(looking, "start", columns.start, where)
    ends = _choose(looking, "end", columns.end, where)
    lengths = _choose(looking, "seconds", columns.seconds, where)
    if not starts and columns.seconds is None:  # a plain `length` may be of anything
        lengths = [column for column in lengths if _says_seconds(column.name)]
    used = {column.name for column in (*starts, *ends, *lengths)}
    denied = [role for role in USUAL if getattr(columns, role) is False]
    unused = [column for column in looking if column.name not in used and column.role not in denied]
    times = Times(tuple(starts), lengths[0] if lengths else None, ends[0] if ends else None, tuple(unused))
    _refuse_half(times, denied, where)
    return times


def _looking(table: pd.DataFrame) -> list[TimeColumn]:
    """The columns that look like times and hold some. `offset` is the end where there is an onset; alone it
    is a start in some tables and an end in others."""
    named = [(each, _first_cells(table[each.name])) for name in table if (each := time_column(str(name)))]
    found = [
        replace(each, is_dated=all(map(_is_date, cells)))
        for each, cells in named
        if cells and (each.name.strip().lower() in USUAL[each.role] or any(map(_tells_time, cells)))
    ]
    if any("onset" in _words(each.name) for each in found):
        return found
    role: Role = "end" if any(each.role == "start" for each in found) else "start"
    return [replace(each, role=role, unit=None) if "offset" in _words(each.name) else each for each in found]


def time_column(name: str) -> TimeColumn | None:
    """What a column of this name would be, or None where the name is not that of a time.

    >>> time_column("Begin Time (s)")
    TimeColumn(name='Begin Time (s)', role='start', unit=1.0)
    """
    words = _words(name)
    roles = {_ROLES[word] for word in words if word in _ROLES}
    if not roles and "seconds" in words and set(words) <= {"seconds", *_NEUTRAL}:
        roles = {"seconds"}
    if not roles:
        return None
    units = {_UNITS[word] for word in words if word in _UNITS}
    rest = [word for word in words if not (word in _ROLES or word in _UNITS or word in _NEUTRAL)]
    is_least = words[0] == "min"  # `min_duration` is the shortest one, `duration_min` one in minutes
    is_plain = len(roles) == 1 and len(units) < 2 and not rest and not is_least
    unit = (units.pop() if units else 1.0) if is_plain else None
    return TimeColumn(name, sorted(roles)[0], unit)


def _words(name: str) -> list[str]:
    return [word.removesuffix("time") or word for word in name_words(name)]


def name_words(name: str) -> list[str]:
    """`startTime`, `start_time` and `Start Time` in the same words: start, time."""
    return [word.lower() for word in _WORD.findall(name)]


def _says_seconds(name: str) -> bool:
    words = _words(name)
    return name.strip().lower() in USUAL["seconds"] or any(word in _UNITS for word in words)


def _choose(looking: list[TimeColumn], role: Role, chosen: Choice, where: str) -> list[TimeColumn]:
    """The columns that play a role: the chosen one, else the usual ones, else the first understood."""
    if chosen is False:
        return []
    if chosen is not None:
        return [_chosen(role, chosen, where)]
    able = [column for column in looking if column.role == role and column.unit is not None]
    usual = [column for column in able if column.name.strip().lower() in USUAL[role]]
    usual.sort(key=lambda column: USUAL[role].index(column.name.strip().lower()))
    return (usual or able)[: 2 if role == "start" and usual else 1]


def _chosen(role: Role, name: str, where: str) -> TimeColumn:
    words = _words(name)
    if _COUNTS.intersection(words):
        raise DataError(
            f"{where}: data.{role}: the column {name!r} counts samples or frames. "
            f"Write a column in seconds beside it and name that, or data.{role}=false."
        )
    units = [_UNITS[word] for word in words if word in _UNITS]
    return TimeColumn(name, role, units[0] if units else 1.0)


def _refuse_half(times: Times, denied: list[Role], where: str) -> None:
    """Raises DataError where a column not understood looks like the half of a time that is missing."""
    given = [half for half, names in (("start", times.starts), ("end", times.seconds or times.end)) if names]
    halves = {
        column: "start" if column.role == "start" else "end" for column in times.unused if not column.is_dated
    }
    both = {*given, *halves.values()} == {"start", "end"}
    for column, half in halves.items():
        if half in given or not both or half in denied:
            continue
        is_count = _COUNTS.intersection(_words(column.name))
        told = "in samples or frames" if is_count else "but not in a way that is understood"
        use = f"write it in seconds as {column.role!r}" if is_count else f"data.{column.role}={column.name}"
        raise DataError(
            f"{where}: the column {column.name!r} looks like {_TIMES[column.role]}, {told}; without it each "
            f"clip would be another piece of its file. If it is that (in seconds): {use}. "
            f"If not: data.{column.role}=false."
        )


def _first_cells(column: pd.Series) -> list[str]:
    """The first cells that say something, as text."""
    filled = (text for cell in column if not is_missing(text := cell_text(cell)))
    return list(islice(filled, _LOOKED_AT))


def holds_times(column: pd.Series) -> bool:
    """Whether the first cells of a column hold more than one number, clock time or date, and nothing else."""
    cells = _first_cells(column)
    return len(set(cells)) > 1 and all(map(_tells_time, cells))


def _tells_time(text: str) -> bool:
    return to_number(text) is not None or bool(_CLOCK.match(text)) or _is_date(text)


def _is_date(text: str) -> bool:
    if to_number(text) is not None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _cells(table: pd.DataFrame, column: TimeColumn | None) -> list[str]:
    """A column's cells in seconds; whatever is no number stays as it is."""
    cells = ["" if is_missing(cell) else cell for cell in texts(table, column.name if column else None)]
    unit = column.unit if column else None
    if unit is None or unit == 1.0:
        return cells
    numbers = [to_number(cell) for cell in cells]
    return [cell if value is None else repr(value * unit) for cell, value in zip(cells, numbers, strict=True)]


# Which column of a table plays which part: the one the user chose, or the usual names.

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
class ColumnRoles:
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


def find_parts(listing: Listing, columns: Columns) -> ColumnRoles:
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
    return ColumnRoles(
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


def doubts(listing: Listing, parts: ColumnRoles, columns: Columns) -> list[Problem]:
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
    called = sorted(first for first in firsts if split_name(first))
    if len({split_name(first) for first in called}) < 2:
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
