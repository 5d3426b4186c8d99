"""General layouts: a table, class folders, a flat folder, images, the Hugging Face audiofolder."""

from dataclasses import replace
from os.path import isabs
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, Protocol

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.data.columns import path_columns
from nearfield.data.faults import Problem
from nearfield.data.layouts.base import BaseLayout
from nearfield.data.listing import Kind, Listing, search
from nearfield.data.splits import split_name
from nearfield.data.tables import TABLE_SUFFIXES, TEXT, cell_text, read_table

# Tables of clips: CSV, TSV, Parquet or JSON lines, given directly or in a folder under a usual name.

NAMES = tuple(f"{stem}{suffix}" for stem in ("labels", "metadata") for suffix in TABLE_SUFFIXES)
"""Names of tables in a folder, in order of preference."""


class TableLayout(BaseLayout):
    """A table with a column `path`, `file_name`, `filename` or similar; paths are relative to its folder.

    Recognized columns, in any case: label; tags (separated by |); split or fold; recording, group, speaker,
    source; start, begin or onset; end, stop or offset; seconds, duration or length. Units other than seconds
    are part of the name (`start_ms`). Selection tables of Raven are supported, and labels of Audacity next to
    a sound with the same name.
    """

    kind: Literal["table"] = "table"

    general: ClassVar[bool] = True
    of_table: ClassVar[bool] = True

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether `path` is a table (also `.txt`), or a folder with `labels.csv` or similar."""
        return path.suffix.lower() in (*TABLE_SUFFIXES, TEXT) if path.is_file() else bool(tables_in(path))

    def read(self, path: Path) -> Listing:
        """Reads one row per clip. Raises DataError if there is no table, or it cannot be read."""
        if path.is_file():
            return read_table(path)
        found = tables_in(path)
        if not found:
            raise DataError(f"{path}: there is no table in it. Known names: {', '.join(NAMES)}.")
        listing = read_table(found[0])
        return replace(listing, problems=listing.problems + unread_tables(found))


def tables_in(folder: Path) -> list[Path]:
    """Returns the tables of a folder with usual names; the first one is read."""
    return [folder / name for name in NAMES if (folder / name).is_file()]


def unread_tables(found: list[Path]) -> tuple[Problem, ...]:
    """Returns a warning for each table of a folder that is not read."""
    return tuple(
        Problem(
            "other_table",
            path.name,
            None,
            f"the table was not read, because {found[0].name} is there.",
            "To read it, give its own path.",
            "warning",
        )
        for path in found[1:]
    )


# Class folders, or a folder of sounds without labels.

First = Literal["label", "split"]
_OF_SOUNDS = ("audio", "sounds", "clips", "samples", "recordings", "wav", "wavs", "flac", "ogg", "mp3")
_WRAPPERS = (*_OF_SOUNDS, "data", "files", "images", "pictures")
"""Names of folders that are not labels; such a folder is skipped if it is the only one."""


class FolderLayout(BaseLayout):
    """A folder of class folders (the name of the first folder is the label, at any depth), or of sounds only.

    If the first folders are named train, val, test or similar, they are the split, and the label is the next
    folder; if all second folders are, these are the split. Images are read if there are no sounds.
    """

    kind: Literal["folder"] = "folder"
    first: First | None = None
    """Meaning of the first folders: `label`, or `split` (folders not named train, test or similar are left
    out). By default they are the split if all have such names, else labels."""

    general: ClassVar[bool] = True

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether `path` is a folder; this layout is tried last."""
        return path.is_dir()

    def read(self, path: Path) -> Listing:
        """Reads one row per file. Raises DataError if there are neither sounds nor images."""
        found = search(path)
        if found.sounds:
            problems = found.problems() + _beside(found.pictures) + _tables_inside(path)
            return list_files(path, found.sounds, "sound", problems, self)
        if found.pictures:
            return list_files(path, found.pictures, "picture", found.problems(), self)
        unread = f" {found.problems()[0]}" if found.problems() else ""
        raise DataError(
            f"{path}: there are no sounds and no pictures in it.{unread} "
            "Give a folder with wav, flac, ogg or mp3 files, or with png, jpg, bmp or webp files."
        )


class Chooses(Protocol):
    """A layout with a setting for the meaning of the first folders."""

    @property
    def kind(self) -> str: ...
    @property
    def first(self) -> First | None: ...


