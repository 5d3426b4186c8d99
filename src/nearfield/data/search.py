"""Looks through a folder for sounds and pictures, in the order of their paths."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nearfield.data import audio, pictures
from nearfield.data.faults import Problem
from nearfield.data.names import is_text, shown
from nearfield.data.npy import rate_file

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
            if suffix in (*audio.SUFFIXES, *pictures.SUFFIXES):
                found.misnamed.append(path)
        elif suffix in audio.SUFFIXES or (suffix == ".npy" and rate_file((folder / path).parent)):
            found.sounds.append(path)
        elif suffix in pictures.SUFFIXES:
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
