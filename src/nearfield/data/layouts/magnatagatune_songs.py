"""Which song, artist and album a clip of MagnaTagATune comes from, and when it begins in the song."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nearfield.core.errors import DataError

CLIP_INFO = "clip_info_final.csv"
_NAME = re.compile(
    r"(?P<song>(?P<artist>[^-]+)-(?P<album>.+)-\d+-.+)-(?P<begins>\d+)-\d+",
)
"""artist-album-track-title-start-end, words joined by underscores."""


@dataclass(frozen=True)
class Song:
    """What a clip was cut from; "" where it is not known."""

    name: str = ""
    artist: str = ""
    album: str = ""
    begins: float | None = None
    """Second of the song at which the clip begins."""


def songs(path: Path, clips: Sequence[str], paths: Sequence[str]) -> list[Song]:
    """The song of each clip: out of its path where that says it, else out of `clip_info_final.csv`."""
    found = [song_of(name) for name in paths]
    if None not in found:
        return [song or Song() for song in found]
    by_clip = _clip_info(path / CLIP_INFO)
    return [song or by_clip.get(clip, Song()) for song, clip in zip(found, clips, strict=True)]


def song_of(path: str) -> Song | None:
    """The song in a path such as `f/artist-album-01-title-30-59.mp3`, or None for other names."""
    match = _NAME.fullmatch(PurePosixPath(path).stem)
    if not match:
        return None
    return Song(match["song"], match["artist"], f"{match['artist']}-{match['album']}", float(match["begins"]))


def _clip_info(file: Path) -> dict[str, Song]:
    """The song of each clip by its id; nothing where there is no such table."""
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        needed = {"clip_id", "title", "artist", "album", "segmentStart"}
        missing = sorted(needed.difference(rows.fieldnames or ()))
        if missing:
            raise DataError(
                f"{file}: there is no column {missing[0]!r}. Tabs must stand between its columns."
            )
        return {row["clip_id"]: _song(row) for row in rows}


def _song(row: dict[str, str]) -> Song:
    artist, album, title = row["artist"] or "", row["album"] or "", row["title"] or ""
    begins = row["segmentStart"] or ""
    known = bool(artist or title)
    return Song(
        f"{artist}-{album}-{title}" if known else "",
        artist,
        f"{artist}-{album}" if album else "",
        float(begins) if begins.isdecimal() else None,
    )
