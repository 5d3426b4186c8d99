"""Many clients at once, by the command that measures it: no error, every kind answered, memory bounded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[2] / "benchmarks" / "clients.py"


@pytest.mark.slow
def test_64_clients_are_answered_without_an_error(spaces: tuple[Path, Path]) -> None:
    words = ["--space", str(spaces[0]), "--clients", "64", "--seconds", "4", "--json"]
    done = subprocess.run([sys.executable, CLIENTS, *words], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["errors"] == []
    assert found["all"]["requests"] >= 64
    assert len(found["kinds"]) == len(found["alone"]) == 8
    assert found["megabytes"]["most"] - found["megabytes"]["before"] < 200
