"""Compiled code is kept on disk, said to be there when it is, and done without where nothing can be kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEARCH = """
import sys
import numba
from numba.core import caching
if sys.argv[1] == "nowhere":
    caching.FunctionCache._impl_class._locator_classes = []
import numpy as np
from nearfield.space import nearest, screening
vectors = np.eye(64, dtype=np.float32)[np.arange(5000) % 64]
print(screening.is_compiled(), nearest.is_ready(4096), nearest.is_ready(4097))
found = nearest.Nearest.of(vectors).search(vectors[3], 2)[0]
nearest.Nearest.of(vectors).search_many(vectors[:2], 2)
print(found.tolist(), sum(len(each.overloads) for each in (screening.screen_each, screening.settle_each)))
print(screening.is_compiled())
"""


def lines(folder: Path, where: str = "there") -> list[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, where], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_first_search_of_a_machine_leaves_its_code_for_the_next_one(tmp_path: Path) -> None:
    first = lines(tmp_path)
    assert first == ["False True False", "[3, 67] 2", "True"]  # single and many searches share their code
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert lines(tmp_path) == ["True True True", "[3, 67] 2", "True"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == made


@pytest.mark.slow
def test_where_code_cannot_be_kept_it_is_made_each_time(tmp_path: Path) -> None:
    assert lines(tmp_path, "nowhere") == ["False True False", "[3, 67] 2", "False"]
    assert not list(tmp_path.rglob("*.nbc"))


def test_a_full_disk_is_an_error_and_no_signal(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np; from pathlib import Path; from nearfield.space.codes import write_codes\n"
        "try: write_codes(Path(sys.argv[1]), np.ones((40_000, 64), np.float32))\n"
        "except OSError as error: sys.exit(error.strerror)"
    )
    small = 'mount -t tmpfs -o size=1m none "$0" || exit 77; exec "$1" -c "$2" "$0"'
    words = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        small,
        str(tmp_path),
        sys.executable,
        script,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no small disk can be made here")
    assert (done.returncode, done.stderr.strip()) == (1, "No space left on device")
