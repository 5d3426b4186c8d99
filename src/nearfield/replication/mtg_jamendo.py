"""MTG-Jamendo: 55,000 tracks with 195 tags of genre, instrument and mood, with the published splits.

D. Bogdanov et al., "The MTG-Jamendo Dataset for Automatic Music Tagging", ICML 2019 workshop;
https://github.com/MTG/mtg-jamendo-dataset
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator

from nearfield.core.errors import DataError
from nearfield.data.faults import Problem
from nearfield.data.layouts.base import BaseLayout, audio_root
from nearfield.data.listing import Listing
from nearfield.replication.published_tables import by_frequency, dropped, present_files, tab_lines

ALL = "autotagging.tsv"
_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_CELLS = ("track", "artist", "album", "path", "duration")
_Row = tuple[int, str, list[str]]
"""Number of the line, split, and cells."""


class MtgJamendo(BaseLayout):
    """Reads tables such as `splits/split-0/autotagging-train.tsv`: one track per line, one column per tag.

    Tags keep their category (`instrument---piano`) and are sorted by frequency, ties by name. All tracks of
    an artist belong to one split, as in the published splits."""

    kind: Literal["mtg_jamendo"] = "mtg_jamendo"
    split: int | None = Field(0, ge=0, le=4)
    """Number of the published split, 0 to 4; none: all tracks of `autotagging.tsv`, and a split by artists is
    made."""
    category: Literal["genre", "instrument", "mood/theme"] | None = None
    """Category of the tags; tracks without such a tag are left out. none: all categories."""
    group: Literal["artist", "album", "track"] | None = None
    """What must not be divided between splits; none: artist, or track if there is only one artist."""
    audio: Path | None = None
    """Folder of the sounds; none: the folder of the set."""

    @field_validator("split", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Returns whether the folder, or its folder `data`, contains `autotagging.tsv`."""
        return (_tables(path) / ALL).is_file()

    def read(self, path: Path) -> Listing:
        """Reads one row per track. Raises DataError if a table is missing or no track has a tag of
        `category`."""
        base = audio_root(path, self.audio, self.kind)
        source = ALL if self.split is None else f"split-{self.split}"
        rows = list(self._rows(_tables(path), path))
        whole = [row for row in rows if len(row[2]) >= len(_CELLS)]
        tags = [self._tags(cells) for _, _, cells in whole]
        kept = [number for number, own in enumerate(tags) if own]
        if not kept:
            wanted = f"of the category {self.category!r} " if self.category else ""
            raise DataError(
                f"{path}: no track of {source} has a tag {wanted}(category---tag). Use another category."
            )
        problems = _problems(source, len(rows) - len(whole), len(whole) - len(kept))
        return self._listing(base, source, [whole[n] for n in kept], [tags[n] for n in kept], problems)

    def _rows(self, tables: Path, given: Path) -> Iterator[_Row]:
        if self.split is None:
            yield from _read(tables / ALL, "")
            return
        folder = tables / "splits" / f"split-{self.split}"
        if not folder.is_dir():
            raise DataError(
                f"{given}: there is no splits/split-{self.split} in it. Use another split, for example "
                "?split=0, or ?split=none to make a split."
            )
        for word, split in _SPLITS.items():
            yield from _read(folder / f"autotagging-{word}.tsv", split)

    def _tags(self, cells: list[str]) -> tuple[str, ...]:
        prefix = f"{self.category}---" if self.category else ""
        return tuple(dict.fromkeys(tag for tag in cells[len(_CELLS) :] if tag and tag.startswith(prefix)))

    def _listing(
        self,
        base: Path,
        source: str,
        rows: list[_Row],
        tags: list[tuple[str, ...]],
        problems: tuple[Problem, ...],
    ) -> Listing:
        table = pd.DataFrame([cells[: len(_CELLS)] for _, _, cells in rows], columns=_CELLS, dtype=object)
        table = table.drop(columns="duration").assign(
            path=present_files(list(table["path"]), base, (".low.mp3",)),
            tags=pd.Series(tags, dtype=object),
            split=[split for _, split, _ in rows],
            recording=table["track"],
        )
        group = self.group or ("artist" if table["artist"].nunique() > 1 else "track")
        return Listing(
            table.assign(group=table[group]),
            base,
            tuple(line for line, _, _ in rows),
            source,
            problems,
            "sound",
            tags=by_frequency(tags),
            split_from="" if self.split is None else f"split {self.split} of MTG-Jamendo",
        )


def _tables(path: Path) -> Path:
    """Returns the folder of the tables: the given one, or `data` in it, as in the repository."""
    return path / "data" if (path / "data" / ALL).is_file() else path


def _read(file: Path, split: str) -> Iterator[_Row]:
    """Yields the lines below the header."""
    for number, cells in tab_lines(file, 0):
        if cells[0] != "TRACK_ID":
            yield number, split, cells


def _problems(source: str, ragged: int, untagged: int) -> tuple[Problem, ...]:
    reason = f"lines with fewer than {len(_CELLS)} cells are left out"
    first = dropped("ragged", source, ragged, reason, "Copy the tables again.")
    reason = "tracks without a tag of the category are left out"
    return first + dropped("untagged", source, untagged, reason, "Use all categories to include more tracks.")
