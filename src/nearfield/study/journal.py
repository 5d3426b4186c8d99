"""The journal of a study: an append-only log with one checksummed JSON line per event.

A line holds `sum` (the first 16 hexadecimal digits of SHA-256 over the rest in canonical form), `kind`, and
the fields of that kind. Each line is synced to disk before the next is written, so a kill or a power failure
can damage only the last line.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from nearfield.core.errors import WorkError
from nearfield.core.files import alone, sync_folder
from nearfield.study.records import Outcome, Task

Entry = dict[str, Any]


class Journal:
    """A study's journal. `Journal(path)` only reads; `Journal.open(path)` can also add lines."""

    def __init__(self, path: Path) -> None:
        """Reads the journal. Raises WorkError, with the line number, if a line is damaged.

        An incomplete last line is ignored.
        """
        self.path = path
        self._entries, self._length = _read(path)
        self._file: int | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Opens the journal for writing, with an exclusive lock, and removes an incomplete last line.

        Raises RequestError if another process has the lock, and WorkError if a line is damaged.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        busy = (
            f"{path.parent}: a study is already running in this folder. "
            "Wait until it ends or stop it, or choose another --out."
        )
        with alone(path.with_suffix(".lock"), busy):
            journal = cls(path)
            journal._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.ftruncate(journal._file, journal._length)
                os.fsync(journal._file)
                sync_folder(path.parent)
                yield journal
            finally:
                os.close(journal._file)
                journal._file = None

    def add(self, kind: str, **plain: Any) -> None:
        """Adds a line and syncs it to disk. Raises WorkError if it cannot be written."""
        if self._file is None:
            raise RuntimeError("this journal is for reading: use Journal.open")
        entry = {"kind": kind, **plain}
        line = _canonical({"sum": _sum(entry), **entry}) + b"\n"
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(0, "the line did not fit")
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._length)
            raise WorkError(
                f"{self.path}: cannot be written: {error.strerror}. "
                "Free space on its disk and start the study again: it continues from here."
            ) from error
        self._length += len(line)
        self._entries.append(json.loads(line))

    def entries(self, kind: str) -> list[Entry]:
        """The fields of all lines of one kind, oldest first."""
        plain = [entry for entry in self._entries if entry["kind"] == kind]
        return [{name: v for name, v in entry.items() if name not in ("sum", "kind")} for entry in plain]

    def add_outcome(self, outcome: Outcome) -> None:
        """Adds the outcome of a task."""
        plain = asdict(outcome)
        self.add("outcome", **plain.pop("task"), **plain)

    def outcomes(self) -> dict[Task, Outcome]:
        """The latest outcome of each task, without tasks that are to be retried."""
        found: dict[Task, Outcome] = {}
        for entry in self._entries:
            if entry["kind"] not in ("outcome", "again"):
                continue
            plain = {name: v for name, v in entry.items() if name not in ("sum", "kind")}
            task = Task(plain.pop("arm"), plain.pop("seed"))
            if entry["kind"] == "again":
                found.pop(task, None)
            else:
                found[task] = Outcome(task, **plain)
        return found

    def try_again(self, task: Task) -> None:
        """Revokes the outcome of a task."""
        self.add("again", arm=task.arm, seed=task.seed)


def _read(path: Path) -> tuple[list[Entry], int]:
    """The complete entries, and their total length in bytes."""
    data = path.read_bytes() if path.is_file() else b""
    length = data.rfind(b"\n") + 1  # a kill can leave an incomplete last line
    entries: list[Entry] = []
    for line in data[:length].split(b"\n")[:-1]:
        entry = _entry(line)
        if entry is None:
            raise WorkError(
                f"{path}, line {len(entries) + 1}: damaged: it does not match its checksum. Restore the file "
                "from a copy, or remove that line and start the study again: finished runs are found in "
                "their folders and are not trained again."
            )
        entries.append(entry)
    return entries, length


def _entry(line: bytes) -> Entry | None:
    """The entry of a line, or None if the line is damaged."""
    try:
        entry: Any = json.loads(line)
        whole = {name: value for name, value in entry.items() if name != "sum"}
        is_whole = entry["sum"] == _sum(whole) and "kind" in entry
    except (ValueError, AttributeError, KeyError):
        return None
    return entry if is_whole else None


def _sum(entry: Entry) -> str:
    return hashlib.sha256(_canonical(entry)).hexdigest()[:16]


def _canonical(value: Entry) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode()
