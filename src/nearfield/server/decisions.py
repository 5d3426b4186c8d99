"""Suspects, decisions on them, and curves of runs in training."""

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

# Suspects as `nearfield suspects` wrote them: its CSV table, or the JSON that it prints.


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
    """Rows with a kind; rows of people's own, which have none, are decisions and no suspects."""
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
        raise ValueError(f"a score is a number; given: {given}")
    return score


# What somebody decided about suspects: a patch table beside the collection, which stays as it is.
#
# decisions.csv has the columns id, kind, column, before, after, decision, reason, decided; `data.patches`
# reads it and says what a row does. The table grows at its end; undo takes its last row away.

COLUMNS = ("id", "kind", "column", "before", "after", "decision", "reason", "decided")


class ReviewDecision(BaseModel):
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

    def add(self, decision: ReviewDecision) -> int:
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


# The curves of runs that are being trained: lines of metrics.jsonl from where a client has read to.

_DEPTHS = ("", "*/", "*/*/", "*/*/*/")  # a study's runs are in runs/ARM/SEED
_READ = 2**20  # bytes of one answer
_TAIL = 2**13


@dataclass(frozen=True)
class Runs:
    """The runs in a folder: a run's own, or any that holds some, as a study's."""

    folder: Path

    def found(self) -> dict[str, RunFolder]:
        """Runs by name, which is their place in the folder, or its own name where it is a run itself."""
        places = [place.parent for depth in _DEPTHS for place in self.folder.glob(f"{depth}metrics.jsonl")]
        named = {place.relative_to(self.folder).as_posix(): place for place in places}
        if "." in named:  # which browsers would take out of an address
            named[self.folder.resolve().name] = named.pop(".")
        return {name: RunFolder(named[name]) for name in sorted(named)}

    def plain(self) -> list[dict[str, Any]]:
        """For each run its name, last line, kind of loss, number of updates, and how far it is."""
        return [_plain(name, run) for name, run in self.found().items()]

    def lines(self, name: str, after: int) -> tuple[list[dict[str, Any]], int]:
        """Whole lines from byte `after` on, at most a megabyte, and the byte to ask from next.

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
    """The last whole line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        lines = file.read().split(b"\n")[:-1]
    return next(filter(None, map(_read, reversed(lines))), None)


def _read(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is damaged, as a full disk leaves it."""
    try:
        found = json.loads(line, parse_constant=lambda _: None)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
