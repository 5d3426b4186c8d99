"""From a listing to the table of clips: files found and probed, times settled, parts read, faults listed."""

import os
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.data import pictures
from nearfield.data.columns import Parts, doubts, find_parts, without_table
from nearfield.data.faults import Fault, Problem
from nearfield.data.guesses import Guesses
from nearfield.data.listing import Kind, Listing
from nearfield.data.marks import read_labels, read_tags
from nearfield.data.names import shown
from nearfield.data.pieces import DATED, group_by
from nearfield.data.probing import Probed, Progress, probe
from nearfield.data.search import search
from nearfield.data.settings import Columns
from nearfield.data.tables import texts
from nearfield.data.times import How, Span, on_clock, settle, uncut
from nearfield.data.views import channel_rows

STANDARD = ("id", "path", "start", "seconds", "moment", "recording", "group", "label", "tags", "split")
"""Columns that every table of clips has, in this order; further columns of a source follow as they came."""


@dataclass(frozen=True)
class Clips:
    """The table of clips, `split` still as the source has it, and what came of the other rows."""

    table: pd.DataFrame
    kind: Kind
    lines: tuple[int | None, ...]
    """The line of the source table that each clip came from."""
    problems: tuple[Problem, ...]
    starts: dict[How, int]
    """How many clips had their start taken for what."""
    split_from: str
    """Where the split was read, in words."""
    group_from: str
    """Where the group was read, in words."""
    is_grouped: bool
    """Whether something says which clips belong together, beside the file that they are in."""


@dataclass(frozen=True)
class _Kept:
    """A row that can be used."""

    position: int
    path: str
    name: str
    """The file's path from the table on."""
    span: Span
    id: str


def read_clips(listing: Listing, columns: Columns, progress: Progress | None = None) -> Clips:
    """The clips of a listing, in its order. `progress` gets how many of how many files were looked at.

    Rows that cannot be used are listed as problems. Raises DataError where none can be used, or a column
    is missing.
    """
    listing, columns = _folders(listing, columns)
    parts = find_parts(listing, columns)
    names = _paths(listing, parts.path)
    dated = isinstance(columns.recording, str) and bool(listing.label_from)
    if dated:
        listing = replace(listing, moments=tuple(map(_moment, names)))
    kind = listing.kind or _kind(names)
    kept, problems = _sort(listing, parts, names, probe(names, listing.base, kind, progress))
    problems = [*listing.problems, *doubts(listing, parts, columns), *problems]
    if dated and None in listing.moments:
        problems.append(_undated(listing, names))
    if not kept:
        first = "".join(f"\n  {problem}" for problem in problems[:3])
        raise DataError(
            f"{listing.source}: not one clip can be used, of {len(names)}. The first reasons:{first}"
            f"{_hints(listing, problems)}{without_table(listing)}"
        )
    problems += [*_packed(listing, problems), *_run_on(listing, parts, kept)]
    lines = tuple(listing.lines[clip.position] for clip in kept)
    starts = dict(Counter(clip.span.how for clip in kept))
    from_table = None not in lines
    table = _assemble(listing, parts, columns, kept)
    group_from = _origin(parts.group, from_table)
    if columns.group_by is not None:
        groups, told = group_by(columns.group_by, [clip.name for clip in kept], listing.source)
        table, group_from = table.assign(group=groups), "data.group_by"
        problems += told
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
    """The listing with its folders' names as labels, or, where they are to be none, as a column `folder`."""
    if not listing.label_from:
        return listing, columns
    names = sorted(set(listing.table["label"]) - {""})
    shown_names = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    problems = listing.problems
    if columns.label is None and columns.folder_labels:
        paths = listing.table["path"]
        if names and sum(bool(DATED.search(path)) for path in paths) * 2 > len(paths):
            reason = f"files are called by date and time, and their folders ({shown_names}) taken for labels."
            cure = "If the folders are places: data.label=false (`nearfield check`: --label false)."
            problems += (Problem("places", listing.source, None, reason, cure, "warning"),)
        return replace(listing, problems=problems), columns
    if columns.label not in (None, False):
        return listing, columns
    problems = tuple(problem for problem in problems if problem.kind != "no_label")
    if names and columns.label is None:
        reason = f"folders ({shown_names}) are not taken for labels, as the recipe learns from time."
        cure = "They are in the column `folder`. To judge by them: data.label=label."
        problems += (Problem("places", listing.source, None, reason, cure, "warning"),)
    table = listing.table.rename(columns={"label": "folder"})
    columns = columns.model_copy(update={"label": False})
    return replace(listing, table=table, problems=problems), columns


def _packed(listing: Listing, problems: list[Problem]) -> tuple[Problem, ...]:
    """A word on each archive beside a table some of whose files are missing."""
    if not any(problem.kind == "missing" for problem in problems):
        return ()
    return tuple(each for each in search(listing.base).packed() if each not in problems)


def _hints(listing: Listing, problems: list[Problem]) -> str:
    """What to do where every file of a table is missing."""
    if not any(problem.kind == "missing" for problem in problems):
        return ""
    packed = "".join(f"\n{problem}" for problem in _packed(listing, problems)[:3])
    elsewhere = f"\nIf the sounds lie in another folder, name it: {listing.elsewhere}"
    return packed + (elsewhere if listing.elsewhere else "")


