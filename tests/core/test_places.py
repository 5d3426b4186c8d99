"""Folders that were mixed up are told apart, and the advice harms none of them."""

import json
from pathlib import Path

import pytest

from nearfield.core.errors import RequestError
from nearfield.core.files import Place, check_free, not_there, place_of


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("run", "space", "study", "sounds", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "run/recipe.yaml").write_text("loss: {}")
    (tmp_path / "run/environment.json").write_text(json.dumps({"data": {"given": "my sounds"}}))
    (tmp_path / "space/space.json").write_text(json.dumps({"run": "runs/first"}))
    (tmp_path / "study/plan.json").write_text("{}")
    (tmp_path / "sounds/a.wav").write_bytes(b"RIFF")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "place"),
    [(name, name) for name in ("run", "space", "study", "empty")]
    + [("sounds", "other things"), ("sounds/a.wav", "other things"), ("nowhere", "missing")],
)
def test_a_folder_is_told_by_what_it_holds(here: Path, name: str, place: Place) -> None:
    assert place_of(here / name) == place


def test_advice_never_writes_into_a_folder_that_holds_things(here: Path) -> None:
    for wanted in ("run", "space", "study"):
        for name in ("run", "space", "study", "sounds"):
            said = str(not_there(wanted, here / name))
            assert f"--out {here / name}" not in said.split()
            assert not said.endswith(f"--out {here / name}")
    assert str(not_there("run", here / "space")).endswith("Give the run that made it: runs/first")
    said = str(not_there("space", here / "run"))
    assert said.endswith(f"nearfield index {here / 'run'} --data 'my sounds' --out {here / 'run'}-space")
    (here / "run-space").mkdir()
    assert str(not_there("space", here / "run")).endswith("--out NEW_SPACE")
    assert str(not_there("study", here / "run")).endswith(f"nearfield explain {here / 'run'}")
    assert str(not_there("run", here / "new")).endswith(f"--out {here / 'new'}")


def test_a_run_begins_in_a_folder_of_its_own(here: Path) -> None:
    for name in ("run", "empty", "nowhere"):
        check_free(here / name)
    (here / "empty/split.csv").write_text("cut by a kill")
    check_free(here / "empty")
    for name in ("space", "study", "sounds", "sounds/a.wav"):
        with pytest.raises(RequestError, match="Give a new one"):
            check_free(here / name)


def test_a_study_begins_in_a_folder_of_its_own_and_no_leavings_of_a_run(here: Path) -> None:
    for name in ("study", "empty", "nowhere"):
        check_free(here / name, "study")
    for name, held in (("space", "is a space"), ("run", "is a run"), ("sounds", "holds other things")):
        with pytest.raises(RequestError, match=f"it {held}.*, but a study needs its own folder"):
            check_free(here / name, "study")
    (here / "empty/plan.json.1.part").write_text("cut by a kill")
    check_free(here / "empty", "study")
    (here / "empty/split.csv").write_text("a run's")
    with pytest.raises(RequestError, match="it holds other things"):
        check_free(here / "empty", "study")
