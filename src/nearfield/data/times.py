"""When a clip begins and how long it is, out of what a table says and how long the file really is.

A table's `start` may be an offset inside the file or the moment in the recording that the file was cut
from. A date and time is always a moment. A number is an offset, unless the file is only as long as the
row says the clip is, and so has no room for an offset: then the file is the clip and the number its moment.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from nearfield.data.faults import AGAIN, Fault

How = Literal["whole", "offset", "moment", "clock"]

SLACK_SECONDS, SLACK_SHARE = 0.05, 0.01
"""Tables are rounded: lengths that differ by no more than 0.05 s + 1 % are the same."""


@dataclass(frozen=True)
class Span:
    """The piece of a file that a clip is."""

    start: float
    """Seconds into the file."""
    seconds: float
    moment: float
    """On the recording's clock, in seconds; for a date and time, since 1970-01-01 UTC."""
    how: How
    """What the start was taken for: not given, an offset, a moment as a number, a date and time."""


def settle(starts: list[str], seconds: str, end: str, length: float) -> Span:
    """The clip of a file of `length` seconds; the cells are "" where a table has nothing.

    `starts` are the cells of `start` and `start_time`: one may be an offset and the other a date and time.
    Raises Fault where a cell cannot be read or the file is shorter than the row says.
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
            "Correct `start`; if it is a moment in a longer recording, say the clip's length in `seconds`.",
        )
    if wanted is not None and start + wanted > length + slack:
        reason = f"the clip ends at {start + wanted:g} s, but the file has {length:g} s."
        raise Fault("short", reason, "Correct the row, or copy the file again if it was cut off.")
    whole = wanted is None or (start == 0 and abs(length - wanted) <= slack)
    taken = length - start if whole or wanted is None else min(wanted, length - start)
    moment = start if clock is None else clock + start
    how: How = "clock" if clock is not None else "whole" if number is None else "offset"
    return Span(start, taken, moment, how)


_MISSING = frozenset(("", "na", "n/a", "nan", "null", "none"))


def is_missing(cell: str) -> bool:
    """Whether a cell of a column of times says nothing, as R and others write it (`NA`)."""
    return cell.lower() in _MISSING


def uncut(length: float, least: float) -> float:
    """The length of a file, in seconds. Raises Fault where it is shorter than all of its set are."""
    if length < least - SLACK_SECONDS - SLACK_SHARE * least:
        reason = f"it has {length:g} s, but every clip of this set has {least:g} s: it was cut off."
        raise Fault("short", reason, AGAIN)
    return length


def on_clock(span: Span, begins: float | None) -> Span:
    """The same piece of a file that begins at so many seconds on its recording's clock; None: as it was."""
    return span if begins is None else replace(span, moment=begins + span.start, how="moment")


def _only_as_long(length: float, wanted: float, start: float) -> bool:
    """True where the file has just the clip's length and leaves no room for a start inside it."""
    slack = SLACK_SECONDS + SLACK_SHARE * wanted
    return abs(length - wanted) <= slack and not 0 <= start <= length + SLACK_SECONDS - wanted


def _starts(cells: list[str]) -> tuple[float | None, float | None]:
    """The first number among the cells, and the first date and time."""
    number = clock = None
    for cell in filter(None, cells):
        value = to_number(cell)
        if value is not None:
            if number is not None and abs(value - number) > SLACK_SECONDS:
                raise Fault(
                    "bad_time",
                    f"the clip starts at {number:g} s by one column and at {value:g} s by another.",
                    "Choose one: data.start=start or data.start=start_time.",
                )
            number = value if number is None else number
        else:
            moment = _clock("start", cell)
            clock = moment if clock is None else clock
    return number, clock


def _wanted(seconds: str, end: str, number: float | None, clock: float | None) -> float | None:
    """How long the clip is to be, or None where the row does not say."""
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
            f"the clip is {found[0]:g} s long by `seconds` and {found[1]:g} s by `end`.",
            "Correct one, or leave one out: data.seconds=false or data.end=false.",
        )
    return found[0] if found else None


def to_number(cell: str) -> float | None:
    """The finite number that a cell holds, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _clock(column: str, cell: str) -> float:
    """Seconds since 1970 of a date and time in ISO 8601; one without a zone counts as UTC."""
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        raise Fault(
            "bad_time",
            f"{column} is {cell!r}, neither seconds nor a date and time.",
            "Write seconds as 2.5, or a date and time as 2019-05-22T00:15.",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