def _moment(name: str) -> float | None:
    """When a file that is called by date and time begins, in seconds since 1970; None for other names."""
    match = DATED.search(name)
    digits = "".join(filter(str.isdigit, match[0])) if match else ""
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _undated(listing: Listing, names: list[str]) -> Problem:
    """Says which files of one recording are taken to begin at the same moment."""
    undated = [name for name, moment in zip(names, listing.moments, strict=True) if moment is None]
    reason = (
        f"files whose name holds no date and time begin at moment 0 of their recording ({len(undated)} of "
        f"{len(names)}, the first being {undated[0]})."
    )
    cure = "Leave data.recording out, or give a table with start as date and time."
    return Problem("no_moment", listing.source, None, reason, cure, "warning")


def _paths(listing: Listing, column: str) -> list[str]:
    """What names the files: cells of a table without blanks around them, names from the disk as they are."""
    if any(line is not None for line in listing.lines):
        return texts(listing.table, column)
    return [str(cell) for cell in listing.table[column]]


def _origin(column: str | None, from_table: bool) -> str:
    return f"the column {column!r}" if column and from_table else "the files' names and folders"


def _kind(names: list[str]) -> Kind:
    """Pictures where most of the files are called so; else sounds."""
    shown = sum(os.path.splitext(name)[1].lower() in pictures.SUFFIXES for name in names)
    return "picture" if shown * 2 > len(names) else "sound"


def _sort(
    listing: Listing, parts: Parts, names: list[str], probed: Probed
) -> tuple[list[_Kept], list[Problem]]:
    """Rows that can be used, and a problem for each of the others."""
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
            if listing.moments:
                span = on_clock(span, listing.moments[position])
            file = _relative(path, listing.base)
            clip = _Kept(position, path, file, span, _identity(file, span, length))
            if clip.id in kept:
                raise _doubled(listing.lines[kept[clip.id].position], parts, listing)
            kept[clip.id] = clip
        except Fault as fault:
            problems.append(fault.problem(shown(name) or listing.source, listing.lines[position]))
    return list(kept.values()), problems


def _with_guess(fault: Fault, path: Path, guesses: Guesses) -> Fault:
    near = guesses.near(path) if fault.kind == "missing" else None
    return Fault(fault.kind, fault.reason, f"{fault.cure} Beside it is {near!r}.") if near else fault


def _doubled(line: int | None, parts: Parts, listing: Listing) -> Fault:
    reason = f"row {line} is the same piece of the same file."
    cure = "Keep one of them; for several tags of one clip write them in one cell: tags = a|b."
    numbers = [repr(name) for name in parts.unused_numbers(listing.table)]
    if numbers and not parts.times.names():
        cure = f"If {', '.join(numbers)} say which piece a row is, choose them: data.start=..., data.end=..."
    return Fault("doubled", reason, cure)


def _run_on(listing: Listing, parts: Parts, kept: list[_Kept]) -> tuple[Problem, ...]:
    """A word where clips of one file overlap because the table has one half of their times."""
    times = parts.times
    has_start, has_length = bool(times.starts), bool(times.seconds or times.end)
    shared = Counter(clip.path for clip in kept)
    count = sum(shared[clip.path] > 1 for clip in kept)
    if has_start == has_length or not count:
        return ()
    missing = "where clips begin, so each begins where its file does"
    if has_start:
        missing = "where clips end, so each runs to the end of its file"
    reason = f"no column says {missing}: clips of one file overlap ({count} of {len(kept)} clips)."
    cure = f"Add a column {'`end` or `seconds`' if has_start else '`start`'}."
    if numbers := [repr(name) for name in parts.unused_numbers(listing.table)]:
        option = "data.end=NAME or data.seconds=NAME" if has_start else "data.start=NAME"
        cure += f" If it is one of {', '.join(numbers)}: {option}."
    return (Problem("overlap", listing.source, None, reason, cure, "warning"),)


def _relative(path: str, base: Path) -> str:
    """The path from the table on; from the root where there is no way (another drive)."""
    inside = os.path.join(base, "")
    if path.startswith(inside):
        return path[len(inside) :].replace(os.sep, "/")
    try:
        return os.path.relpath(path, base).replace(os.sep, "/")
    except ValueError:
        return path.replace(os.sep, "/")


def _identity(name: str, span: Span, length: float | None) -> str:
    """A clip's name: its file, and where it is a piece of the file, which piece."""
    if length is None or (span.start == 0 and span.seconds == length):
        return name
    return f"{name}#{span.start:.3f}-{span.start + span.seconds:.3f}"


def _assemble(listing: Listing, parts: Parts, columns: Columns, kept: list[_Kept]) -> pd.DataFrame:
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


def _further(source: pd.DataFrame, parts: Parts) -> pd.DataFrame:
    """The source's columns that no part took over; one that bears a standard name becomes `given_NAME`."""
    taken = {parts.label, parts.tags, parts.split, parts.recording, parts.group, parts.path}
    taken |= parts.times.names()
    doubled = [name for name in (*STANDARD, "row") if name in source]
    dropped = [name for name in doubled if name in taken or not any(texts(source, name))]
    return source.drop(columns=dropped).rename(columns={name: f"given_{name}" for name in doubled})
