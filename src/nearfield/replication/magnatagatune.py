"""MagnaTagATune: 25,863 clips of music with tags, with the usual splits."""

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.types import Bools
from nearfield.data.faults import Problem
from nearfield.data.layouts.base import BaseLayout, audio_root
from nearfield.data.listing import Listing
from nearfield.replication.published_tables import (
    NEARLY_ALL,
    TaggedClips,
    difference,
    dropped,
    present_files,
    tab_lines,
)

# `annotations_final.csv` of MagnaTagATune: a column of 0 and 1 for each tag, separated by tabs, all quoted.

ANNOTATIONS, TOP_TAGS = "annotations_final.csv", "top_tags.txt"
MOST_FREQUENT = 50
"""Number of most frequent tags that are used without `top_tags.txt`."""


def read_annotations(path: Path) -> TaggedClips:
    """Reads every clip with its tags, as far as they are used.

    Raises DataError if the table is missing or unreadable, has cells other than 0 and 1, or lacks a tag of
    `top_tags.txt`.
    """
    file = path / ANNOTATIONS
    if not file.is_file():
        raise DataError(f"{path}: there is no {ANNOTATIONS} in it. Give the folder that contains it.")
    table = _read(file)
    names = [str(name) for name in table if name not in ("clip_id", "mp3_path")]
    marks = _marks(file, table[names])
    order = _order(path, names, marks)
    columns = [names.index(name) for name in order]
    return TaggedClips(
        clips=table["clip_id"].tolist(),
        paths=table["mp3_path"].tolist(),
        tags=named(marks[:, columns], order),
        lines=list(range(2, len(table) + 2)),
        order=order,
        source=ANNOTATIONS,
    )


def top_tags(path: Path) -> tuple[str, ...] | None:
    """Reads the tags of `top_tags.txt`, one per line; None if there is no such file."""
    file = path / TOP_TAGS
    if not file.is_file():
        return None
    return tuple(filter(None, map(str.strip, file.read_text(encoding="utf-8-sig").splitlines())))


