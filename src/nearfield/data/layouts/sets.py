"""ESC-50, ESC-10 and spoken digits, by their published tables or file names."""

import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field

from nearfield.core.errors import DataError
from nearfield.data.faults import Problem
from nearfield.data.layouts.base import BaseLayout, audio_root
from nearfield.data.listing import Listing, search
from nearfield.data.tables import read_table

# ESC-50 and ESC-10 as published: `meta/esc50.csv` and `audio/`, or file names with fold and class.
#
# K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015.

_ESC50_NAME = re.compile(r"(?P<fold>\d+)-(?P<recording>\d+)-(?P<take>[A-Z]+)-(?P<label>\d+)")
_META = Path("meta", "esc50.csv")
_NEEDED = ("filename", "fold", "category")


class Esc50(BaseLayout):
    """ESC-50 and ESC-10 with five published folds; clips from one Freesound recording form a group."""

    kind: Literal["esc50"] = "esc50"
    test_fold: int = Field(5, ge=1, le=5)
    """Fold for test."""
    val_fold: int | None = Field(None, ge=1, le=5)
    """Fold for val; None means the one before `test_fold` (5 is before 1). The others are train."""
    audio: Path | None = None
    """Folder with the sounds, if it is not the folder `audio` next to `meta`."""

    has_folds: ClassVar[bool] = True

    @classmethod
    def folds(cls, path: Path) -> dict[int, dict[str, str]]:
        """Returns the published folds, with the options that make each one test."""
        return {number: {"test_fold": str(number)} for number in range(1, 6)}

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether `path` is a folder with `meta/esc50.csv`."""
        return (path / _META).is_file()

    def read(self, path: Path) -> Listing:
        """Reads one row per clip. Raises DataError if there is no table and no file with such a name."""
        val_fold = self.val_fold or (self.test_fold - 2) % 5 + 1
        if val_fold == self.test_fold:
            raise DataError(f"esc50: fold {val_fold} cannot be both test and val. Use two different folds.")
        listing = self._from_table(path) if self.recognises(path) else self._from_names(path)
        splits = {str(self.test_fold): "test", str(val_fold): "val"}
        split = [splits.get(cell, "train") for cell in map(str, listing.table["fold"])]
        return replace(listing, table=listing.table.assign(split=split))

    def _from_table(self, path: Path) -> Listing:
        listing = read_table(path / _META)
        missing = [name for name in _NEEDED if name not in listing.table]
        if missing:
            found = ", ".join(map(str, listing.table))
            raise DataError(f"{path / _META}: there is no column {missing[0]!r}. Columns found: {found}.")
        names = {"filename": "path", "category": "label", "src_file": "recording"}
        base = audio_root(path, self.audio, "esc50") if self.audio else path / "audio"
        return replace(listing, table=listing.table.rename(columns=names), base=base)

    def _from_names(self, path: Path) -> Listing:
        base = audio_root(path, self.audio, "esc50")
        found = search(base)
        matches = [(file, _ESC50_NAME.fullmatch(file.stem)) for file in found.sounds]
        rows = [{"path": file.as_posix(), **match.groupdict()} for file, match in matches if match]
        if not rows:
            raise DataError(
                f"{path}: there is no {_META.as_posix()} in it and no sound called like 1-100032-A-0.wav "
                "(fold, recording, take, class)."
            )
        others = tuple(_not_esc50(file) for file, match in matches if not match)
        table = pd.DataFrame(rows, dtype=object)
        return Listing(table, base, (None,) * len(rows), path.name, found.problems() + others, "sound")


def _not_esc50(file: Path) -> Problem:
    reason = "its name is not fold-recording-take-class, as in 1-100032-A-0."
    return Problem("name", file.as_posix(), None, reason, "Rename it or take it away.")


# Spoken digits named `{digit}_{speaker}_{index}`, as in the Free Spoken Digit Dataset.

_DIGIT_NAME = re.compile(r"(?P<label>\d)_(?P<speaker>[^_]+)_(?P<index>\d+)")


class SpokenDigits(BaseLayout):
    """Ten digits by several speakers; each speaker is a group.

    https://github.com/Jakobovski/free-spoken-digit-dataset
    """

    kind: Literal["spoken_digits"] = "spoken_digits"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Returns False, because other sounds may have such names."""
        return False

    def read(self, path: Path) -> Listing:
        """Reads one row per sound. Raises DataError if no file has such a name."""
        found = search(path)
        matches = [(file, _DIGIT_NAME.fullmatch(file.stem)) for file in found.sounds]
        rows = [{"path": file.as_posix(), **match.groupdict()} for file, match in matches if match]
        if not rows:
            raise DataError(
                f"{path}: no sound in it is called like 7_jackson_32.wav (digit, speaker, index)."
            )
        others = tuple(_not_a_digit(file) for file, match in matches if not match)
        table = pd.DataFrame(rows, dtype=object)
        return Listing(table, path, (None,) * len(rows), path.name, found.problems() + others, "sound")


def _not_a_digit(file: Path) -> Problem:
    reason = "its name is not digit_speaker_index, as in 7_jackson_32."
    return Problem("name", file.as_posix(), None, reason, "Rename it or take it away.")
