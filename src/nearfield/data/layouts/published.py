"""What layouts of published sets share: tables without a header, sounds kept elsewhere, tags."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nearfield.core.errors import DataError
from nearfield.data.audio import SUFFIXES
from nearfield.data.faults import Problem

# What tables of published sets share: lines of cells without a header, and sounds that lie elsewhere.

NEARLY_ALL = 0.9
"""A table with at least this share of a published set's rows is taken for it, and its counts compared."""


def tab_lines(path: Path, cells: int) -> Iterator[tuple[int, list[str]]]:
    """Number (from 1) and cells of each line that is not blank; missing cells are "".

    Raises DataError where the file is missing, is not UTF-8, or a line has more than so many `cells`
    (0: any number).
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(
            f"{path.parent}: there is no {path.name} in it. Give the folder that has it."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: it is not UTF-8 text ({error.reason}). Save it as UTF-8.") from None
    for number, line in enumerate(lines, 1):
        found = [cell.strip() for cell in line.split("\t")]
        if cells and len(found) > cells:
            raise DataError(
                f"{path}: line {number} has {len(found)} cells, not {cells}. Put a tab between cells alone."
            )
        if line.strip():
            yield number, found + [""] * (cells - len(found))


def audio_root(path: Path, audio: Path | None, layout: str) -> Path:
    """The folder that paths count from: the set's own, or `audio` (from here, or from the set's folder).

    Raises DataError where there is no such folder.
    """
    if audio is None:
        return path
    places = dict.fromkeys([audio.expanduser(), path / audio])
    found = [place for place in places if place.is_dir()]
    if not found:
        looked = " and ".join(str(place) for place in places)
        raise DataError(f"{layout}: audio: there is no folder {looked}. Give the folder with the sounds.")
    return found[0].resolve()


def present_files(names: list[str], base: Path, more: tuple[str, ...] = ()) -> list[str]:
    """The names, each with another ending of a sound file where the file is there only under that one.

    `more`: endings beyond the usual ones (".low.mp3"). Names of which nothing is there stay as they are.
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
    """A word on rows that a layout leaves out for one reason; nothing where there are none."""
    return (Problem(kind, source, None, f"{reason} ({count}).", cure),) if count else ()


def difference(source: str, what: str, found: int, published: int) -> tuple[Problem, ...]:
    """A warning where a set that looks whole does not have the number that is published."""
    if found == published:
        return ()
    reason = f"{what}: {found:,} found, {published:,} published."
    cure = "See whether the download is complete; figures may not compare with published ones."
    return (Problem("counts", source, None, reason, cure, "warning"),)


# `TaggedClips`: clips and the tags of each, as tables of music tagging have them.


@dataclass(frozen=True)
class TaggedClips:
    """One entry a clip in each list."""

    clips: list[str]
    """What the set itself calls the clip."""
    paths: list[str]
    tags: list[tuple[str, ...]]
    lines: list[int]
    """Line of the clip in its table, from 1."""
    order: tuple[str, ...]
    """Every tag, in the order in which they are numbered."""
    source: str
    """Name of the table, for messages."""

    def take(self, rows: list[int]) -> "TaggedClips":
        """Some clips, in the order given; tags keep their order."""
        return replace(
            self,
            clips=[self.clips[row] for row in rows],
            paths=[self.paths[row] for row in rows],
            tags=[self.tags[row] for row in rows],
            lines=[self.lines[row] for row in rows],
        )


def by_frequency(tags: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Every tag, the most frequent first, where equal by name."""
    counts = Counter(tag for own in tags for tag in own)
    return tuple(sorted(counts, key=lambda tag: (-counts[tag], tag)))