def list_files(
    folder: Path, files: list[Path], kind: Kind, problems: tuple[Problem, ...], layout: Chooses
) -> Listing:
    """Lists files with path, label and, if folders give it, split.

    Raises DataError if only some of the first folders have names of splits.
    """
    depth = _wrappers(files)
    inner = [(*path.parts[depth:-1], "", "") for path in files]
    ones, twos = [parts[0] for parts in inner], [parts[1] for parts in inner]
    first, warnings = _what_first(ones, folder, layout)
    columns = {"label": ones}
    if first == "split":
        columns = {"label": twos, "split": [name if split_name(name) else "" for name in ones]}
    elif layout.first is None and _are_splits(twos):
        _check_second(twos, folder, layout)
        columns["split"] = twos
    elif layout.first is None and not warnings:
        warnings = _label_deeper(ones, twos, folder, layout)
    problems += warnings
    if "" in columns["label"] and any(columns["label"]):
        problems += (_loose(columns["label"].count("")),)
    table = pd.DataFrame({"path": [path.as_posix() for path in files], **columns}, dtype=object)
    lines = (None,) * len(files)
    return Listing(table, folder, lines, folder.name, problems, kind, label_from="the names of folders")


def _what_first(names: list[str], folder: Path, layout: Chooses) -> tuple[First, tuple[Problem, ...]]:
    """The meaning of the first folders, with a warning if it is a guess."""
    if layout.first is not None:
        return layout.first, ()
    choice = f"{layout.kind}:{folder}?first="
    called = sorted({name for name in names if split_name(name)})
    others = sorted({name or "files beside the folders" for name in names if not split_name(name)})
    if not others and len(called) > 1:
        return "split", ()
    if _are_splits(names):
        raise DataError(
            f"{folder}: the folders {', '.join(called)} have names of splits, but {', '.join(others[:5])} "
            f"{'does' if len(others) == 1 else 'do'} not. To use them as the split and leave out the others: "
            f"{choice}split. If all are labels: {choice}label."
        )
    if called:
        reason = "the folder is used as a label, but it has the name of a split."
        cure = f"If it is a split: {choice}split; if not: {choice}label."
        return "label", (Problem("side", called[0], None, reason, cure, "warning"),)
    return "label", ()


def _check_second(names: list[str], folder: Path, layout: Chooses) -> None:
    """Raises DataError if only some folders inside the class folders have names of splits."""
    called = sorted({name for name in names if split_name(name)})
    others = sorted({name or "files beside them" for name in names if not split_name(name)})
    if others:
        raise DataError(
            f"{folder}: the folders {', '.join(called)} inside the class folders are called like sides of a "
            f"split, but {', '.join(others[:5])} {'is' if len(others) == 1 else 'are'} not. If the split is "
            f"meant, rename or move these. If there is no split: {layout.kind}:{folder}?first=label."
        )


def _label_deeper(ones: list[str], twos: list[str], folder: Path, layout: Chooses) -> tuple[Problem, ...]:
    """Warns if all first folders contain folders with the same names, which may be the labels."""
    inside: dict[str, set[str]] = {}
    for one, two in zip(ones, twos, strict=True):
        inside.setdefault(one, set()).add(two)
    shared = next(iter(inside.values()))
    if len(inside) < 2 or len(shared) < 2 or "" in shared or any(each != shared for each in inside.values()):
        return ()
    firsts, seconds = (", ".join(sorted(names)[:5]) for names in (inside, shared))
    reason = f"the first folders ({firsts}) are used as labels, but all have the same folders ({seconds})."
    cure = (
        "If the first are splits, name them train, val and test; if they are something else, give "
        f"a table with path and label. If they are labels: {layout.kind}:{folder}?first=label."
    )
    return (Problem("side", ".", None, reason, cure, "warning"),)


def _are_splits(names: list[str]) -> bool:
    """Whether folders have the names of at least two splits."""
    return len({split_name(name) for name in names} - {None}) > 1


def _wrappers(files: list[Path]) -> int:
    """Number of top folders that contain everything and whose names are not labels."""
    depth = 0
    while True:
        names = {path.parts[depth] if len(path.parts) > depth + 1 else "" for path in files}
        if len(names) != 1 or names.pop().lower() not in _WRAPPERS:
            return depth
        depth += 1


def _loose(count: int) -> Problem:
    reason = f"files beside the class folders have no label ({count} found)."
    return Problem("no_label", ".", None, reason, "Move them into class folders.", "warning")


def _tables_inside(folder: Path) -> tuple[Problem, ...]:
    """Warns of tables in the first folders, which may be separate sets."""
    tables = [table for inside in sorted(folder.iterdir()) if inside.is_dir() for table in tables_in(inside)]
    reason = "the table was not read, as its folder is taken for one of a set."
    return tuple(
        Problem(
            "other_table",
            table.relative_to(folder).as_posix(),
            None,
            reason,
            f"To read it: {table}.",
            "warning",
        )
        for table in tables
    )


