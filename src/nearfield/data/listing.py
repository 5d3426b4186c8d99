"""Listings: the rows that a layout finds in a folder, before any sound is decoded."""

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

Kind = Literal["sound", "picture"]


@dataclass(frozen=True)
class Listing:
    """The result of a layout: a table with a column `path` or `file_name`."""

    table: pd.DataFrame
    """The columns of the source; paths are relative to `base` or absolute."""
    base: Path
    lines: tuple[int | None, ...]
    """Line of each row in the source table, where the header is line 1; None without a table."""
    source: str
    """Name of the table or folder, for messages."""
    problems: tuple[Problem, ...] = ()
    """Files that the layout left out."""
    kind: Kind | None = None
    """None if the suffixes of the files determine it."""
    start_times: tuple[float | None, ...] = ()
    """Start of each file in its recording, in seconds; () if unknown."""
    least_seconds: float = 0.0
    """Shorter files are truncated, and are left out."""
    tags: tuple[str, ...] = ()
    """Tags that are numbered first, in this order; others follow by name."""
    split_from: str = ""
    """Source of the split, in words; "" for a column or file names."""
    elsewhere: str = ""
    """Form of DATA for sounds in another FOLDER; "" if the layout does not support it."""
    label_from: str = ""
    """Source of the label, in words, if labels are folder names; "" for a column."""
    instead: str = ""
    """DATA that reads the same folder without its table; "" if there is none."""


# Search of a folder for sounds and images, sorted by path.

ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".z01"))


@dataclass(frozen=True)
class Found:
    """Files in and below a folder, by kind; paths are relative to the folder."""

    sounds: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    """Sounds in unsupported formats."""
    archives: list[Path] = field(default_factory=list)
    """Archives, which are not read."""
    misnamed: list[Path] = field(default_factory=list)
    """Sounds and images whose path is not UTF-8 text."""

    def problems(self) -> tuple[Problem, ...]:
        """Returns the problems of sounds left out because of format, name, or an archive."""
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
        """Returns a warning for each archive."""
        reason, cure = "it is an archive, which is not read.", "Unpack it, or remove it."
        return tuple(
            Problem("archive", path.as_posix(), None, reason, cure, "warning") for path in self.archives
        )

    def nameless(self) -> tuple[Problem, ...]:
        """Returns the problems of files left out because of their name."""
        reason = "its name is not UTF-8 text."
        cure = "Rename it; `convmv -f latin1 -t utf8 -r --notest FOLDER` renames all in a folder."
        return tuple(Problem("name", shown(path.as_posix()), None, reason, cure) for path in self.misnamed)


def search(folder: Path) -> Found:
    """Finds all sounds and images below `folder` except hidden ones; links are followed once."""
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
    """Paths of files relative to `folder`. Links to folders already visited are skipped."""
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


# Suggestions for missing files: another suffix, another case, a similar name.

_MANY = 5000
"""Number of files in a folder above which only other suffixes are tried."""
_SLIPS = 20
"""Number of missing files for which similar names are searched, which is slow."""


class Guesses:
    """Suggests files for missing ones; the names of each folder are read once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}
        self._slips = 0

    def near(self, path: Path) -> str | None:
        """Returns the name of the most similar file in the same folder, or None."""
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
