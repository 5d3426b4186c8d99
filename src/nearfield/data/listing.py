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
