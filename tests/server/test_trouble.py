"""Errors of the system are a sentence and an exit code; outputs take any text."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nearfield.cli import main as cli
from nearfield.cli.output import expanded, print_anything, print_json
from nearfield.core.errors import RequestError, WorkError, in_words
from nearfield.core.files import replacing, write_text
from nearfield.data.packs import writing_to


def failing(path: Path, text: str = "a") -> OSError:
    """The error of the system where this cannot be written."""
    with pytest.raises(OSError) as raised:
        write_text(path, text)
    return raised.value


def test_real_errors_of_the_system_are_sentences_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    said = in_words(failing(tmp_path / "file" / "out.json"))
    assert isinstance(said, RequestError)
    assert str(said) == f"{tmp_path}/file: a file of this name exists already. Give another name."
    said = in_words(failing(tmp_path / ("n" * 300)))
    assert "longer than the disk allows" in str(said)
    assert len(str(said)) < 300
    with pytest.raises(OSError) as raised, open("/dev/full", "w") as full:
        full.write("a" * 100_000)
    said = in_words(raised.value)
    assert isinstance(said, WorkError)
    assert "no space is left" in str(said)


@pytest.mark.parametrize(
    ("number", "told", "code"),
    [
        (errno.ENOSPC, "no space is left", 1),
        (errno.EROFS, "its disk is read-only", 1),
        (errno.EACCES, "permission was denied", 1),
        (errno.ENOTDIR, "a part of this path is a file", 2),
        (errno.ENAMETOOLONG, "longer than the disk allows", 2),
        (errno.EMFILE, "ulimit -n", 1),
        (errno.EBUSY, os.strerror(errno.EBUSY), 1),
    ],
)
def test_the_command_line_says_them_and_ends_with_a_code(
    number: int, told: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    part = f"/somewhere/.result.json.{'0a' * 8}.part"

    def fails(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number), part)

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    shown = capsys.readouterr().err
    assert shown.startswith("nearfield: /somewhere/result.json: ")
    assert told in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "error", [MemoryError("std::bad_alloc"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1")]
)
def test_too_little_memory_is_a_sentence(error: Exception) -> None:
    assert "memory of this machine is not sufficient" in str(in_words(error))
    assert in_words(RuntimeError("something else")) is None


def test_a_home_that_cannot_be_written_names_the_cache(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    cache = tmp_path / "home" / ".cache" / "nearfield"
    with pytest.raises(WorkError, match="set NEARFIELD_CACHE to a folder"), writing_to(cache, 0):
        cache.mkdir(parents=True)


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/full")
    for place in (Path("/dev/full"), tmp_path / "pipe", tmp_path / "folder", tmp_path / "link"):
        with pytest.raises(RequestError, match="a folder, a device or a pipe"), replacing(place):
            pass
    assert Path("/dev/full").is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_a_full_standard_output_is_told_and_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nearfield", "--version"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == (
        "nearfield: a file or standard output: no space is left on its disk. Free some space, or give a path "
        "on another disk.\n"
    )


def test_outputs_of_other_encodings_take_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, encoding="latin-1"))
    print_anything()
    print("0.75–0.96 café → 犬")
    print_json({"label": "犬 – é"})
    sys.stdout.flush()
    line, plain = held.getvalue().decode("latin-1").splitlines()
    assert line == "0.75-0.96 café -> ?"
    assert json.loads(plain) == {"label": "犬 – é"}


def test_half_characters_of_file_names_stay_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"path": "caf\udce9"})
    assert json.loads(capsys.readouterr().out) == {"path": "caf\udce9"}


def test_the_home_folder_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = ["--out=~/x", "~/x", "~", "--where=a = '~'", "a~/b", "--out=~x", "--set", "data.patch=~/p.csv"]
    wanted = ["--out=/home/me/x", "/home/me/x", "/home/me", "--where=a = '~'", "a~/b", "--out=~x"]
    assert [expanded(word) for word in given] == [*wanted, "--set", "data.patch=~/p.csv"]
