"""Class folders, or a folder of sounds without labels: what is there is what there is."""

from pathlib import Path
from typing import Literal

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.settings import Settings
from nearfield.data.faults import Problem
from nearfield.data.listing import Kind, Listing
from nearfield.data.search import search
from nearfield.data.splits import side

_OF_SOUNDS = ("audio", "sounds", "clips", "samples", "recordings", "wav", "wavs", "flac", "ogg", "mp3")
_WRAPPERS = (*_OF_SOUNDS, "data", "files", "images", "pictures")
"""Folders that are passed through where they are the only one: their names are no labels."""


class Folder(Settings):
    """A folder of class folders (the first folder's name is the label, any depth below), or of sounds alone.

    Where the first folders are called train, val, test or the like, they are the split and the label is one
    deeper. Pictures are taken where there is no sound.
    """

    kind: Literal["folder"] = "folder"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Any folder will do; this layout is asked last."""
        return path.is_dir()

    def read(self, path: Path) -> Listing:
        """One row a file. Raises DataError where there is neither sound nor picture."""
        found = search(path)
        if found.sounds:
            return list_files(path, found.sounds, "sound", found.problems() + _beside(found.pictures))
        if found.pictures:
            return list_files(path, found.pictures, "picture", found.problems())
        unread = f" {found.problems()[0]}" if found.unread else ""
        raise DataError(
            f"{path}: there are no sounds and no pictures in it.{unread} "
            "Give a folder with wav, flac, ogg or mp3 files, or with png, jpg, bmp or webp files."
        )


def list_files(folder: Path, files: list[Path], kind: Kind, problems: tuple[Problem, ...]) -> Listing:
    """Rows with path, label and, where the first folders say so, split."""
    depth = _wrappers(files)
    inner = [path.parts[depth:-1] for path in files]
    firsts = {parts[0] if parts else "" for parts in inner}
    if len(firsts) > 1 and all(side(first) for first in firsts):
        columns = {
            "label": [parts[1] if len(parts) > 1 else "" for parts in inner],
            "split": [parts[0] for parts in inner],
        }
    else:
        columns = {"label": [parts[0] if parts else "" for parts in inner]}
    if "" in columns["label"] and any(columns["label"]):
        problems += (_loose(columns["label"].count("")),)
    table = pd.DataFrame({"path": [path.as_posix() for path in files], **columns}, dtype=object)
    return Listing(table, folder, (None,) * len(files), folder.name, problems, kind)


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


def _beside(pictures: list[Path]) -> tuple[Problem, ...]:
    if not pictures:
        return ()
    reason = f"pictures among the sounds are not taken ({len(pictures)} found)."
    cure = "To take them instead, write images:PATH."
    return (Problem("other_kind", pictures[0].as_posix(), None, reason, cure, "warning"),)
