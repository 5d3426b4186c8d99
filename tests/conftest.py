"""What every test may ask for: the real sets, where they are present, and a private cache folder."""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Tests share the cores, so a clock says nothing of one example, nor of how long it took to draw some.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

REAL = Path(os.environ.get("NEARFIELD_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder of a real set by name; skips the test, visibly, where it is missing."""

    def find(name: str) -> Path:
        folder = REAL / name
        if not folder.is_dir():
            pytest.skip(f"real data missing: {folder} (set NEARFIELD_TEST_DATA to the folder that holds it)")
        return folder

    return find


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """Ctrl-C interrupts also where the tests run in the background: shells let such programs ignore it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_chance() -> None:
    """What a test draws without a seed of its own is the same whichever tests went before it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps decoded sound of tests out of the user's own cache."""
    os.environ["NEARFIELD_CACHE"] = str(tmp_path_factory.mktemp("cache"))
