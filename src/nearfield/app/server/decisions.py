"""What somebody decided about suspects: a patch table beside the collection, which stays as it is.

decisions.csv has the columns id, kind, column, before, after, decision, reason, decided; `data.patches` reads
it and says what a row does. The table grows at its end; undo takes its last row away.
"""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nearfield.core.errors import RequestError
from nearfield.core.files import write_text
from nearfield.data.locks import locked
from nearfield.data.patches import table_text, text_rows

COLUMNS = ("id", "kind", "column", "before", "after", "decision", "reason", "decided")


class Decision(BaseModel):
    """One decision about one suspect."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(max_length=4096)
    """The clip."""
    kind: str = Field(max_length=64)
    """The kind of suspicion: label, tag_wrong, tag_missing, duplicate, silent, ..."""
    column: Literal["label", "tags", "use"]
    """What is changed where it is accepted."""
    before: str = Field("", max_length=1024)
    """What stands there."""
    after: str = Field("", max_length=1024)
    """What should stand there."""
    decision: Literal["accepted", "rejected"]
    """accepted: the suspicion was right; rejected: all stays as it is."""
    reason: str = Field("", max_length=1024)
    """Why it was a suspect, or what the listener notes."""


class Decisions:
    """The table in a file, one writer at a time, whichever server it belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path.with_name(f".{path.name}.lock")

    def rows(self) -> list[dict[str, str]]:
        """All rows, the oldest first. Raises RequestError where the file is no such table."""
        if not self.path.is_file():
            return []
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                names, rows = tuple(reader.fieldnames or ()), text_rows(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise RequestError(
                f"{self.path} cannot be read ({error}). Mend it, or name another file: --decisions NEW.csv"
            ) from None
        if names != COLUMNS:
            raise RequestError(
                f"{self.path}: the columns are not {', '.join(COLUMNS)}, so these are no decisions made in "
                "the page. Name another file: --decisions NEW.csv. (A list of suspects goes to --suspects.)"
            )
        return rows

    def add(self, decision: Decision) -> int:
        """Appends one; how many there are now."""
        row = {**decision.model_dump(), "decided": datetime.now(UTC).isoformat(timespec="seconds")}
        with locked(self._lock):
            return self._write([*self.rows(), row])

    def undo(self) -> dict[str, str] | None:
        """Takes the last one back and gives it; None where there is none."""
        with locked(self._lock):
            rows = self.rows()
            if not rows:
                return None
            self._write(rows[:-1])
            return rows[-1]

    def text(self) -> str:
        """The table as CSV."""
        return table_text(COLUMNS, self.rows())

    def _write(self, rows: list[dict[str, str]]) -> int:
        write_text(self.path, table_text(COLUMNS, rows))
        return len(rows)
