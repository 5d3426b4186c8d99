"""Converts a listing to the table of clips, with one row per clip or per channel."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.text import shown
from nearfield.core.types import Ints
from nearfield.data import images
from nearfield.data.columns import ColumnRoles, doubts, find_parts, without_table
from nearfield.data.faults import Fault, Problem
from nearfield.data.labels import read_labels, read_tags
from nearfield.data.listing import Guesses, Kind, Listing, search
from nearfield.data.probing import Probed, Progress, channel_counts, probe
from nearfield.data.settings import Columns
from nearfield.data.tables import texts
from nearfield.data.times import How, Span, on_clock, settle, uncut

# Channels as views: each channel of a sound becomes its own clip with the same time.

CHANNEL = "channel"
"""Column with the number of the channel, from 0."""


def channel_rows(table: pd.DataFrame) -> tuple[Ints, pd.DataFrame]:
    """Makes a table with a row for each channel of each clip; also returns the original row of each new row.

    Channels of a clip are consecutive. They differ only in the id (`NAME#channel2`) and in the column
    `channel`. A column of that name in the source becomes `given_channel`.
    """
    counts = channel_counts(table["path"])
    each = [counts[path] for path in table["path"]]
    rows = np.repeat(np.arange(len(table), dtype=np.int64), each)
    numbers = np.concatenate([np.arange(count, dtype=np.int64) for count in each])
    views = table.rename(columns={CHANNEL: f"given_{CHANNEL}"}).iloc[rows].reset_index(drop=True)
    views["id"] = [f"{clip}#channel{number}" for clip, number in zip(views["id"], numbers, strict=True)]
    views[CHANNEL] = numbers
    return rows, views


# File names that look like pieces of one recording; pieces in two splits make test scores too high.

_WORDS = "rr|take|part|seg|segment|chunk|clip|piece|slice|excerpt|window"
_PATTERNS = (
    rf"([^/]+?)[-_ ]?(?:{_WORDS})[-_ ]?\d+\.\w+$",
    r"([^/]+)-[A-Z](?:-\d+)?\.\w+$",
    r"([^/]+)[-_]\d+\.\w+$",
)
"""`rain_take2.wav`, `1-172649-A.wav` (and `1-172649-A-3.wav`), `rain_001.wav`; the group is the recording."""
DATED = re.compile(r"(?<!\d)((?:19|20)\d\d[01]\d[0-3]\d)[-_T ]?[0-2]\d[0-5]\d[0-5]\d(?!\d)")
"""Date and time in file names of recorders: `20240612_050000`. The group is the day."""
_FEW = 0.05
"""Smallest fraction of evaluated clips that is reported; some names are similar by coincidence."""


def group_by(pattern: str, names: Sequence[str], source: str) -> tuple[list[str], tuple[Problem, ...]]:
    """Groups paths by the first group of a pattern, or by its whole match; a path without match is a group.

    Raises DataError if no path matches.
    """
    matches = [re.search(pattern, name) for name in names]
    found = [match and match[min(1, len(match.groups()))] for match in matches]
    missing = [name for name, group in zip(names, found, strict=True) if not group]
    if len(missing) == len(names):
        raise DataError(
            f"data.group_by: {pattern!r} matches no path of {source}, for example {names[0]!r}. "
            "Change the pattern."
        )
    groups = [group or name for name, group in zip(names, found, strict=True)]
    if not missing:
        return groups, ()
    reason = (
        f"paths without {pattern!r} are groups of their own ({len(missing)} of {len(names)}, the first "
        f"is {missing[0]})."
    )
    return groups, (
        Problem("group_by", source, None, reason, "Change data.group_by to match them.", "warning"),
    )


def possible_leak(table: pd.DataFrame, splits: list[str], source: str) -> tuple[Problem, ...]:
    """Warns of evaluated clips whose file names look like pieces of train recordings.

    `table` has `path` and `label`; each file is its own group.
    """
    names = [PurePath(path).name for path in table["path"]]
    evaluated = "test" if "test" in splits else "val"
    total = splits.count(evaluated)
    for pattern in (DATED.pattern, *_PATTERNS):
        families = dict(_families(pattern, names, list(table["label"])))
        trains = [family for family, rows in families.items() if any(splits[row] == "train" for row in rows)]
        leaking = [row for family in trains for row in families[family] if splits[row] == evaluated]
        if len(leaking) < max(2, _FEW * total):
            continue
        family = next(family for family in trains if leaking[0] in families[family])
        other = next(row for row in families[family] if splits[row] == "train")
        what, shared = "like pieces of one recording", "another piece of their recording"
        first, last = "If so, keep them together", "test scores are too high. If not, ignore this."
        if pattern == DATED.pattern:
            what, shared = "by date and time", "a recording of the same day"
            first, last = (
                "Sounds of one day are often similar. To keep days together",
                "scores may be too high.",
            )
        reason = (
            f"files are named {what} ({names[other]}, {names[leaking[0]]}), and {len(leaking)} of {total} "
            f"{evaluated} clips have {shared} in train."
        )
        cure = f"{first}: data.group_by='{pattern}' (`nearfield check` has --group-by); without it {last}"
        return (Problem("pieces", source, None, reason, cure, "warning"),)
    return ()


def _families(pattern: str, names: list[str], labels: list[str]) -> Iterator[tuple[str, list[int]]]:
    """Rows of files whose names differ only at the end. A family with most clips of a label is a numbering of
    the label (`dog_001`), not of a recording, and is skipped."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        if pattern != DATED.pattern and DATED.search(name):
            continue  # a time of day is not the number of a piece
        match = re.search(pattern, name)
        if match:
            rows[match[1]].append(row)
    sizes = Counter(labels)
    for family, own in rows.items():
        held = Counter(labels[row] for row in own)
        if len({names[row] for row in own}) > 1 and all(2 * held[each] <= sizes[each] for each in held):
            yield family, own


