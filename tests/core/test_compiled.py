"""Machine code that stays: a second process finds it; where none may be kept the function still runs."""

import subprocess
import sys
from pathlib import Path
from types import FunctionType

from nearfield.core.compiled import compiled

LIBRARY = """
import numba

@numba.njit
def twice(number):
    return 2 * number
"""
PROGRAM = """
import library
from nearfield.core.compiled import compiled, cache_compiled

cache_compiled(library)
assert library.twice(21) == 42
print(sum(library.twice.stats.cache_hits.values()), sum(library.twice.stats.cache_misses.values()))
"""


def test_a_second_process_finds_what_the_first_compiled(tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text(LIBRARY)
    (tmp_path / "program.py").write_text(PROGRAM)
    said = [
        subprocess.run(
            [sys.executable, "program.py"], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert said == ["0 1\n", "1 0\n"]


def test_what_cannot_be_kept_is_compiled_all_the_same() -> None:
    code = compile("def half(number):\n    return number / 2\n", "<nowhere>", "exec")
    function = FunctionType(code.co_consts[0], {"__name__": "nowhere"}, "half")
    assert compiled(function)(3) == 1.5
