"""`Listing`: rows as a layout found them, before any sound was looked at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from nearfield.data.faults import Problem

Kind = Literal["sound", "picture"]


@dataclass(frozen=True)
class Listing:
    """What a layout hands to the collection: a table with a column `path` or `file_name`."""

    table: pd.DataFrame
    """Columns as they came; paths relative to `base`, or absolute."""
    base: Path
    lines: tuple[int | None, ...]
    """For each row its line in the source table, the header being line 1; None where there is no table."""
    source: str
    """Name of the table or folder, for messages."""
    problems: tuple[Problem, ...] = ()
    """What the layout itself left out."""
    kind: Kind | None = None
    """None where the names of the files decide."""
    moments: tuple[float | None, ...] = ()
    """For each row when its file begins on its recording's clock, in seconds; () where no row says."""
    least_seconds: float = 0.0
    """Files shorter than this were cut off, and are left out."""
    tags: tuple[str, ...] = ()
    """The order in which tags are numbered; those that it does not name follow by name."""
    split_from: str = ""
    """What gives the split, in words; "" for a column or the names of the files."""
    elsewhere: str = ""
    """DATA that says that the sounds lie in another FOLDER; "" where the layout cannot be told."""
    label_from: str = ""
    """What gives the label, in words, where it is the names of folders; "" for a column."""
    instead: str = ""
    """DATA that reads the same folder without its table; "" where there is none."""
