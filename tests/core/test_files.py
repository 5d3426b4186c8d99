"""Files are whole or not there, whatever happens while they are written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nearfield.core.files import replacing, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_killed_writer_leaves_whole_files(tmp_path: Path) -> None:
    """A process that rewrites a file without end, killed at some moment, leaves one of its versions."""
    target = tmp_path / "a.txt"
    script = (
        "import sys; from pathlib import Path; from nearfield.core.files import write_text\n"
        "number = 0\n"
        "while True:\n"
        "    write_text(Path(sys.argv[1]), str(number % 10) * 200_000); number += 1\n"
    )
    for wait in (0.02, 0.05, 0.11):
        writer = subprocess.Popen([sys.executable, "-c", script, str(target)])
        while not target.exists():
            time.sleep(0.01)
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        text = target.read_text()
        assert len(text) == 200_000
        assert len(set(text)) == 1
        target.unlink()


@pytest.mark.skipif(os.name == "nt", reason="no file modes")
def test_a_file_keeps_its_mode_and_a_new_one_has_that_of_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    before = os.umask(0o027)
    try:
        write_text(target, "new")
        plain = tmp_path / "plain.txt"
        plain.write_text("as any program writes")
        assert target.stat().st_mode == plain.stat().st_mode
        target.chmod(0o664)
        write_text(target, "again")
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o664
