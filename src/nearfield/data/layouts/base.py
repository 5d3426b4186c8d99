"""What all layouts share: how they recognize a folder, and what they make of it."""

from pathlib import Path
from typing import ClassVar

from nearfield.core.settings import Family, Settings
from nearfield.data.listing import Listing


class BaseLayout(Settings):
    """What every layout extends: a frozen class with `kind`, its settings, `recognises` and `read`.

    A layout whose sounds may lie elsewhere than its tables has a setting `audio`, the folder with them.
    """

    kind: str
    general: ClassVar[bool] = False
    """Whether it takes any collection of its form; those of one published set are asked before it."""
    of_table: ClassVar[bool] = False
    """Whether it reads a table that lies in the folder, which might be read without."""

    has_folds: ClassVar[bool] = False
    """Whether its set has official folds, which `folds` lists."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a path without a name of a layout is read by this one; False: only taken by name."""
        return False

    @classmethod
    def folds(cls, path: Path) -> dict[int, dict[str, str]]:
        """The set's official folds by number, and the options that have each judge."""
        return {}

    @classmethod
    def options_for(cls, path: Path) -> str:
        """The options, "?key=value", that read the set at `path` where the usual ones do not."""
        return ""

    def read(self, path: Path) -> Listing:
        """One row a clip. Raises DataError where `path` is not of this layout."""
        raise NotImplementedError


LAYOUTS = Family("layouts", BaseLayout)
"""All kinds of layouts; the list is `Layout`, in this package's `__init__`."""
