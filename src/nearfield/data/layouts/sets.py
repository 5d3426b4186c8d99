"""ESC-50, ESC-10 and spoken digits, by their published tables or file names."""

import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field

from nearfield.core.errors import DataError
from nearfield.data.faults import Problem
from nearfield.data.layouts.base import BaseLayout
from nearfield.data.layouts.published import audio_root
from nearfield.data.listing import Listing, search
from nearfield.data.tables import read_table

# ESC-50 and ESC-10 as published: `meta/esc50.csv` beside `audio/`, or names that say everything.
#
# K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015.

_ESC50_NAME = re.compile(r"(?P<fold>\d+)-(?P<recording>\d+)-(?P<take>[A-Z]+)-(?P<label>\d+)")
_META = Path("meta", "esc50.csv")
_NEEDED = ("filename", "fold", "category")


class Esc50(BaseLayout):
    """Five published folds; clips cut from one Freesound recording are kept together."""

    kind: Literal["esc50"] = "esc50"
    test_fold: int = Field(5, ge=1, le=5)
    """Fold that judges."""
    val_fold: int | None = Field(None, ge=1, le=5)
    """Fold that chooses; None means the one before `test_fold` (before 1 comes 5). The others train."""
    audio: Path | None = None
    """Folder with the sounds, where it is not `audio` beside `meta`."""

    has_folds: ClassVar[bool] = True

    @classmethod
    def folds(cls, path: Path) -> dict[int, dict[str, str]]:
        """The published folds, and the options that have each judge."""
        return {number: {"test_fold": str(number)} for number in range(1, 6)}

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A folder with `meta/esc50.csv`."""
        return (path / _META).is_file()

    def read(self, path: Path) -> Listing:
        """One row a clip. Raises DataError where there is neither the table nor a file with such a name."""
        val_fold = self.val_fold or (self.test_fold - 2) % 5 + 1
        if val_fold == self.test_fold:
            raise DataError(f"esc50: fold {val_fold} cannot both choose and judge. Take two different folds.")
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


# Spoken digits called `{digit}_{speaker}_{index}`, as in the Free Spoken Digit Dataset.

_DIGIT_NAME = re.compile(r"(?P<label>\d)_(?P<speaker>[^_]+)_(?P<index>\d+)")


class SpokenDigits(BaseLayout):
    """Ten digits by several speakers; a speaker stays on one side of the split.

    https://github.com/Jakobovski/free-spoken-digit-dataset
    """

    kind: Literal["spoken_digits"] = "spoken_digits"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Only taken by name: other sounds may be called so too."""
        return False

    def read(self, path: Path) -> Listing:
        """One row a sound. Raises DataError where no file is called so."""
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
