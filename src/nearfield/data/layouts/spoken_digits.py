"""Spoken digits called `{digit}_{speaker}_{index}`, as in the Free Spoken Digit Dataset."""

import re
from pathlib import Path
from typing import Literal

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.settings import Settings
from nearfield.data.faults import Problem
from nearfield.data.listing import Listing
from nearfield.data.search import search

_NAME = re.compile(r"(?P<label>\d)_(?P<speaker>[^_]+)_(?P<index>\d+)")


class SpokenDigits(Settings):
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
        matches = [(file, _NAME.fullmatch(file.stem)) for file in found.sounds]
        rows = [{"path": file.as_posix(), **match.groupdict()} for file, match in matches if match]
        if not rows:
            raise DataError(
                f"{path}: no sound in it is called like 7_jackson_32.wav (digit, speaker, index)."
            )
        others = tuple(_stranger(file) for file, match in matches if not match)
        table = pd.DataFrame(rows, dtype=object)
        return Listing(table, path, (None,) * len(rows), path.name, found.problems() + others, "sound")


def _stranger(file: Path) -> Problem:
    reason = "its name is not digit_speaker_index, as in 7_jackson_32."
    return Problem("name", file.as_posix(), None, reason, "Rename it or take it away.")
