"""MagnaTagATune: 25,863 tagged clips of music under its usual splits."""

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

# `annotations_final.csv` of MagnaTagATune: a column of 0 and 1 for each tag, tabs between, all quoted.

ANNOTATIONS, TOP_TAGS = "annotations_final.csv", "top_tags.txt"
MOST_FREQUENT = 50
"""Tags that are taken where `top_tags.txt` does not name them."""


def read_annotations(path: Path) -> TaggedClips:
    """Every clip with those of its tags that are taken.

    Raises DataError where the table is missing, cannot be read, or has cells that are neither 0 nor 1, and
    where `top_tags.txt` names a tag that it does not have.
    """
    file = path / ANNOTATIONS
    if not file.is_file():
        raise DataError(f"{path}: there is no {ANNOTATIONS} in it. Give the folder that has it.")
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
    """The tags of `top_tags.txt`, one a line, or None where there is none."""
    file = path / TOP_TAGS
    if not file.is_file():
        return None
    return tuple(filter(None, map(str.strip, file.read_text(encoding="utf-8-sig").splitlines())))


def named(marks: Bools, order: tuple[str, ...]) -> list[tuple[str, ...]]:
    """(N, K) marks as the names of each row's tags, in the order given."""
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
        raise DataError(f"{file}: there is no column {missing[0]!r}. Tabs must stand between its columns.")
    if not len(table):
        raise DataError(f"{file}: there are no rows in it. Download it again.")
    return table


def _marks(file: Path, cells: pd.DataFrame) -> Bools:
    """(N, K) which clip has which tag."""
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
    """Tags taken: as `top_tags.txt` has them, or the most frequent first, where equal by name."""
    chosen = top_tags(path)
    if chosen is None:
        counts = dict(zip(names, marks.sum(axis=0).tolist(), strict=True))
        used = [name for name in names if counts[name]]
        return tuple(sorted(used, key=lambda name: (-counts[name], name))[:MOST_FREQUENT])
    strangers = [name for name in chosen if name not in names]
    if strangers:
        raise DataError(
            f"{path / TOP_TAGS}: {ANNOTATIONS} has no tag {strangers[0]!r}. Correct or remove it."
        )
    return chosen


# Published lists of a split of MagnaTagATune: `index.tsv` (id, path), `train_gt.tsv` (id, [0.0, 1.0, ...]).
#
# `index_mtt.tsv`, `train_gt_mtt.tsv` and the like are understood too.

_SIDES = ("train", "val", "test")


def has_lists(path: Path) -> bool:
    """True where there is an index and a list for each side."""
    return all(_find(path, name) for name in ("index", *(f"{side}_gt" for side in _SIDES)))


def read_index(path: Path) -> dict[str, str]:
    """Path of each clip by its id. Raises DataError where there is no index."""
    return {cells[0]: cells[1] for _, cells in tab_lines(_list(path, "index"), 2)}


def list_sides(path: Path) -> dict[str, str]:
    """Side of each clip by its id. Raises DataError where a list is missing or a clip is in two."""
    splits: dict[str, str] = {}
    for side in _SIDES:
        file = _list(path, f"{side}_gt")
        for number, (clip, _) in tab_lines(file, 2):
            if clip in splits:
                raise DataError(
                    f"{file}: line {number}: the clip {clip!r} is listed for {splits[clip]} already. "
                    "Copy the published lists again."
                )
            splits[clip] = side
    return splits


def read_lists(path: Path) -> tuple[TaggedClips, list[str]]:
    """Every listed clip with its tags, and the side of each, "" for one whose path is not in the index.

    Raises DataError where a file is missing, and where numbers and names of tags are not as many.
    """
    order = top_tags(path)
    if order is None:
        raise DataError(
            f"{path}: there is no {TOP_TAGS} in it, so the lists' numbers have no names. "
            "Write a tag a line, in the order of the numbers."
        )
    index, by_clip = read_index(path), list_sides(path)
    vectors: list[list[float]] = []
    lines: list[int] = []
    for side in _SIDES:
        file = _list(path, f"{side}_gt")
        for number, (_, cell) in tab_lines(file, 2):
            vectors.append(_vector(file, number, cell, len(order)))
            lines.append(number)
    clips = list(by_clip)
    if not clips:
        raise DataError(f"{path}: the published lists name no clip. Copy them again.")
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
            f"{file}: line {number}: there must be {tags} numbers in brackets, one a tag of {TOP_TAGS}."
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


# Which song, artist and album a clip of MagnaTagATune comes from, and when it begins in the song.

CLIP_INFO = "clip_info_final.csv"
_NAME = re.compile(
    r"(?P<song>(?P<artist>[^-]+)-(?P<album>.+)-\d+-.+)-(?P<begins>\d+)-\d+",
)
"""artist-album-track-title-start-end, words joined by underscores."""


@dataclass(frozen=True)
class TrackInfo:
    """What a clip was cut from; "" where it is not known."""

    name: str = ""
    artist: str = ""
    album: str = ""
    begins: float | None = None
    """Second of the song at which the clip begins."""


def songs(path: Path, clips: Sequence[str], paths: Sequence[str]) -> list[TrackInfo]:
    """The song of each clip: out of its path where that says it, else out of `clip_info_final.csv`."""
    found = [song_of(name) for name in paths]
    if None not in found:
        return [song or TrackInfo() for song in found]
    by_clip = _clip_info(path / CLIP_INFO)
    return [song or by_clip.get(clip, TrackInfo()) for song, clip in zip(found, clips, strict=True)]