def _beside(pictures: list[Path]) -> tuple[Problem, ...]:
    if not pictures:
        return ()
    reason = f"pictures among the sounds are not taken ({len(pictures)} found)."
    cure = "To take them instead, write images:PATH."
    return (Problem("other_kind", pictures[0].as_posix(), None, reason, cure, "warning"),)


# Images in class folders or a table, also in folders that contain sounds.


class Images(BaseLayout):
    """Images (png, jpg, bmp, webp): class folders, one folder without labels, or a table of them."""

    kind: Literal["images"] = "images"
    first: First | None = None
    """Meaning of the first folders, as for `folder`."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Returns False: `folder` reads folders that contain only images."""
        return False

    def read(self, path: Path) -> Listing:
        """Reads one row per image. Raises DataError if there is none."""
        if TableLayout.recognises(path):
            return replace(TableLayout().read(path), kind="picture")
        found = search(path)
        if not found.pictures:
            raise DataError(
                f"{path}: there are no pictures in it. Give a folder with png, jpg, bmp or webp files."
            )
        return list_files(path, found.pictures, "picture", found.nameless(), self)


# The Hugging Face audiofolder and imagefolder: metadata in the folder of the files, or in one per split.


class Audiofolder(BaseLayout):
    """`metadata.csv`, `.jsonl` or `.parquet` with `file_name`, in one folder or one folder per split.

    https://huggingface.co/docs/datasets/audio_dataset
    """

    kind: Literal["audiofolder"] = "audiofolder"

    general: ClassVar[bool] = True
    of_table: ClassVar[bool] = True

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there is metadata in the folder, or in folders in it named train, test or similar."""
        if not path.is_dir():
            return False
        found = tables_in(path)
        return found[0].stem == "metadata" if found else bool(_parts(path))

    def read(self, path: Path) -> Listing:
        """Reads one row per clip. Raises DataError if there is no metadata, or it cannot be read."""
        found = tables_in(path)
        if found:
            listing = read_table(found[0])
            return _split_by_folder(replace(listing, problems=listing.problems + unread_tables(found)))
        parts = _parts(path)
        listings = [_read_part(part) for part in parts]
        if not listings:
            raise DataError(
                f"{path}: there is no metadata.csv, .jsonl or .parquet in it or in train/, test/, ..."
            )
        return Listing(
            pd.concat([listing.table for listing in listings], ignore_index=True),
            path,
            tuple(line for listing in listings for line in listing.lines),
            path.name,
            tuple(problem for listing in listings for problem in listing.problems) + _unread(path, parts),
        )


def _parts(folder: Path) -> list[Path]:
    """Folders with the name of a split and their own table."""
    inside = sorted(part for part in folder.iterdir() if part.is_dir() and split_name(part.name))
    return [part for part in inside if tables_in(part)]


def _unread(folder: Path, parts: list[Path]) -> tuple[Problem, ...]:
    """Warns of each other folder with a table or sounds, which is not read."""
    found = []
    for inside in sorted(item for item in folder.iterdir() if item.is_dir() and item not in parts):
        if tables_in(inside) or search(inside).sounds:
            reason = "the folder was not read: it is not called train, val, test or the like."
            if split_name(inside.name):
                reason = "the folder was not read: there is no metadata.csv, .jsonl or .parquet in it."
            cure = "To use it, rename it or give it a table; otherwise ignore this."
            found.append(Problem("other_folder", inside.name, None, reason, cure, "warning"))
    return tuple(found)


def _read_part(folder: Path) -> Listing:
    """The table of one split, with paths relative to the folder above it."""
    listing = read_table(tables_in(folder)[0])
    table = listing.table.copy()
    for column in path_columns(table):
        cells = [cell_text(cell) for cell in table[column]]
        table[column] = [f"{folder.name}/{cell}" if cell and not isabs(cell) else cell for cell in cells]
    table["split"] = folder.name
    problems = tuple(replace(problem, path=f"{folder.name}/{problem.path}") for problem in listing.problems)
    return replace(listing, table=table, problems=problems)


def _split_by_folder(listing: Listing) -> Listing:
    """Uses the first folder of each path as the split, if all have names of splits and there is no column."""
    columns = path_columns(listing.table)
    if not columns or "split" in listing.table:
        return listing
    firsts = [(PurePosixPath(str(cell)).parts or ("",))[0] for cell in listing.table[columns[0]]]
    splits = [split_name(first) for first in firsts]
    if None not in splits:
        return replace(listing, table=listing.table.assign(split=firsts))
    if len({*splits} - {None}) > 1:
        row = splits.index(None)
        raise DataError(
            f"{listing.source}: some paths begin with a folder called train, test or the like, which says "
            f"the split, and some do not (row {listing.lines[row]}: {firsts[row]!r}). Write a column split, "
            f"or, to have a split made: table:{listing.base}."
        )
    return listing
