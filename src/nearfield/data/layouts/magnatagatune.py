"""MagnaTagATune: 25,863 clips of music, tagged by the players of a game, under one of its usual splits.

E. Law et al., "Evaluation of Algorithms Using Games: The Case of Music Tagging", ISMIR 2009;
https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset
"""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.settings import Settings
from nearfield.data.faults import Problem
from nearfield.data.layouts.magnatagatune_lists import has_lists, list_sides, read_index, read_lists
from nearfield.data.layouts.magnatagatune_songs import songs
from nearfield.data.layouts.magnatagatune_tables import ANNOTATIONS, read_annotations
from nearfield.data.layouts.published import NEARLY_ALL, audio_root, difference, dropped, present_files
from nearfield.data.layouts.tagged import Tagged
from nearfield.data.listing import Listing

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


class Magnatagatune(Settings):
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
        found, sides = _take(path, name)
        rows = [row for row, side in enumerate(sides) if side and found.tags[row]]
        if not rows:
            first = PurePosixPath(found.paths[0]).parts[0]
            raise DataError(
                f"{path}: the split {name!r} takes no clip with a tag (the first clip lies in {first!r}). "
                "Give another: ?split=course, original, cleaned or gt."
            )
        split = [sides[row] for row in rows]
        problems = _left_out(name, found, sides, len(rows))
        if name == "course" and len(found.paths) >= NEARLY_ALL * CLIPS:
            problems += _differences(found.source, split)
        return self._listing(path, base, found.take(rows), split, problems, _WORDS[name])

    def _listing(
        self,
        path: Path,
        base: Path,
        found: Tagged,
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
        moments = tuple(song.begins for song in known)
        lines = tuple(found.lines)
        return Listing(
            table, base, lines, found.source, problems, "sound", moments, 0.0, found.order, split_from
        )


def _usual(path: Path) -> Split:
    """`course` where clips lie in folders of one letter, as published; else the lists where there are any."""
    if not has_lists(path):
        return "course"
    in_letters = all(len(PurePosixPath(clip).parts[0]) == 1 for clip in read_index(path).values())
    return "course" if in_letters and Magnatagatune.recognises(path) else "gt"


def _take(path: Path, split: Split) -> tuple[Tagged, list[str]]:
    """All clips that a split knows, and the side of each, "" for those that take no part."""
    if split == "gt":
        return read_lists(path)
    found = read_annotations(path)
    if split == "cleaned":
        sides = list_sides(path)
        return found, [sides.get(clip, "") for clip in found.clips]
    folders = COURSE_FOLDERS if split == "course" else ORIGINAL_FOLDERS
    return found, [folders.get(clip[:1].lower(), "") for clip in found.paths]


def _left_out(name: str, found: Tagged, sides: list[str], kept: int) -> tuple[Problem, ...]:
    unused = sides.count("")
    reason = f"clips that the split {name!r} does not use take no part"
    other = dropped("other_clips", found.source, unused, reason, "To use all, give ?split=original.")
    reason = f"clips with none of the {len(found.order)} tags take no part"
    cure = "To use more of them, name more tags in top_tags.txt."
    return other + dropped("untagged", found.source, len(sides) - unused - kept, reason, cure)


def _differences(source: str, split: list[str]) -> tuple[Problem, ...]:
    """Where the course's split does not have the published numbers of clips."""
    counts = Counter(split)
    problems = difference(source, "clips of the course's split", len(split), sum(COURSE.values()))
    for side, published in COURSE.items():
        problems += difference(source, f"{side} clips of the course's split", counts[side], published)
    return problems