def named(marks: Bools, order: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Converts (N, K) bool to the names of the tags of each row, in the given order."""
    rows, columns = np.nonzero(marks)
    ends = np.searchsorted(rows, np.arange(1, len(marks)))
    words = np.array(order, dtype=object)[columns]
    return [tuple(own) for own in np.split(words, ends)]


def _read(file: Path) -> pd.DataFrame:
    text = {"clip_id": str, "mp3_path": str}
    try:
        table = pd.read_csv(file, sep="\t", dtype=text, encoding="utf-8-sig", keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{file}: it cannot be read as a table ({reason}). Download it again.") from None
    missing = [name for name in text if name not in table]
    if missing:
        raise DataError(f"{file}: there is no column {missing[0]!r}. Columns must be separated by tabs.")
    if not len(table):
        raise DataError(f"{file}: there are no rows in it. Download it again.")
    return table


def _marks(file: Path, cells: pd.DataFrame) -> Bools:
    """Returns (N, K) bool, the tags of each clip."""
    numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = np.argwhere((numbers != 0) & (numbers != 1))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise DataError(
            f"{file}: row {row + 2}: {cells.columns[column]!r} is {str(cells.iat[row, column])!r}, neither 0 "
            "nor 1. Download it again."
        )
    return np.asarray(numbers == 1)


def _order(path: Path, names: list[str], marks: Bools) -> tuple[str, ...]:
    """Returns the tags to use: those of `top_tags.txt`, or the most frequent, ties by name."""
    chosen = top_tags(path)
    if chosen is None:
        counts = dict(zip(names, marks.sum(axis=0).tolist(), strict=True))
        used = [name for name in names if counts[name]]
        return tuple(sorted(used, key=lambda name: (-counts[name], name))[:MOST_FREQUENT])
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise DataError(f"{path / TOP_TAGS}: {ANNOTATIONS} has no tag {unknown[0]!r}. Correct or remove it.")
    return chosen


# Published lists of a split of MagnaTagATune: `index.tsv` (id, path), `train_gt.tsv` (id, [0.0, 1.0, ...]).
#
# Names such as `index_mtt.tsv` and `train_gt_mtt.tsv` are also possible.

_SPLITS = ("train", "val", "test")


def has_lists(path: Path) -> bool:
    """Returns whether there is an index and a list for each split."""
    return all(_find(path, name) for name in ("index", *(f"{split}_gt" for split in _SPLITS)))


def read_index(path: Path) -> dict[str, str]:
    """Reads the path of each clip by its id. Raises DataError if there is no index."""
    return {cells[0]: cells[1] for _, cells in tab_lines(_list(path, "index"), 2)}


def listed_splits(path: Path) -> dict[str, str]:
    """Reads the split of each clip by its id. Raises DataError if a list is missing or a clip is in two."""
    splits: dict[str, str] = {}
    for split in _SPLITS:
        file = _list(path, f"{split}_gt")
        for number, (clip, _) in tab_lines(file, 2):
            if clip in splits:
                raise DataError(
                    f"{file}: line {number}: the clip {clip!r} is listed for {splits[clip]} already. "
                    "Copy the published lists again."
                )
            splits[clip] = split
    return splits


def read_lists(path: Path) -> tuple[TaggedClips, list[str]]:
    """Reads every listed clip with its tags, and its split; "" if its path is not in the index.

    Raises DataError if a file is missing, or the number of tags differs from that of `top_tags.txt`.
    """
    order = top_tags(path)
    if order is None:
        raise DataError(
            f"{path}: there is no {TOP_TAGS} in it, so the names of the tags in the lists are unknown. "
            "Write one tag per line, in the order of the numbers."
        )
    index, by_clip = read_index(path), listed_splits(path)
    vectors: list[list[float]] = []
    lines: list[int] = []
    for split in _SPLITS:
        file = _list(path, f"{split}_gt")
        for number, (_, cell) in tab_lines(file, 2):
            vectors.append(_vector(file, number, cell, len(order)))
            lines.append(number)
    clips = list(by_clip)
    if not clips:
        raise DataError(f"{path}: the published lists contain no clip. Copy them again.")
    tags = named(np.array(vectors) > 0.5, order)
    found = TaggedClips(
        clips, [index.get(clip, "") for clip in clips], tags, lines, order, "the published lists"
    )
    return found, [by_clip[clip] if clip in index else "" for clip in clips]


def _vector(file: Path, number: int, cell: str, tags: int) -> list[float]:
    try:
        vector = json.loads(cell)
    except (json.JSONDecodeError, RecursionError):
        vector = None
    if not isinstance(vector, list) or len(vector) != tags or not all(map(_is_number, vector)):
        raise DataError(
            f"{file}: line {number}: there must be {tags} numbers in brackets, one per tag of {TOP_TAGS}."
        )
    return vector


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(path: Path, name: str) -> Path:
    found = _find(path, name)
    if found is None:
        raise DataError(
            f"{path}: there is no {name}.tsv in it. Copy the published lists there, or give ?split=original."
        )
    return found


def _find(path: Path, name: str) -> Path | None:
    found = [path / f"{name}.tsv", *sorted(path.glob(f"{name}_*.tsv"))]
    return next((file for file in found if file.is_file()), None)


# Song, artist and album of a clip of MagnaTagATune, and its start in the song.

CLIP_INFO = "clip_info_final.csv"
_NAME = re.compile(
    r"(?P<song>(?P<artist>[^-]+)-(?P<album>.+)-\d+-.+)-(?P<begins>\d+)-\d+",
)
"""artist-album-track-title-start-end, words joined by underscores."""


@dataclass(frozen=True)
class TrackInfo:
    """The song of a clip; "" means unknown."""

    name: str = ""
    artist: str = ""
    album: str = ""
    begins: float | None = None
    """Start of the clip in the song, in seconds."""


def songs(path: Path, clips: Sequence[str], paths: Sequence[str]) -> list[TrackInfo]:
    """Returns the song of each clip, from its path if possible, else from `clip_info_final.csv`."""
    found = [song_of(name) for name in paths]
    if None not in found:
        return [song or TrackInfo() for song in found]
    by_clip = _clip_info(path / CLIP_INFO)
    return [song or by_clip.get(clip, TrackInfo()) for song, clip in zip(found, clips, strict=True)]


def song_of(path: str) -> TrackInfo | None:
    """Returns the song in a path such as `f/artist-album-01-title-30-59.mp3`, or None for other names."""
    match = _NAME.fullmatch(PurePosixPath(path).stem)
    if not match:
        return None
    return TrackInfo(
        match["song"], match["artist"], f"{match['artist']}-{match['album']}", float(match["begins"])
    )


def _clip_info(file: Path) -> dict[str, TrackInfo]:
    """Reads the song of each clip by its id; empty if there is no such table."""
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        needed = {"clip_id", "title", "artist", "album", "segmentStart"}
        missing = sorted(needed.difference(rows.fieldnames or ()))
        if missing:
            raise DataError(f"{file}: there is no column {missing[0]!r}. Columns must be separated by tabs.")
        return {row["clip_id"]: _song(row) for row in rows}


def _song(row: dict[str, str]) -> TrackInfo:
    artist, album, title = row["artist"] or "", row["album"] or "", row["title"] or ""
    begins = row["segmentStart"] or ""
    known = bool(artist or title)
    return TrackInfo(
        f"{artist}-{album}-{title}" if known else "",
        artist,
        f"{artist}-{album}" if album else "",
        float(begins) if begins.isdecimal() else None,
    )


# The layout of MagnaTagATune, whose clips were tagged by players of a game.
#
# E. Law et al., "Evaluation of Algorithms Using Games: The Case of Music Tagging", ISMIR 2009;
# https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset

Split = Literal["course", "original", "cleaned", "gt"]

CLIPS = 25_863
"""Published number of clips, with or without tags."""
COURSE = {"train": 6_206, "val": 1_529, "test": 1_339}
"""Number of clips in the split of the course with at least one of the 50 most frequent tags, 9,074 in
total."""
COURSE_FOLDERS = {**dict.fromkeys("012ab", "train"), "c": "val", "d": "test"}
"""Split of the course by the first letter of the top folder; other folders are left out."""
ORIGINAL_FOLDERS = {**dict.fromkeys("0123456789ab", "train"), "c": "val", **dict.fromkeys("def", "test")}
"""Original split by the first letter of the top folder, 12:1:3."""

_DESCRIPTIONS: dict[str, str] = {
    "course": "the course split of MagnaTagATune: folders 0, 1, 2, a, b train, c val, d test",
    "original": "the original split of MagnaTagATune: folders 0 to b train, c val, d to f test",
    "cleaned": "the cleaned split of MagnaTagATune: published lists, tags from annotations_final.csv",
    "gt": "the published lists (train_gt, val_gt, test_gt) of MagnaTagATune and their own tags",
}


class Magnatagatune(BaseLayout):
    """Reads `annotations_final.csv` (and `clip_info_final.csv`), or `index.tsv` with `*_gt.tsv` lists.

    Tags are the 50 most frequent ones, sorted by frequency (ties by name), or those of `top_tags.txt`; clips
    with none of them are left out and counted. Results with different splits are not comparable."""

    kind: Literal["magnatagatune"] = "magnatagatune"
    split: Split | None = None
    """course or original (by folder), cleaned or gt (by published lists); none: course if clips are in
    folders of one
    letter, else gt if there are lists."""
    group: Literal["song", "artist", "album"] = "song"
    """What must not be divided between splits."""
    audio: Path | None = None
    """Folder of the sounds; none: the folder of the set. Sounds may be NumPy arrays (`.npy`), as in the
    archive of the course (`?audio=waveform`); the file `npy_rate.txt` in that folder contains their sample
    rate in Hz."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Returns whether the folder contains `annotations_final.csv`."""
        return (path / ANNOTATIONS).is_file()

    def read(self, path: Path) -> Listing:
        """Reads one row per clip. Raises DataError if a table is missing or damaged, or no clip remains."""
        base = audio_root(path, self.audio, self.kind)
        name = self.split or _usual(path)
        found, splits = _take(path, name)
        rows = [row for row, own in enumerate(splits) if own and found.tags[row]]
        if not rows:
            first = PurePosixPath(found.paths[0]).parts[0]
            raise DataError(
                f"{path}: the split {name!r} contains no clip with a tag (the first clip is in {first!r}). "
                "Use another: ?split=course, original, cleaned or gt."
            )
        split = [splits[row] for row in rows]
        problems = _left_out(name, found, splits, len(rows))
        if name == "course" and len(found.paths) >= NEARLY_ALL * CLIPS:
            problems += _differences(found.source, split)
        return self._listing(path, base, found.take(rows), split, problems, _DESCRIPTIONS[name])

    def _listing(
        self,
        path: Path,
        base: Path,
        found: TaggedClips,
        split: list[str],
        problems: tuple[Problem, ...],
        split_from: str,
    ) -> Listing:
        known = songs(path, found.clips, found.paths)
        table = pd.DataFrame(
            {
                "path": present_files(found.paths, base, (".npy",)),
                "tags": found.tags,
                "split": split,
                "clip": found.clips,
                "song": [song.name for song in known],
                "artist": [song.artist for song in known],
                "album": [song.album for song in known],
            },
            dtype=object,
        )
        table["recording"], table["group"] = table["song"], table[self.group]
        start_times = tuple(song.begins for song in known)
        lines = tuple(found.lines)
        return Listing(
            table, base, lines, found.source, problems, "sound", start_times, 0.0, found.order, split_from
        )


def _usual(path: Path) -> Split:
    """Returns `course` if clips are in folders of one letter, as published, else `gt` if there are lists."""
    if not has_lists(path):
        return "course"
    in_letters = all(len(PurePosixPath(clip).parts[0]) == 1 for clip in read_index(path).values())
    return "course" if in_letters and Magnatagatune.recognises(path) else "gt"


def _take(path: Path, split: Split) -> tuple[TaggedClips, list[str]]:
    """Returns the clips with tags, and the split of each; "" for clips that are left out."""
    if split == "gt":
        return read_lists(path)
    found = read_annotations(path)
    if split == "cleaned":
        splits = listed_splits(path)
        return found, [splits.get(clip, "") for clip in found.clips]
    folders = COURSE_FOLDERS if split == "course" else ORIGINAL_FOLDERS
    return found, [folders.get(clip[:1].lower(), "") for clip in found.paths]


def _left_out(name: str, found: TaggedClips, splits: list[str], kept: int) -> tuple[Problem, ...]:
    unused = splits.count("")
    reason = f"clips that are not in the split {name!r} are left out"
    other = dropped("other_clips", found.source, unused, reason, "To use all, give ?split=original.")
    reason = f"clips with none of the {len(found.order)} tags are left out"
    cure = "To use more of them, list more tags in top_tags.txt."
    return other + dropped("untagged", found.source, len(splits) - unused - kept, reason, cure)


def _differences(source: str, split: list[str]) -> tuple[Problem, ...]:
    """Returns warnings if the split of the course does not have the published numbers of clips."""
    counts = Counter(split)
    problems = difference(source, "clips of the course split", len(split), sum(COURSE.values()))
    for name, published in COURSE.items():
        problems += difference(source, f"{name} clips of the course split", counts[name], published)
    return problems
