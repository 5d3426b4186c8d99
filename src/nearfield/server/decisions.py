"""Suspects, decisions on them, and training curves of runs."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nearfield.core.errors import RequestError
from nearfield.core.files import locked, write_text
from nearfield.data.patches import table_text, text_rows
from nearfield.training.run_folder import RunFolder

# Suspects from `nearfield suspects`: its CSV table or its JSON.


def read_suspects(path: Path) -> list[dict[str, Any]]:
    """Suspects of a CSV table, or of a JSON file: a list, or an object with one as `suspects`.

    What somebody decided in the table stays with each as `decision`. Raises RequestError.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return _of_table(text) if path.suffix.lower() == ".csv" else _of_json(text)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path} holds no suspects ({type(error).__name__}: {error}). "
            f"Make it: nearfield suspects RUN --out suspects.csv"
        ) from None


def _of_json(text: str) -> list[dict[str, Any]]:
    found = json.loads(text)
    listed = found["suspects"] if isinstance(found, dict) else found
    return [
        {**each, "id": str(each["id"]), "kind": str(each["kind"]), "score": _score(each["score"])}
        for each in listed
    ]


def _of_table(text: str) -> list[dict[str, Any]]:
    """Rows with a kind; rows without one were added by hand and are decisions, not suspects."""
    rows = text_rows(csv.DictReader(io.StringIO(text, newline="")))
    return [_suspect(row) for row in rows if row["kind"]]


def _suspect(row: Mapping[str, str]) -> dict[str, Any]:
    words = ("id", "kind", "column", "before", "after", "decision", "reason", "suggestion")
    proposed = row["after"] or row["before"] if row["column"] != "use" else None
    plain = {name: row.get(name) or "" for name in words}
    return {**plain, "score": _score(row["score"]), "proposed": proposed, "other": row.get("other") or None}


def _score(given: Any) -> float:
    score = float(given)
    if not math.isfinite(score):
        raise ValueError(f"a score must be a number. Given: {given}")
    return score


# Decisions on suspects: a patch table next to the collection, which is not changed.
#
# decisions.csv has the columns id, kind, column, before, after, decision, reason, decided; `data.patches`
# applies it. Decisions are appended; undo removes the last row.

COLUMNS = ("id", "kind", "column", "before", "after", "decision", "reason", "decided")


class ReviewDecision(BaseModel):
    """A decision on a suspect."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(max_length=4096)
    """The clip."""
    kind: str = Field(max_length=64)
    """The kind of suspicion: label, tag_wrong, tag_missing, duplicate, silent, ..."""
    column: Literal["label", "tags", "use"]
    """The column that is changed if the suspicion is accepted."""
    before: str = Field("", max_length=1024)
    """The present value."""
    after: str = Field("", max_length=1024)
    """The proposed value."""
    decision: Literal["accepted", "rejected"]
    """accepted: the suspicion was right; rejected: nothing is changed."""
    reason: str = Field("", max_length=1024)
    """The reason of the suspicion, or a note of the listener."""


class Decisions:
    """The table in a file; a lock allows one writer at a time, also across servers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path.with_name(f".{path.name}.lock")

    def rows(self) -> list[dict[str, str]]:
        """All rows, oldest first. Raises RequestError if the file is not such a table."""
        if not self.path.is_file():
            return []
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                names, rows = tuple(reader.fieldnames or ()), text_rows(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise RequestError(
                f"{self.path} cannot be read ({error}). Repair it, or give another file: --decisions NEW.csv"
            ) from None
        if names != COLUMNS:
            raise RequestError(
                f"{self.path}: a table of decisions has the columns {', '.join(COLUMNS)}, this one others. "
                "Give another file: --decisions NEW.csv. (Give a list of suspects as --suspects.)"
            )
        return rows

    def add(self, decision: ReviewDecision) -> int:
        """Appends a decision; returns their number."""
        row = {**decision.model_dump(), "decided": datetime.now(UTC).isoformat(timespec="seconds")}
        with locked(self._lock):
            return self._write([*self.rows(), row])

    def undo(self) -> dict[str, str] | None:
        """Removes the last decision and returns it; None if there is none."""
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


# Training curves: lines of metrics.jsonl from a byte offset on.

_DEPTHS = ("", "*/", "*/*/", "*/*/*/")  # a study's runs are in runs/ARM/SEED
_READ = 2**20  # bytes of one answer
_TAIL = 2**13


@dataclass(frozen=True)
class Runs:
    """The runs in a folder: a single run, or a folder of runs such as a study."""

    folder: Path

    def found(self) -> dict[str, RunFolder]:
        """Runs by name: the path below the folder, or the name of the folder if it is a run itself."""
        places = [place.parent for depth in _DEPTHS for place in self.folder.glob(f"{depth}metrics.jsonl")]
        named = {place.relative_to(self.folder).as_posix(): place for place in places}
        if "." in named:  # browsers remove it from an address
            named[self.folder.resolve().name] = named.pop(".")
        return {name: RunFolder(named[name]) for name in sorted(named)}

    def plain(self) -> list[dict[str, Any]]:
        """For each run its name, last line, kind of loss, number of updates, and progress."""
        return [_plain(name, run) for name, run in self.found().items()]

    def lines(self, name: str, after: int) -> tuple[list[dict[str, Any]], int]:
        """Complete lines from byte `after` on, at most a megabyte, and the offset of the next request.

        A file that has become shorter was taken back to a checkpoint: its lines come from the start, and
        updates that a client knows already come again. Damaged lines are passed over. Raises RequestError
        for a name that is not a run.
        """
        runs = self.found()
        if name not in runs:
            raise RequestError(f"There is no run {name!r} in {self.folder.name}.")
        path = runs[name].metrics
        begin = after if 0 <= after <= path.stat().st_size else 0
        with path.open("rb") as file:
            file.seek(begin)
            read = file.read(_READ)
        whole = read[: read.rfind(b"\n") + 1]
        return [*filter(None, map(_read, whole.split(b"\n")))], begin + len(whole)


def _plain(name: str, run: RunFolder) -> dict[str, Any]:
    last = _last(run.metrics)
    try:
        recipe = run.recipe()
        facts: dict[str, Any] = {"updates": recipe.train.updates, "loss": recipe.loss.kind}
    except (RequestError, OSError):
        facts = {"updates": None, "loss": None}
    state = "judged" if run.is_evaluated else "trained" if run.is_trained else "training"
    return {"name": name, "state": state, **facts, "last": last}


def _last(path: Path) -> dict[str, Any] | None:
    """The last complete line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        lines = file.read().split(b"\n")[:-1]
    return next(filter(None, map(_read, reversed(lines))), None)


def _read(line: bytes) -> dict[str, Any] | None:
    """A parsed line; None if it is damaged, for example after a full disk."""
    try:
        found = json.loads(line, parse_constant=lambda _: None)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
