"""Shared functions of layouts of published sets: tables without header, separate sounds, tags."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nearfield.core.errors import DataError
from nearfield.data.audio import SUFFIXES
from nearfield.data.faults import Problem

# Tables without header, and sounds in other folders.

NEARLY_ALL = 0.9
"""A table with this fraction of the rows of a published set counts as that set; its counts are checked."""


def tab_lines(path: Path, cells: int) -> Iterator[tuple[int, list[str]]]:
    """Yields number (from 1) and cells of each line that is not blank; missing cells are "".

    Raises DataError if the file is missing or not UTF-8, or if a line has more than `cells` cells (0: any
    number is allowed).
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(
            f"{path.parent}: there is no {path.name} in it. Give the folder that contains it."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: it is not UTF-8 text ({error.reason}). Save it as UTF-8.") from None
    for number, line in enumerate(lines, 1):
        found = [cell.strip() for cell in line.split("\t")]
        if cells and len(found) > cells:
            raise DataError(
                f"{path}: line {number} has {len(found)} cells, not {cells}. Use tabs only between cells."
            )
        if line.strip():
            yield number, found + [""] * (cells - len(found))


def present_files(names: list[str], base: Path, more: tuple[str, ...] = ()) -> list[str]:
    """Returns the names, with the suffix of the existing file if it has another one.

    `more` are further suffixes (".low.mp3"). Names of missing files are unchanged.
    """
    endings = (*more, *sorted(SUFFIXES))
    folders: dict[str, frozenset[str]] = {}
    found = []
    for name in names:
        folder, file = os.path.split(name)
        if folder not in folders:
            folders[folder] = _files(base / folder)
        there = folders[folder]
        stem = os.path.splitext(file)[0]
        other = next((stem + ending for ending in endings if stem + ending in there), file)
        found.append(name if file in there else os.path.join(folder, other))
    return found


def _files(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def dropped(kind: str, source: str, count: int, reason: str, cure: str) -> tuple[Problem, ...]:
    """Returns a problem for rows that a layout leaves out for one reason, if there are any."""
    return (Problem(kind, source, None, f"{reason} ({count}).", cure),) if count else ()


def difference(source: str, what: str, found: int, published: int) -> tuple[Problem, ...]:
    """Returns a warning if a complete set does not have the published number of something."""
    if found == published:
        return ()
    reason = f"{what}: {found:,} found, {published:,} published."
    cure = "Check whether the download is complete; results may not be comparable with published ones."
    return (Problem("counts", source, None, reason, cure, "warning"),)


# Clips with tags, as in tables of music tagging.


@dataclass(frozen=True)
class TaggedClips:
    """Clips with tags; each list has one entry per clip."""

    clips: list[str]
    """Ids of the clips in the set."""
    paths: list[str]
    tags: list[tuple[str, ...]]
    lines: list[int]
    """Line of the clip in its table, from 1."""
    order: tuple[str, ...]
    """All tags, in the order of their numbers."""
    source: str
    """Name of the table, for messages."""

    def take(self, rows: list[int]) -> "TaggedClips":
        """Returns some clips, in the given order; the order of tags does not change."""
        return replace(
            self,
            clips=[self.clips[row] for row in rows],
            paths=[self.paths[row] for row in rows],
            tags=[self.tags[row] for row in rows],
            lines=[self.lines[row] for row in rows],
        )


def by_frequency(tags: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Returns all tags, the most frequent first, ties by name."""
    counts = Counter(tag for own in tags for tag in own)
    return tuple(sorted(counts, key=lambda tag: (-counts[tag], tag)))