# The table of clips: headers of files, times, roles of columns, faults.

STANDARD = ("id", "path", "start", "seconds", "moment", "recording", "group", "label", "tags", "split")
"""Columns of each table of clips, in this order; further columns of the source follow."""


@dataclass(frozen=True)
class Clips:
    """The table of clips, with `split` as in the source, and the problems of other rows."""

    table: pd.DataFrame
    kind: Kind
    lines: tuple[int | None, ...]
    """Line of each clip in the source table."""
    problems: tuple[Problem, ...]
    starts: dict[How, int]
    """Number of clips for each interpretation of the start column."""
    split_from: str
    """Source of the split, in words."""
    group_from: str
    """Source of the group, in words."""
    is_grouped: bool
    """Whether a column or pattern, rather than only the file, determines the groups."""


@dataclass(frozen=True)
class _Kept:
    """A row that can be used."""

    position: int
    path: str
    name: str
    """Path of the file relative to the table."""
    span: Span
    id: str


def read_clips(listing: Listing, columns: Columns, progress: Progress | None = None) -> Clips:
    """Reads the clips of a listing, in its order.

    `progress` gets the number of files inspected and of all files. Rows that cannot be used become problems.
    Raises DataError if no row can be used, or a column is missing.
    """
    listing, columns = _folders(listing, columns)
    parts = find_parts(listing, columns)
    names = _paths(listing, parts.path)
    dated = isinstance(columns.recording, str) and bool(listing.label_from)
    if dated:
        listing = replace(listing, start_times=tuple(map(_moment, names)))
    kind = listing.kind or _kind(names)
    kept, problems = _sort(listing, parts, names, probe(names, listing.base, kind, progress))
    problems = [*listing.problems, *doubts(listing, parts, columns), *problems]
    if dated and None in listing.start_times:
        problems.append(_undated(listing, names))
    if not kept:
        first = "".join(f"\n  {problem}" for problem in problems[:3])
        raise DataError(
            f"{listing.source}: none of the {len(names)} clips can be used. The first reasons:{first}"
            f"{_hints(listing, problems)}{without_table(listing)}"
        )
    problems += [*_packed(listing, problems), *_run_on(listing, parts, kept)]
    lines = tuple(listing.lines[clip.position] for clip in kept)
    starts = dict(Counter(clip.span.how for clip in kept))
    from_table = None not in lines
    table = _assemble(listing, parts, columns, kept)
    group_from = _origin(parts.group, from_table)
    if columns.group_by is not None:
        groups, unmatched = group_by(columns.group_by, [clip.name for clip in kept], listing.source)
        table, group_from = table.assign(group=groups), "data.group_by"
        problems += unmatched
    if columns.views and kind == "sound":
        rows, table = channel_rows(table)
        lines = tuple(lines[row] for row in rows)
    said = listing.split_from if columns.split is None else ""
    return Clips(
        table=table,
        kind=kind,
        lines=lines,
        problems=tuple(problems),
        starts=starts,
        split_from=said or _origin(parts.split, from_table),
        group_from=group_from,
        is_grouped=bool(parts.group or parts.recording or columns.group_by),
    )