def song_of(path: str) -> TrackInfo | None:
    """The song in a path such as `f/artist-album-01-title-30-59.mp3`, or None for other names."""
    match = _NAME.fullmatch(PurePosixPath(path).stem)
    if not match:
        return None
    return TrackInfo(
        match["song"], match["artist"], f"{match['artist']}-{match['album']}", float(match["begins"])
    )


def _clip_info(file: Path) -> dict[str, TrackInfo]:
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


# MagnaTagATune: 25,863 clips of music, tagged by the players of a game, under one of its usual splits.
#
# E. Law et al., "Evaluation of Algorithms Using Games: The Case of Music Tagging", ISMIR 2009;
# https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset

Split = Literal["course", "original", "cleaned", "gt"]

CLIPS = 25_863
"""Published clips, tagged or not."""
COURSE = {"train": 6_206, "val": 1_529, "test": 1_339}
"""Clips of the course's split, 9,074 in all, that have at least one of the 50 most frequent tags."""
COURSE_FOLDERS = {**dict.fromkeys("012ab", "train"), "c": "val", "d": "test"}
"""Side of each top folder (by its first letter) in the course's split; the other folders take no part."""
ORIGINAL_FOLDERS = {**dict.fromkeys("0123456789ab", "train"), "c": "val", **dict.fromkeys("def", "test")}
"""The customary 12:1:3."""

_WORDS: dict[str, str] = {
    "course": "the course's split of MagnaTagATune: folders 0, 1, 2, a, b train, c val, d test",
    "original": "the original split of MagnaTagATune: folders 0 to b train, c val, d to f test",
    "cleaned": "the cleaned split of MagnaTagATune: published lists, tags out of annotations_final.csv",
    "gt": "the published lists (train_gt, val_gt, test_gt) of MagnaTagATune and their own tags",
}


class Magnatagatune(BaseLayout):
    """`annotations_final.csv` (and `clip_info_final.csv`) as published, or `index.tsv` with `*_gt.tsv` lists.

    Tags are the 50 most frequent ones, in that order (where equal, by name), or those in `top_tags.txt`;
    clips with none of them are left out, and counted. Figures of one split say nothing about another.
    """

    kind: Literal["magnatagatune"] = "magnatagatune"
    split: Split | None = None
    """`course`, `original` (by folder), `cleaned`, `gt` (by published lists); None: `course` where clips lie
    in folders of one letter, else `gt` where there are lists."""
    group: Literal["song", "artist", "album"] = "song"
    """What is kept on one side of the split."""
    audio: Path | None = None
    """Folder that the paths count from, where it is not the set's own. Sounds may be NumPy arrays (`.npy`),
    as in the course's archive (`?audio=waveform`): a file `npy_rate.txt` in that folder says their rate."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A folder with `annotations_final.csv`."""
        return (path / ANNOTATIONS).is_file()

    def read(self, path: Path) -> Listing:
        """One row a clip. Raises DataError where a table is missing or damaged, or no clip is left."""
        base = audio_root(path, self.audio, self.kind)
        name = self.split or _usual(path)
        found, splits = _take(path, name)
        rows = [row for row, side in enumerate(splits) if side and found.tags[row]]
        if not rows:
            first = PurePosixPath(found.paths[0]).parts[0]
            raise DataError(
                f"{path}: the split {name!r} takes no clip with a tag (the first clip lies in {first!r}). "
                "Give another: ?split=course, original, cleaned or gt."
            )
        split = [splits[row] for row in rows]
        problems = _left_out(name, found, splits, len(rows))
        if name == "course" and len(found.paths) >= NEARLY_ALL * CLIPS:
            problems += _differences(found.source, split)
        return self._listing(path, base, found.take(rows), split, problems, _WORDS[name])

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
    """`course` where clips lie in folders of one letter, as published; else the lists where there are any."""
    if not has_lists(path):
        return "course"
    in_letters = all(len(PurePosixPath(clip).parts[0]) == 1 for clip in read_index(path).values())
    return "course" if in_letters and Magnatagatune.recognises(path) else "gt"


def _take(path: Path, split: Split) -> tuple[TaggedClips, list[str]]:
    """All clips that a split knows, and the side of each, "" for those that take no part."""
    if split == "gt":
        return read_lists(path)
    found = read_annotations(path)
    if split == "cleaned":
        splits = list_sides(path)
        return found, [splits.get(clip, "") for clip in found.clips]
    folders = COURSE_FOLDERS if split == "course" else ORIGINAL_FOLDERS
    return found, [folders.get(clip[:1].lower(), "") for clip in found.paths]


def _left_out(name: str, found: TaggedClips, splits: list[str], kept: int) -> tuple[Problem, ...]:
    unused = splits.count("")
    reason = f"clips that the split {name!r} does not use take no part"
    other = dropped("other_clips", found.source, unused, reason, "To use all, give ?split=original.")
    reason = f"clips with none of the {len(found.order)} tags take no part"
    cure = "To use more of them, name more tags in top_tags.txt."
    return other + dropped("untagged", found.source, len(splits) - unused - kept, reason, cure)


def _differences(source: str, split: list[str]) -> tuple[Problem, ...]:
    """Where the course's split does not have the published numbers of clips."""
    counts = Counter(split)
    problems = difference(source, "clips of the course's split", len(split), sum(COURSE.values()))
    for side, published in COURSE.items():
        problems += difference(source, f"{side} clips of the course's split", counts[side], published)
    return problems
