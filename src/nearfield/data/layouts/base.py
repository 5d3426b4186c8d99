"""Base class of layouts, which recognize and read folders of clips."""

from pathlib import Path
from typing import ClassVar

from nearfield.core.errors import DataError
from nearfield.core.settings import Family, Settings
from nearfield.data.listing import Listing


class BaseLayout(Settings):
    """Base class of layouts: a frozen class with `kind`, settings, `recognises` and `read`.

    A layout whose sounds may be in another folder than its tables has a setting `audio` with that folder.
    """

    kind: str
    general: ClassVar[bool] = False
    """Whether it reads any collection of its form; layouts of published sets are tried before."""
    of_table: ClassVar[bool] = False
    """Whether it reads a table in a folder that could also be read without the table."""

    has_folds: ClassVar[bool] = False
    """Whether its set has official folds, which `folds` lists."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this layout reads `path` if no layout is named; False: only if it is named."""
        return False

    @classmethod
    def folds(cls, path: Path) -> dict[int, dict[str, str]]:
        """Returns the official folds by number, with the options that make each one test."""
        return {}

    @classmethod
    def options_for(cls, path: Path) -> str:
        """Returns the options, "?key=value", needed to read the set at `path`; "" if none are."""
        return ""

    def read(self, path: Path) -> Listing:
        """Reads a listing with one row per clip. Raises DataError if `path` does not have this layout."""
        raise NotImplementedError


LAYOUTS = Family("layouts", BaseLayout)
"""All layouts; the list is `Layout`, in the `__init__` of this package."""


def audio_root(path: Path, audio: Path | None, layout: str) -> Path:
    """Returns the folder that paths are relative to: that of the set, or `audio`.

    `audio` is relative to the working directory or to the folder of the set. Raises DataError if there is no
    such folder.
    """
    if audio is None:
        return path
    places = dict.fromkeys([audio.expanduser(), path / audio])
    found = [place for place in places if place.is_dir()]
    if not found:
        looked = " and ".join(str(place) for place in places)
        raise DataError(f"{layout}: audio: there is no folder {looked}. Give the folder with the sounds.")
    return found[0].resolve()
