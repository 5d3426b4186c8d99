"""The journal keeps every whole line through kills, and refuses a damaged one by name."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nearfield.core.errors import RequestError, WorkError
from nearfield.study.journal import Journal
from nearfield.study.records import Outcome, Task

ONE, TWO = Task("margin-0.3", 0), Task("margin-0.3", 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of three lines."""
    path = tmp_path / "study" / "journal.jsonl"
    with Journal.open(path) as journal:
        journal.add_outcome(Outcome(ONE, "failed", "the loss is no number: “NaN”", 1.5))
        journal.add("look", seeds=3, decided=False)
        journal.add_outcome(Outcome(TWO, "done", seconds=2.0))
    return path


def test_what_was_added_is_read_again(path: Path) -> None:
    expected = {ONE: Outcome(ONE, "failed", "the loss is no number: “NaN”", 1.5)}
    expected[TWO] = Outcome(TWO, "done", seconds=2.0)
    assert Journal(path).outcomes() == expected
    assert Journal(path).entries("look") == [{"seeds": 3, "decided": False}]
    assert Journal(path).entries("deviation") == []
    assert Journal(path.parent / "none.jsonl").outcomes() == {}


def test_the_last_word_on_a_task_counts(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.add_outcome(Outcome(ONE, "done"))
        assert journal.outcomes()[ONE].state == "done"
    assert Journal(path).outcomes()[ONE].state == "done"


def test_each_line_carries_its_checksum(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        given = entry.pop("sum")
        canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        assert given == hashlib.sha256(canonical.encode()).hexdigest()[:16]


def test_a_last_line_cut_anywhere_is_taken_away(path: Path) -> None:
    whole = path.read_bytes()
    first = whole.rstrip(b"\n").rindex(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        assert list(Journal(path).outcomes()) == [ONE]
        assert path.stat().st_size == length  # who only reads changes nothing
        with Journal.open(path) as journal:
            assert path.read_bytes() == whole[:first]
            journal.add_outcome(Outcome(TWO, "done", seconds=2.0))
        assert path.read_bytes() == whole


def test_a_damaged_earlier_line_is_refused_by_number(path: Path) -> None:
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for damaged in (lines[1].replace(b"3", b"4"), b"\n", b"[]\n", lines[1][: len(lines[1]) // 2]):
        path.write_bytes(lines[0] + damaged + lines[2])
        with pytest.raises(WorkError, match=r"journal\.jsonl, line 2: damaged.*Restore the file"):
            Journal(path)
        with pytest.raises(WorkError, match="line 2"), Journal.open(path):
            pass


def test_there_is_one_writer(path: Path) -> None:
    with Journal.open(path):
        with pytest.raises(RequestError, match="study: a study is already running in this folder"):
            Journal.open(path).__enter__()
        assert len(Journal(path).outcomes()) == 2  # reading is free
    with Journal.open(path):
        pass
    with pytest.raises(RuntimeError, match=r"Journal\.open"):
        Journal(path).add("look")


def test_a_full_disk_is_told_and_leaves_the_journal_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    write = os.write
    with Journal.open(path) as journal:
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
        with pytest.raises(WorkError, match="cannot be written"):
            journal.add("look")
        monkeypatch.undo()
        assert path.read_bytes() == before
        journal.add("look")
    assert len(Journal(path).entries("look")) == 2


WRITER = """
import sys
from pathlib import Path
from nearfield.study.journal import Journal

with Journal.open(Path(sys.argv[1])) as journal:
    for number in range(len(journal.entries("count")), 1_000_000):
        journal.add("count", number=number, filling="x" * 3000)
        print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_said_was_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    said = -1
    for pause in (0.0, 0.05, 0.13):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout
        first = int(child.stdout.readline())
        assert first >= said + 1
        time.sleep(pause)
        os.kill(child.pid, signal.SIGKILL)
        rest = child.communicate()[0].split("\n")[:-1]
        said = int(rest[-1]) if rest else first
        numbers = [entry["number"] for entry in Journal(path).entries("count")]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > said
