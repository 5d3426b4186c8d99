"""Roles of the columns of a table: label, times, speaker and so on."""

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

# Columns of times, recognized by their names, and their units.

Role = Literal["start", "end", "seconds"]

USUAL: dict[Role, tuple[str, ...]] = {
    "start": ("start", "start_time"),
    "end": ("end", "end_time"),
    "seconds": ("seconds", "duration"),
}
"""Preferred names if several columns fit a role; both names of a start are read."""

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
"""Words that may accompany a role and a unit."""
_COUNTS = frozenset(("sample", "samples", "frame", "frames"))
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_CLOCK = re.compile(r"\d+:\d\d")
_LOOKED_AT = 20  # cells that are inspected per column
_TIMES = {
    "start": "the start of each clip",
    "end": "the end of each clip",
    "seconds": "the length of each clip",
}


@dataclass(frozen=True)
class TimeColumn:
    """A column whose name looks like a time."""

    name: str
    role: Role
    unit: float | None
    """Unit in seconds; None if the name is not clear."""
    is_dated: bool = False
    """Whether it holds dates and times, which are times of recordings and not offsets in files."""


@dataclass(frozen=True)
class Times:
    """The columns that give start and length of clips in their files."""

    starts: tuple[TimeColumn, ...]
    seconds: TimeColumn | None
    end: TimeColumn | None
    unused: tuple[TimeColumn, ...]
    """Columns that contain times but are not used."""

    def cells(self, table: pd.DataFrame) -> Iterator[tuple[list[str], str, str]]:
        """Yields starts, seconds and end of each row as text: numbers in seconds, "" if missing."""
        starts = [_cells(table, column) for column in self.starts]
        ends = zip(_cells(table, self.seconds), _cells(table, self.end), strict=True)
        for position, (seconds, end) in enumerate(ends):
            yield [column[position] for column in starts], seconds, end

    def names(self) -> set[str]:
        """Returns the names of the used columns."""
        return {column.name for column in (*self.starts, self.seconds, self.end) if column}

    def doubts(self, source: str) -> list[Problem]:
        """Returns a warning for each unused column that looks like a time."""
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
    """Finds the columns of times of a table; chosen columns take precedence.

    Raises DataError if only starts or only ends are recognized, and an unclear column looks like the other.
    """
    looking = _looking(table)
    starts = _choose(looking, "start", columns.start, where)
    ends = _choose(looking, "end", columns.end, where)
    lengths = _choose(looking, "seconds", columns.seconds, where)
    if not starts and columns.seconds is None:  # a plain `length` may have any meaning
        lengths = [column for column in lengths if _says_seconds(column.name)]
    used = {column.name for column in (*starts, *ends, *lengths)}
    denied = [role for role in USUAL if getattr(columns, role) is False]
    unused = [column for column in looking if column.name not in used and column.role not in denied]
    times = Times(tuple(starts), lengths[0] if lengths else None, ends[0] if ends else None, tuple(unused))
    _refuse_half(times, denied, where)
    return times


