"""The page docs/extend.md does what it says: its blocks run, its package is installed and trained with."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from nearfield.cli.families import HOMES, members_of
from nearfield.core.settings import family_of

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = list(re.finditer(r"```(\w+)\n(.*?)```", TEXT, flags=re.S))


def files() -> dict[str, str]:
    """The files of the package, each put together from the blocks that begin with its name."""
    found: dict[str, str] = {}
    for block in BLOCKS:
        if named := re.match(r"# (\S+\.\w+)\n", block[2]):
            found[named[1]] = found.get(named[1], "") + block[2]
    return found


def test_the_page_runs() -> None:
    names: dict[str, Any] = {"__name__": "extend"}
    python = [block for block in BLOCKS if block[1] == "python"]
    assert len(python) >= 12
    for block in python:
        before = TEXT[: block.start(2)].count("\n")
        exec(compile("\n" * before + block[2], str(PAGE), "exec"), names)


def test_a_loss_is_fifteen_lines() -> None:
    """From the class to the end of its method, without blank lines and the sentence that describes it."""
    block = re.search(r"class Lifted.*?```", TEXT, flags=re.S)
    assert block is not None
    lines = [line for line in block[0].splitlines()[:-1] if line.strip() and '"""' not in line]
    assert len(lines) <= 15


def urbansound(folder: Path) -> None:
    """Two clips of two classes in each of ten folds, as UrbanSound8K lies on disk."""
    rng, time = np.random.default_rng(0), np.arange(8000) / 16000
    lines = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for number in range(40):
        label, fold = number % 2, number % 10 + 1
        name = f"{1000 + number}-{label}-0-0.wav"
        wave = 0.1 * np.sin(6.28 * (300 + 900 * label) * time) + 0.02 * rng.standard_normal(8000)
        place = folder / "audio" / f"fold{fold}" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(place, wave, 16000)
        lines.append(f"{name},{1000 + number},30.0,30.5,1,{fold},{label},{['siren', 'drilling'][label]}")
    (folder / "metadata").mkdir()
    (folder / "metadata" / "UrbanSound8K.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_the_package_of_the_page_is_installed_listed_and_trained_with(tmp_path: Path) -> None:
    package = files()
    assert set(package) == {"my_package.py", "pyproject.toml", "mine.yaml"}
    for name, text in package.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    urbansound(tmp_path / "UrbanSound8K")
    words = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", "site", "."]
    subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True, cwd=tmp_path)
    found = filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(found)}

    def run(command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", *command.split()],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    (shell,) = (block[2] for block in BLOCKS if block[1] == "sh")
    install, listing, training = (line.split(" #")[0].strip() for line in shell.splitlines())
    assert install.startswith("pip install")
    losses = run(listing)
    assert "Distance beyond which negatives cost little." in losses
    assert "Of my-package 0.1: lifted." in losses
    run(f"{training} --set train.updates=4 --set sampler.classes=2 --set data.clip_seconds=0.4")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert 0 < result["metrics"]["rank/reciprocal_rank"] <= 1
    assert "rank/reciprocal_rank" in result["intervals"]


def test_the_table_of_families_is_whole_and_true() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| `(nearfield[\w.]+)` \|", TEXT, flags=re.M))
    assert list(rows) == list(HOMES)
    for family, base in rows.items():
        module, _, name = base.rpartition(".")
        found = family_of(members_of(family))
        assert found is not None
        assert found.base is getattr(import_module(module), name)
