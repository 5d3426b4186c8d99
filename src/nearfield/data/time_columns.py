"""Which columns of a table say when its clips begin and end, told by their names, and in which unit."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Literal

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.data.faults import Problem
from nearfield.data.settings import Choice, Columns
from nearfield.data.tables import cell_text, texts
from nearfield.data.times import is_missing, to_number

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
_MEANT = {
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
                f"If it is {_MEANT[column.role]}: data.{column.role}={column.name}.",
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
            f"{where}: the column {column.name!r} looks like {_MEANT[column.role]}, {told}; without it each "
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
