"""What every test may ask for: the real sets, where they are present, and a private cache folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Tests share the cores, so a clock says nothing of one example.
settings.register_profile("shared", deadline=None)
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
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps decoded sound of tests out of the user's own cache."""
    os.environ["NEARFIELD_CACHE"] = str(tmp_path_factory.mktemp("cache"))
