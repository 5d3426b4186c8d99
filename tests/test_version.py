"""One version: in pyproject.toml, the package, the command line, the changelog and a tag of this commit."""

import re
import subprocess
import tomllib
from pathlib import Path

from typer.testing import CliRunner

import nearfield
from nearfield.cli.main import app

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_all_say_the_same_version() -> None:
    assert nearfield.__version__ == VERSION
    assert CliRunner().invoke(app, ["--version"]).stdout == f"nearfield {VERSION}\n"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d{2}-\d{2}$", changes, re.MULTILINE)
    assert sections[0] == VERSION
    assert changes.index("## Unreleased") < changes.index(f"## {VERSION}")


def test_a_tag_of_this_commit_is_of_this_version() -> None:
    found = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    tags = [tag for tag in found.stdout.split() if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    assert tags in ([], [f"v{VERSION}"])


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout
