"""The walk-through of docs/ is what its script makes: the same commands, run anew on fewer sounds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
SHORTER = "--set train.updates=4"
FREE = "--port 0"


def commands(page: str) -> list[str]:
    """The commands that a page shows as typed."""
    return re.findall(r"^\$ (.+)$", page, flags=re.MULTILINE)


def pictures(page: str) -> set[str]:
    """The pictures that a page shows."""
    return set(re.findall(r'(?:\]\(|src=")(walkthrough_\w+\.png)', page))


@pytest.mark.slow
def test_three_commands_lead_from_a_folder_to_a_map(tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not there: no page tested")
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("/usr/bin/chromium is missing: no page is tested")
    words = ["--out", str(tmp_path), "--clips", "64", "--train", SHORTER, "--explore", FREE]
    done = subprocess.run(
        [sys.executable, DOCS / "walkthrough.py", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made, kept = (tmp_path / "walkthrough.md").read_text(), (DOCS / "walkthrough.md").read_text()
    shown = commands(kept)
    assert [each.split()[1] for each in shown] == ["train", "index", "explore"]
    assert commands(made) == [f"{shown[0]} {SHORTER}", shown[1], f"{shown[2]} {FREE}"]
    assert "trained space" in made
    assert "64 vectors of 64 clips" in made
    assert pictures(made) == pictures(kept)
    for name in pictures(kept):
        with Image.open(tmp_path / name) as fresh, Image.open(DOCS / name) as old:
            assert fresh.size == old.size
            seen = fresh.convert("RGB").resize((64, 64)).getcolors(64 * 64) or ()
        assert len(seen) > 30, name  # not an empty page
