"""A table of clips: CSV, TSV, Parquet or JSON lines, by itself or in a folder under a usual name."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from nearfield.core.errors import DataError
from nearfield.core.settings import Settings
from nearfield.data.faults import Problem
from nearfield.data.listing import Listing
from nearfield.data.tables import SUFFIXES, TEXT, read_table

NAMES = tuple(f"{stem}{suffix}" for stem in ("labels", "metadata") for suffix in SUFFIXES)
"""Tables looked for in a folder, in this order."""


class Table(Settings):
    """A table with a column `path`, `file_name`, `filename` or the like; paths count from its folder.

    Understood as they come, in any case: label; tags (| between); split or fold; recording, group, speaker,
    source; start, begin or onset, end, stop or offset, seconds, duration or length, with a unit in the name
    where they are not in seconds (`start_ms`). A selection table of Raven, and labels of Audacity beside the
    sound that is called the same, are tables too.
    """

    kind: Literal["table"] = "table"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A file with a table's ending (`.txt` too), or a folder with `labels.csv` or the like in it."""
        return path.suffix.lower() in (*SUFFIXES, TEXT) if path.is_file() else bool(tables_in(path))

    def read(self, path: Path) -> Listing:
        """One row a clip. Raises DataError where there is no table or it cannot be read."""
        if path.is_file():
            return read_table(path)
        found = tables_in(path)
        if not found:
            raise DataError(f"{path}: there is no table in it. Known names: {', '.join(NAMES)}.")
        listing = read_table(found[0])
        return replace(listing, problems=listing.problems + unread_tables(found))


def tables_in(folder: Path) -> list[Path]:
    """The usual tables of a folder, the first of which is read."""
    return [folder / name for name in NAMES if (folder / name).is_file()]


def unread_tables(found: list[Path]) -> tuple[Problem, ...]:
    """A word on each table that lies beside the one that is read."""
    return tuple(
        Problem(
            "other_table",
            path.name,
            None,
            f"the table was not read, because {found[0].name} is there.",
            "To read it, give its own path.",
            "warning",
        )
        for path in found[1:]
    )