def _folders(listing: Listing, columns: Columns) -> tuple[Listing, Columns]:
    """The listing with folder names as labels, or as the column `folder` if they are not labels."""
    if not listing.label_from:
        return listing, columns
    names = sorted(set(listing.table["label"]) - {""})
    shown_names = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    problems = listing.problems
    if columns.label is None and columns.folder_labels:
        paths = listing.table["path"]
        if names and sum(bool(DATED.search(path)) for path in paths) * 2 > len(paths):
            reason = (
                f"files are named by date and time, and their folders ({shown_names}) are used as labels."
            )
            cure = "If the folders are places: data.label=false (`nearfield check`: --label false)."
            problems += (Problem("places", listing.source, None, reason, cure, "warning"),)
        return replace(listing, problems=problems), columns
    if columns.label not in (None, False):
        return listing, columns
    problems = tuple(problem for problem in problems if problem.kind != "no_label")
    if names and columns.label is None:
        reason = f"folders ({shown_names}) are not used as labels, because the recipe trains on time."
        cure = "They are in the column `folder`. To evaluate with them: data.label=label."
        problems += (Problem("places", listing.source, None, reason, cure, "warning"),)
    table = listing.table.rename(columns={"label": "folder"})
    columns = columns.model_copy(update={"label": False})
    return replace(listing, table=table, problems=problems), columns


def _packed(listing: Listing, problems: list[Problem]) -> tuple[Problem, ...]:
    """Warnings of archives in the folder of a table with missing files."""
    if not any(problem.kind == "missing" for problem in problems):
        return ()
    return tuple(each for each in search(listing.base).packed() if each not in problems)


def _hints(listing: Listing, problems: list[Problem]) -> str:
    """Remedies if all files of a table are missing."""
    if not any(problem.kind == "missing" for problem in problems):
        return ""
    packed = "".join(f"\n{problem}" for problem in _packed(listing, problems)[:3])
    elsewhere = f"\nIf the sounds are in another folder, name it: {listing.elsewhere}"
    return packed + (elsewhere if listing.elsewhere else "")


def _moment(name: str) -> float | None:
    """The start of a file named by date and time, in seconds since 1970; None for other names."""
    match = DATED.search(name)
    digits = "".join(filter(str.isdigit, match[0])) if match else ""
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _undated(listing: Listing, names: list[str]) -> Problem:
    """Warns of files in a recording whose start time is unknown."""
    undated = [name for name, moment in zip(names, listing.start_times, strict=True) if moment is None]
    reason = (
        f"files without date and time in their name start at 0 s of their recording ({len(undated)} of "
        f"{len(names)}, the first is {undated[0]})."
    )
    cure = "Leave data.recording out, or give a table with start as date and time."
    return Problem("no_moment", listing.source, None, reason, cure, "warning")


def _paths(listing: Listing, column: str) -> list[str]:
    """The paths of the files: stripped cells of a table, or unchanged names from the disk."""
    if any(line is not None for line in listing.lines):
        return texts(listing.table, column)
    return [str(cell) for cell in listing.table[column]]


def _origin(column: str | None, from_table: bool) -> str:
    return f"the column {column!r}" if column and from_table else "the files' names and folders"


def _kind(names: list[str]) -> Kind:
    """Images if most files have such a suffix, else sounds."""
    shown = sum(os.path.splitext(name)[1].lower() in images.SUFFIXES for name in names)
    return "picture" if shown * 2 > len(names) else "sound"


def _sort(
    listing: Listing, parts: ColumnRoles, names: list[str], probed: Probed
) -> tuple[list[_Kept], list[Problem]]:
    """Usable rows, and a problem for each other row."""
    times = parts.times.cells(listing.table)
    guesses = Guesses()
    kept: dict[str, _Kept] = {}
    problems: list[Problem] = []
    for position, (name, (starts, seconds, end)) in enumerate(zip(names, times, strict=True)):
        try:
            what = probed[name]
            if isinstance(what, Fault):
                raise _with_guess(what, listing.base / name, guesses)
            path, length = what
            if length is None:
                span = Span(0.0, 0.0, 0.0, "whole")
            else:
                span = settle(starts, seconds, end, uncut(length, listing.least_seconds))
            if listing.start_times:
                span = on_clock(span, listing.start_times[position])
            file = _relative(path, listing.base)
            clip = _Kept(position, path, file, span, _identity(file, span, length))
            if clip.id in kept:
                raise _repeated(listing.lines[kept[clip.id].position], parts, listing)
            kept[clip.id] = clip
        except Fault as fault:
            problems.append(fault.problem(shown(name) or listing.source, listing.lines[position]))
    return list(kept.values()), problems


