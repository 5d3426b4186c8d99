"""Start and length of clips, from the table and the length of the file.

The `start` of a table may be an offset in the file, or a time in the recording that the file was cut from. A
date and time is always a time in the recording. A number is an offset, unless the file is exactly as long as
the clip and leaves no room for an offset; then the clip is the whole file and the number is its time in the
recording.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from nearfield.data.faults import AGAIN, Fault

How = Literal["whole", "offset", "moment", "clock"]

SLACK_SECONDS, SLACK_SHARE = 0.05, 0.01
"""Lengths that differ by at most 0.05 s + 1 % count as equal, because tables are rounded."""


@dataclass(frozen=True)
class Span:
    """The part of a file that is a clip."""

    start: float
    """Offset in the file, in seconds."""
    seconds: float
    """Length in seconds."""
    moment: float
    """Time in the recording, in seconds; for a date and time, since 1970-01-01 UTC."""
    how: How
    """Interpretation of the start: not given, an offset, a time as a number, a date and time."""


def settle(starts: list[str], seconds: str, end: str, length: float) -> Span:
    """Determines the clip in a file of `length` seconds from the cells of a table; "" means empty.

    `starts` are the cells of `start` and `start_time`: one may be an offset and the other a date and time.
    Raises Fault if a cell cannot be parsed, or if the file is too short.
    """
    number, clock = _starts(starts)
    wanted = _wanted(seconds, end, number, clock)
    if number is not None and wanted is not None and _only_as_long(length, wanted, number):
        return Span(0.0, length, number if clock is None else clock, "moment" if clock is None else "clock")
    start = number or 0.0
    slack = SLACK_SECONDS + SLACK_SHARE * (wanted or 0.0)
    if start < 0:
        raise Fault("bad_time", f"start is {start:g} s, before the file begins.", "Correct `start`.")
    if start >= length:
        raise Fault(
            "short",
            f"the clip starts at {start:g} s, but the file has {length:g} s.",
            "Correct `start`; if it is a time in a longer recording, give the clip's length in `seconds`.",
        )
    if wanted is not None and start + wanted > length + slack:
        reason = f"the clip ends at {start + wanted:g} s, but the file has {length:g} s."
        raise Fault("short", reason, "Correct the row, or copy the file again if it is truncated.")
    whole = wanted is None or (start == 0 and abs(length - wanted) <= slack)
    taken = length - start if whole or wanted is None else min(wanted, length - start)
    moment = start if clock is None else clock + start
    how: How = "clock" if clock is not None else "whole" if number is None else "offset"
    return Span(start, taken, moment, how)


_MISSING = frozenset(("", "na", "n/a", "nan", "null", "none"))


def is_missing(cell: str) -> bool:
    """Whether a cell of a column of times is empty, also in the notation of R and others (`NA`)."""
    return cell.lower() in _MISSING


def uncut(length: float, least: float) -> float:
    """Returns the length of a file, in seconds. Raises Fault if it is shorter than the clips of its set."""
    if length < least - SLACK_SECONDS - SLACK_SHARE * least:
        reason = f"it has {length:g} s, but each clip of this set has {least:g} s: it is truncated."
        raise Fault("short", reason, AGAIN)
    return length


def on_clock(span: Span, begins: float | None) -> Span:
    """Sets the time in the recording of a span whose file begins at `begins`; None changes nothing."""
    return span if begins is None else replace(span, moment=begins + span.start, how="moment")


def _only_as_long(length: float, wanted: float, start: float) -> bool:
    """Whether the file is exactly as long as the clip, without room for the start as an offset."""
    slack = SLACK_SECONDS + SLACK_SHARE * wanted
    return abs(length - wanted) <= slack and not 0 <= start <= length + SLACK_SECONDS - wanted


def _starts(cells: list[str]) -> tuple[float | None, float | None]:
    """The first number and the first date and time among the cells."""
    number = clock = None
    for cell in filter(None, cells):
        value = to_number(cell)
        if value is not None:
            if number is not None and abs(value - number) > SLACK_SECONDS:
                raise Fault(
                    "bad_time",
                    f"the clip starts at {number:g} s in one column and at {value:g} s in another.",
                    "Choose one: data.start=start or data.start=start_time.",
                )
            number = value if number is None else number
        else:
            moment = _clock("start", cell)
            clock = moment if clock is None else clock
    return number, clock


def _wanted(seconds: str, end: str, number: float | None, clock: float | None) -> float | None:
    """The length of the clip by the row, or None if it is not given."""
    found = []
    if seconds:
        value = to_number(seconds)
        if value is None:
            raise Fault("bad_time", f"seconds is {seconds!r}, not a number.", "Write seconds as 2.5.")
        found.append(value)
    if end:
        value = to_number(end)
        found.append(_clock("end", end) - (clock or 0.0) if value is None else value - (number or 0.0))
    for wanted in found:
        if wanted <= 0:
            raise Fault("bad_time", f"the clip is {wanted:g} s long.", "Correct `seconds` or `end`.")
    if len(found) == 2 and abs(found[0] - found[1]) > SLACK_SECONDS + SLACK_SHARE * found[0]:
        raise Fault(
            "bad_time",
            f"the clip is {found[0]:g} s long in `seconds` and {found[1]:g} s by `end`.",
            "Correct one, or leave one out: data.seconds=false or data.end=false.",
        )
    return found[0] if found else None


def to_number(cell: str) -> float | None:
    """Parses a finite number; returns None for anything else."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _clock(column: str, cell: str) -> float:
    """Seconds since 1970 of a date and time in ISO 8601; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        raise Fault(
            "bad_time",
            f"{column} is {cell!r}, neither seconds nor a date and time.",
            "Write seconds as 2.5, or a date and time as 2019-05-22T00:15.",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
