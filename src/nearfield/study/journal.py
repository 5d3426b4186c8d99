"""The journal of a study: what happened, in order, one checksummed line each; the record that survives kills.

A line is JSON: `sum`, the first 16 hexadecimal digits of sha256 over the rest in canonical form, then `kind`
and whatever that kind holds. Lines are only ever added, each on the disk before the next is begun, so that a
kill or a power cut can hurt none but the last.
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
    """A study's journal. `Journal(path)` reads what is there; only `Journal.open(path)` can add to it."""

    def __init__(self, path: Path) -> None:
        """Raises WorkError naming the line where one is damaged, other than by being cut short at the end."""
        self.path = path
        self._entries, self._length = _read(path)
        self._file: int | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """The journal as its only writer; a last line that a kill cut short is taken away.

        Raises RequestError where another process has it open, WorkError as reading does.
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
        """Adds a line and returns when it is on the disk. Raises WorkError where it cannot be written."""
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
                "Free space on its disk and start the study again: it goes on from here."
            ) from error
        self._length += len(line)
        self._entries.append(json.loads(line))

    def entries(self, kind: str) -> list[Entry]:
        """What lines of one kind hold, oldest first."""
        plain = [entry for entry in self._entries if entry["kind"] == kind]
        return [{name: v for name, v in entry.items() if name not in ("sum", "kind")} for entry in plain]

    def add_outcome(self, outcome: Outcome) -> None:
        """Notes how a task ended."""
        plain = asdict(outcome)
        self.add("outcome", **plain.pop("task"), **plain)

    def outcomes(self) -> dict[Task, Outcome]:
        """How each task ended; the last word where there are several, none where it is tried again."""
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
        """Takes the outcome of a task back."""
        self.add("again", arm=task.arm, seed=task.seed)


def _read(path: Path) -> tuple[list[Entry], int]:
    """The whole entries, and how many bytes they take."""
    data = path.read_bytes() if path.is_file() else b""
    length = data.rfind(b"\n") + 1  # what follows was cut short by a kill
    entries: list[Entry] = []
    for line in data[:length].split(b"\n")[:-1]:
        entry = _entry(line)
        if entry is None:
            raise WorkError(
                f"{path}, line {len(entries) + 1}: damaged: it does not fit its own checksum. Restore the "
                "file from a copy, or remove that line and start the study again: finished runs are found in "
                "their folders and are not trained again."
            )
        entries.append(entry)
    return entries, length


def _entry(line: bytes) -> Entry | None:
    """What a line holds, or None where it is not whole."""
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