def _with_guess(fault: Fault, path: Path, guesses: Guesses) -> Fault:
    near = guesses.near(path) if fault.kind == "missing" else None
    return Fault(fault.kind, fault.reason, f"{fault.cure} Its folder has {near!r}.") if near else fault


def _repeated(line: int | None, parts: ColumnRoles, listing: Listing) -> Fault:
    reason = f"row {line} is the same part of the same file."
    cure = "Keep one of them; write several tags of one clip in one cell: tags = a|b."
    numbers = [repr(name) for name in parts.unused_numbers(listing.table)]
    if numbers and not parts.times.names():
        cure = f"If {', '.join(numbers)} are the times of a row, choose them: data.start=..., data.end=..."
    return Fault("doubled", reason, cure)


def _run_on(listing: Listing, parts: ColumnRoles, kept: list[_Kept]) -> tuple[Problem, ...]:
    """Warns if clips of one file overlap because the table has only their starts or only their ends."""
    times = parts.times
    has_start, has_length = bool(times.starts), bool(times.seconds or times.end)
    shared = Counter(clip.path for clip in kept)
    count = sum(shared[clip.path] > 1 for clip in kept)
    if has_start == has_length or not count:
        return ()
    missing = "the start of clips, so each starts at the beginning of its file"
    if has_start:
        missing = "the end of clips, so each ends at the end of its file"
    reason = f"no column gives {missing}: clips of one file overlap ({count} of {len(kept)} clips)."
    cure = f"Add a column {'`end` or `seconds`' if has_start else '`start`'}."
    if numbers := [repr(name) for name in parts.unused_numbers(listing.table)]:
        option = "data.end=NAME or data.seconds=NAME" if has_start else "data.start=NAME"
        cure += f" If it is one of {', '.join(numbers)}: {option}."
    return (Problem("overlap", listing.source, None, reason, cure, "warning"),)


def _relative(path: str, base: Path) -> str:
    """The path relative to the table, or the absolute path if that is impossible (another drive)."""
    inside = os.path.join(base, "")
    if path.startswith(inside):
        return path[len(inside) :].replace(os.sep, "/")
    try:
        return os.path.relpath(path, base).replace(os.sep, "/")
    except ValueError:
        return path.replace(os.sep, "/")


def _identity(name: str, span: Span, length: float | None) -> str:
    """The id of a clip: its file, and its start and end if it is a part of the file."""
    if length is None or (span.start == 0 and span.seconds == length):
        return name
    return f"{name}#{span.start:.3f}-{span.start + span.seconds:.3f}"


def _assemble(listing: Listing, parts: ColumnRoles, columns: Columns, kept: list[_Kept]) -> pd.DataFrame:
    """The table of clips."""
    rows = [clip.position for clip in kept]
    source = listing.table.iloc[rows].reset_index(drop=True)
    recordings = [cell or clip.name for cell, clip in zip(texts(source, parts.recording), kept, strict=True)]
    groups = [cell or name for cell, name in zip(texts(source, parts.group), recordings, strict=True)]
    lines = [listing.lines[clip.position] for clip in kept]
    standard = pd.DataFrame(
        {
            "id": [clip.id for clip in kept],
            "path": [clip.path for clip in kept],
            "start": [clip.span.start for clip in kept],
            "seconds": [clip.span.seconds for clip in kept],
            "moment": [clip.span.moment for clip in kept],
            "recording": recordings,
            "group": groups,
            "label": read_labels(listing, parts.label, rows),
            "tags": read_tags(listing, parts.tags, rows, columns.tag_separator),
            "split": texts(source, parts.split),
        }
    )
    if None not in lines:
        standard["row"] = lines
    return pd.concat([standard, _further(source, parts)], axis=1)


def _further(source: pd.DataFrame, parts: ColumnRoles) -> pd.DataFrame:
    """Columns of the source without a role; a column with a standard name becomes `given_NAME`."""
    taken = {parts.label, parts.tags, parts.split, parts.recording, parts.group, parts.path}
    taken |= parts.times.names()
    clashing = [name for name in (*STANDARD, "row") if name in source]
    dropped = [name for name in clashing if name in taken or not any(texts(source, name))]
    return source.drop(columns=dropped).rename(columns={name: f"given_{name}" for name in clashing})
