"""Class folders, or a folder of sounds without labels: what is there is what there is."""

from pathlib import Path
from typing import Literal, Protocol

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.settings import Settings
from nearfield.data.faults import Problem
from nearfield.data.layouts.table import tables_in
from nearfield.data.listing import Kind, Listing
from nearfield.data.search import search
from nearfield.data.splits import side

First = Literal["label", "split"]
_OF_SOUNDS = ("audio", "sounds", "clips", "samples", "recordings", "wav", "wavs", "flac", "ogg", "mp3")
_WRAPPERS = (*_OF_SOUNDS, "data", "files", "images", "pictures")
"""Folders that are passed through where they are the only one: their names are no labels."""


class Folder(Settings):
    """A folder of class folders (the first folder's name is the label, any depth below), or of sounds alone.

    Where the first folders are called train, val, test or the like, they are the split and the label is one
    deeper; where all of the second are, they are the split. Pictures are taken where there is no sound.
    """

    kind: Literal["folder"] = "folder"
    first: First | None = None
    """What the first folders are: `label`, or `split` (those not called train, test or the like take no
    part); not given: the split where all of them are called so, else labels."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Any folder will do; this layout is asked last."""
        return path.is_dir()

    def read(self, path: Path) -> Listing:
        """One row a file. Raises DataError where there is neither sound nor picture."""
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
    """A layout that can be told what the first folders are."""

    @property
    def kind(self) -> str: ...
    @property
    def first(self) -> First | None: ...


def list_files(
    folder: Path, files: list[Path], kind: Kind, problems: tuple[Problem, ...], layout: Chooses
) -> Listing:
    """Rows with path, label and, where folders say so, split.

    Raises DataError where some of the first folders are sides of a split and some are not.
    """
    depth = _wrappers(files)
    inner = [(*path.parts[depth:-1], "", "") for path in files]
    ones, twos = [parts[0] for parts in inner], [parts[1] for parts in inner]
    first, told = _what_first(ones, folder, layout)
    columns = {"label": ones}
    if first == "split":
        columns = {"label": twos, "split": [name if side(name) else "" for name in ones]}
    elif layout.first is None and _sides(twos):
        _check_second(twos, folder, layout)
        columns["split"] = twos
    elif layout.first is None and not told:
        told = _label_deeper(ones, twos, folder, layout)
    problems += told
    if "" in columns["label"] and any(columns["label"]):
        problems += (_loose(columns["label"].count("")),)
    table = pd.DataFrame({"path": [path.as_posix() for path in files], **columns}, dtype=object)
    lines = (None,) * len(files)
    return Listing(table, folder, lines, folder.name, problems, kind, label_from="the names of folders")


def _what_first(names: list[str], folder: Path, layout: Chooses) -> tuple[First, tuple[Problem, ...]]:
    """What the first folders are, and a word where that is a guess."""
    if layout.first is not None:
        return layout.first, ()
    choice = f"{layout.kind}:{folder}?first="
    called = sorted({name for name in names if side(name)})
    others = sorted({name or "files beside the folders" for name in names if not side(name)})
    if not others and len(called) > 1:
        return "split", ()
    if _sides(names):
        raise DataError(
            f"{folder}: the folders {', '.join(called)} are called like sides of a split, but "
            f"{', '.join(others[:5])} {'is' if len(others) == 1 else 'are'} not. If the split is meant, and "
            f"the others take no part: {choice}split. If all are labels: {choice}label."
        )
    if called:
        reason = "the folder is taken for a label, though it is called like a side of a split."
        cure = f"If it is a side: {choice}split; if not: {choice}label."
        return "label", (Problem("side", called[0], None, reason, cure, "warning"),)
    return "label", ()


def _check_second(names: list[str], folder: Path, layout: Chooses) -> None:
    """Raises DataError where some folders inside the class folders are sides of a split and some are not."""
    called = sorted({name for name in names if side(name)})
    others = sorted({name or "files beside them" for name in names if not side(name)})
    if others:
        raise DataError(
            f"{folder}: the folders {', '.join(called)} inside the class folders are called like sides of a "
            f"split, but {', '.join(others[:5])} {'is' if len(others) == 1 else 'are'} not. If the split is "
            f"meant, rename or move these. If there is no split: {layout.kind}:{folder}?first=label."
        )


def _label_deeper(ones: list[str], twos: list[str], folder: Path, layout: Chooses) -> tuple[Problem, ...]:
    """A word where every first folder holds folders of the same names: these may be the labels."""
    inside: dict[str, set[str]] = {}
    for one, two in zip(ones, twos, strict=True):
        inside.setdefault(one, set()).add(two)
    shared = next(iter(inside.values()))
    if len(inside) < 2 or len(shared) < 2 or "" in shared or any(each != shared for each in inside.values()):
        return ()
    firsts, seconds = (", ".join(sorted(names)[:5]) for names in (inside, shared))
    reason = f"the first folders ({firsts}) are taken for labels, but all hold the same folders ({seconds})."
    cure = (
        "If the first are sides of a split, call them train, val and test; if they are something else, give "
        f"a table with path and label. If they are labels: {layout.kind}:{folder}?first=label."
    )
    return (Problem("side", ".", None, reason, cure, "warning"),)


def _sides(names: list[str]) -> bool:
    """Whether folders are called like two sides of a split, or all three."""
    return len({side(name) for name in names} - {None}) > 1


def _wrappers(files: list[Path]) -> int:
    """How many folders at the top hold everything and only say so."""
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
    """A word on tables in the first folders: they may be sets of their own."""
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
