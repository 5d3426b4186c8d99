"""Listings: what a layout finds in a folder before any sound is decoded."""

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from nearfield.core.text import is_text, shown
from nearfield.data import audio, images
from nearfield.data.faults import Problem
from nearfield.data.npy import rate_file

# `Listing`: rows as a layout found them, before any sound was looked at.

Kind = Literal["sound", "picture"]


@dataclass(frozen=True)
class Listing:
    """What a layout hands to the collection: a table with a column `path` or `file_name`."""

    table: pd.DataFrame
    """Columns as they came; paths relative to `base`, or absolute."""
    base: Path
    lines: tuple[int | None, ...]
    """For each row its line in the source table, the header being line 1; None where there is no table."""
    source: str
    """Name of the table or folder, for messages."""
    problems: tuple[Problem, ...] = ()
    """What the layout itself left out."""
    kind: Kind | None = None
    """None where the names of the files decide."""
    start_times: tuple[float | None, ...] = ()
    """For each row when its file begins on its recording's clock, in seconds; () where no row says."""
    least_seconds: float = 0.0
    """Files shorter than this were cut off, and are left out."""
    tags: tuple[str, ...] = ()
    """The order in which tags are numbered; those that it does not name follow by name."""
    split_from: str = ""
    """What gives the split, in words; "" for a column or the names of the files."""
    elsewhere: str = ""
    """DATA that says that the sounds lie in another FOLDER; "" where the layout cannot be told."""
    label_from: str = ""
    """What gives the label, in words, where it is the names of folders; "" for a column."""
    instead: str = ""
    """DATA that reads the same folder without its table; "" where there is none."""


# Looks through a folder for sounds and pictures, in the order of their paths.

ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".z01"))


@dataclass(frozen=True)
class Found:
    """Files of a folder and everything below it, by what they are; paths relative to the folder."""

    sounds: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    """Sounds of a format that is not decoded here."""
    archives: list[Path] = field(default_factory=list)
    """Archives, which are not looked into."""
    misnamed: list[Path] = field(default_factory=list)
    """Sounds and pictures whose path is no UTF-8 text."""

    def problems(self) -> tuple[Problem, ...]:
        """The sounds that are left out because of their format, their name or an archive around them."""
        cure = "Convert it, for example: ffmpeg -i {} {}"
        return (
            self.nameless()
            + self.packed()
            + tuple(
                Problem(
                    "format",
                    path.as_posix(),
                    None,
                    f"{path.suffix.lower()} files cannot be decoded.",
                    cure.format(path.name, path.with_suffix(".flac").name),
                )
                for path in self.unread
            )
        )

    def packed(self) -> tuple[Problem, ...]:
        """A word on each archive."""
        reason, cure = "it is an archive, which is not read.", "Unpack it, or take it away."
        return tuple(
            Problem("archive", path.as_posix(), None, reason, cure, "warning") for path in self.archives
        )

    def nameless(self) -> tuple[Problem, ...]:
        """The files that are left out because of their name."""
        reason = "its name is not UTF-8 text."
        cure = "Rename it; `convmv -f latin1 -t utf8 -r --notest FOLDER` renames all in a folder."
        return tuple(Problem("name", shown(path.as_posix()), None, reason, cure) for path in self.misnamed)


def search(folder: Path) -> Found:
    """Every sound and picture below `folder`, hidden ones left aside; links are followed, once."""
    found = Found()
    for path in _files(folder):
        suffix = path.suffix.lower()
        if not is_text(path.as_posix()):
            if suffix in (*audio.SUFFIXES, *images.SUFFIXES):
                found.misnamed.append(path)
        elif suffix in audio.SUFFIXES or (suffix == ".npy" and rate_file((folder / path).parent)):
            found.sounds.append(path)
        elif suffix in images.SUFFIXES:
            found.pictures.append(path)
        elif suffix in ARCHIVES:
            found.archives.append(path)
        elif suffix in audio.UNREAD_SUFFIXES:
            found.unread.append(path)
    for paths in (found.sounds, found.pictures, found.unread, found.archives, found.misnamed):
        paths.sort()
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Paths of files, relative to `folder`. A link that leads back up is not walked again."""
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        here = Path(place).relative_to(folder)
        yield from (here / name for name in sorted(names) if not name.startswith("."))


# Guesses which file a missing one was meant to be: another ending, another case, a slip of the hand.

_MANY = 5000
"""Files in a folder beyond which only other endings are looked for."""
_SLIPS = 20
"""Missing files for which a like name is looked for; the search is slow."""


class Guesses:
    """Remembers each folder it has looked at, so that many missing files cost one look."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}
        self._slips = 0

    def near(self, path: Path) -> str | None:
        """Name of the file in the same folder that was most likely meant, or None."""
        stems = self._stems(path.parent)
        if path.stem.lower() in stems:
            return stems[path.stem.lower()]
        self._slips += 1
        if self._slips > _SLIPS or len(stems) > _MANY:
            return None
        close = difflib.get_close_matches(path.stem.lower(), stems, n=1, cutoff=0.8)
        return stems[close[0]] if close else None

    def _stems(self, folder: Path) -> dict[str, str]:
        if folder not in self._folders:
            try:
                names = sorted(filter(is_text, os.listdir(folder)), reverse=True)
            except (OSError, ValueError):
                names = []
            self._folders[folder] = {Path(name).stem.lower(): name for name in names}
        return self._folders[folder]
