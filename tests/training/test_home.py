"""~ is the home folder wherever a path is given to the library, as it is in shells."""

import shutil
from pathlib import Path

import pytest

from nearfield import Recipe, Run, Space, evaluate, train
from tests.training.conftest import small


def test_every_path_may_begin_at_the_home_folder(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    shutil.copytree(tones, home / "tones")
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(elsewhere)
    (home / "r.yaml").write_text(Recipe.of(small(train={"updates": 2})).text())
    train("~/r.yaml", "~/tones", "~/run", device="cpu")
    assert evaluate("~/run", "~/tones").metrics
    run = Run.load("~/run")
    assert run.encode("~/tones/a/0.wav").shape == (1, 8)
    Space.create(run, "~/tones", "~/space")
    assert Space.load("~/space").search("~/tones/a/0.wav", 3)
    assert list(elsewhere.iterdir()) == []
    assert {path.name for path in home.iterdir()} == {"tones", "r.yaml", "run", "space"}