def _looking(table: pd.DataFrame) -> list[TimeColumn]:
    """Columns with names and contents of times. `offset` is the end if there is an onset; without one, its
    role is ambiguous."""
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
    """Parses the name of a column; returns None if it is not the name of a time.

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
    is_least = words[0] == "min"  # `min_duration` is a minimum, `duration_min` is in minutes
    is_plain = len(roles) == 1 and len(units) < 2 and not rest and not is_least
    unit = (units.pop() if units else 1.0) if is_plain else None
    return TimeColumn(name, sorted(roles)[0], unit)


def _words(name: str) -> list[str]:
    return [word.removesuffix("time") or word for word in name_words(name)]


def name_words(name: str) -> list[str]:
    """Splits `startTime`, `start_time` or `Start Time` into the words start, time."""
    return [word.lower() for word in _WORD.findall(name)]


def _says_seconds(name: str) -> bool:
    words = _words(name)
    return name.strip().lower() in USUAL["seconds"] or any(word in _UNITS for word in words)


def _choose(looking: list[TimeColumn], role: Role, chosen: Choice, where: str) -> list[TimeColumn]:
    """Columns of a role: the chosen one, else those with usual names, else the first recognized one."""
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
            f"Add a column in seconds and choose that, or set data.{role}=false."
        )
    units = [_UNITS[word] for word in words if word in _UNITS]
    return TimeColumn(name, role, units[0] if units else 1.0)


def _refuse_half(times: Times, denied: list[Role], where: str) -> None:
    """Raises DataError if an unclear column looks like the missing start or end."""
    given = [half for half, names in (("start", times.starts), ("end", times.seconds or times.end)) if names]
    halves = {
        column: "start" if column.role == "start" else "end" for column in times.unused if not column.is_dated
    }
    both = {*given, *halves.values()} == {"start", "end"}
    for column, half in halves.items():
        if half in given or not both or half in denied:
            continue
        is_count = _COUNTS.intersection(_words(column.name))
        why = "in samples or frames" if is_count else "but its name is not clear"
        use = f"write it in seconds as {column.role!r}" if is_count else f"data.{column.role}={column.name}"
        raise DataError(
            f"{where}: the column {column.name!r} looks like {_TIMES[column.role]}, {why}; without it, clips "
            f"would be other parts of their files. If it is that (in seconds): {use}. "
            f"If not: data.{column.role}=false."
        )


def _first_cells(column: pd.Series) -> list[str]:
    """The first cells that are not empty, as text."""
    filled = (text for cell in column if not is_missing(text := cell_text(cell)))
    return list(islice(filled, _LOOKED_AT))


def holds_times(column: pd.Series) -> bool:
    """Whether the first cells of a column are numbers, clock times or dates with at least two values."""
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
    """Cells of a column in seconds; cells that are not numbers are unchanged."""
    cells = ["" if is_missing(cell) else cell for cell in texts(table, column.name if column else None)]
    unit = column.unit if column else None
    if unit is None or unit == 1.0:
        return cells
    numbers = [to_number(cell) for cell in cells]
    return [cell if value is None else repr(value * unit) for cell, value in zip(cells, numbers, strict=True)]


# Roles of columns: the chosen column, or one with a usual name.

PARTS = ("path", "label", "tags", "split", "group", "recording", "start", "end", "seconds")
"""Roles that a column can be chosen for."""
PATH = ("path", "file_name")
"""Usual names of the column with the files; others are recognized by their words."""
_FILE = frozenset(("path", "file", "filename", "filepath", "fname"))
_BESIDE = frozenset(("name", "audio", "sound", "wav", "clip", "slice", "relative"))
"""A name like `slice_file_name` or `AudioFile` has at least one word of `_FILE`, and otherwise these."""
GROUP = ("group", "speaker", "source", "recording", "track")
"""Columns that give the group, in order of preference."""

_MEANT = {"label": ("class", "classname", "category", "species", "annotation", "target", "genre")}
"""Other common names of a role."""
_CLOSE = 0.8
"""Smallest similarity (difflib's ratio) to a usual name for a warning."""


@dataclass(frozen=True)
class ColumnRoles:
    """Names of the columns for each role; None if there is no column."""

    path: str
    label: str | None
    tags: str | None
    split: str | None
    recording: str | None
    group: str | None
    times: Times

    def unused_numbers(self, table: pd.DataFrame) -> list[str]:
        """Returns columns without a role that hold numbers or times, which may be positions in a file."""
        used = {self.path, self.label, self.tags, self.split, self.recording, self.group}
        used |= self.times.names()
        return [str(name) for name in table if str(name) not in used and holds_times(table[name])]


def find_parts(listing: Listing, columns: Columns) -> ColumnRoles:
    """Finds the roles of the columns of a listing.

    Raises DataError, with the columns found and a suggestion, if there is no path or a chosen column does not
    exist.
    """
    table, where = listing.table, listing.source
    if isinstance(columns.group, str) and columns.group_by is not None:
        raise DataError("data.group and data.group_by: both define the groups. Give one of them.")
    for part, name in columns.model_dump(include=set(PARTS)).items():
        if isinstance(name, str) and name not in table:
            raise DataError(
                f"{where}: there is no column {name!r} for data.{part}. {choose(name, map(str, table))}"
            )
    able = [columns.path] if columns.path else path_columns(table)
    if not able:
        raise DataError(f"{where}: {_no_path(list(table))}{without_table(listing)}")
    if len(able) > 1:
        raise DataError(
            f"{where}: {able[0]!r} and {able[1]!r} could both be the paths of the files. "
            f"Choose one, for example data.path={able[0]}."
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
    """A hint how to read the folder without its table, if it has folders of sounds."""
    if not listing.instead or all(len(path.parts) < 2 for path in search(listing.base).sounds):
        return ""
    return f"\nIf {listing.source} is not a table of the clips, use only the folders: {listing.instead}"


def path_columns(table: pd.DataFrame) -> list[str]:
    """Columns that may hold paths of files; if those with usual names agree, only the first of them."""
    usual = [name for wanted in PATH if (name := _first(table, (wanted,)))]
    if usual:
        return usual if len({_stems(table, name) for name in usual}) > 1 else usual[:1]
    return [str(name) for name in table if _names_files(str(name)) and _first(table, (str(name).lower(),))]


def _stems(table: pd.DataFrame, column: str) -> tuple[str, ...]:
    """The names of the files in a column, without folder and suffix."""
    return tuple(PurePosixPath(cell.replace("\\", "/")).stem for cell in texts(table, column))


def _names_files(name: str) -> bool:
    words = set(name_words(name))
    return bool(words & _FILE) and words <= _FILE | _BESIDE


def doubts(listing: Listing, parts: ColumnRoles, columns: Columns) -> list[Problem]:
    """Warns of unused columns that look like times, a label, tags or a split.

    Raises DataError if a column that was not chosen may hold either labels or tags.
    """
    found = parts.times.doubts(listing.source)
    if parts.label is not None and parts.tags is None and columns.label is None and columns.tags is None:
        _refuse_tags(listing, parts.label)
    if parts.label is not None and parts.label != parts.tags and columns.tags is not False:
        none = "data.tags=false" if parts.tags is None else "ignore this"
        found += _lists(listing, parts.label, "each such cell is used as one class.", none)
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
            reason = f"there is no column {part!r}, but a column {filled[0]!r}, which was not used."
            cure = f"If it holds the {part}, choose it: data.{part}={filled[0]}."
            found.append(Problem("column", listing.source, None, reason, cure, "warning"))
    if parts.split is None and columns.split is None and listing.lines[0] is not None:
        found += _splits_in_paths(listing, parts.path)
    return found


def _refuse_tags(listing: Listing, column: str) -> None:
    if listing.label_from or (found := recurring(listing, column)) is None:
        return
    row, text, word = found
    raise DataError(
        f"{place_of(listing, row)}: {text!r} in the column {column!r} contains a {word}, and its parts occur "
        f"in other cells, too. If they are tags: {as_tags(column, word)}. If each cell is the name of one "
        "class: data.tags=false."
    )


def _lists(listing: Listing, column: str, taken: str, classes: str) -> list[Problem]:
    """Warns if cells of a label column look like lists of tags; `classes` is the remedy if they are not."""
    if listing.label_from or (found := parted(listing, column)) is None:
        return []
    row, text, word = found
    reason = f"the column {column!r} looks like lists of tags ({text!r} contains a {word}); {taken}"
    cure = f"If they are tags: {as_tags(column, word)}. If each cell is the name of one class: {classes}."
    return [Problem("lists", listing.source, listing.lines[row], reason, cure, "warning")]


def _splits_in_paths(listing: Listing, path: str) -> list[Problem]:
    """Warns if the paths of a table begin with folders named train, test or similar."""
    firsts = {cell.replace("\\", "/").partition("/")[0] for cell in texts(listing.table, path) if "/" in cell}
    called = sorted(first for first in firsts if split_name(first))
    if len({split_name(first) for first in called}) < 2:
        return []
    reason = f"paths begin with {', '.join(called)}, which is not used as the split; one is made instead."
    cure = "Write them into a column split, or give audiofolder:FOLDER; otherwise data.split=false."
    return [Problem("side", listing.source, None, reason, cure, "warning")]


def _pick(table: pd.DataFrame, chosen: Choice, usual: tuple[str, ...]) -> str | None:
    """The chosen column, None if it is False, or the first column with a usual name."""
    return chosen if isinstance(chosen, str) else None if chosen is False else _first(table, usual)


def _first(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    """The first column with one of `names`, ignoring case, that is not empty."""
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
