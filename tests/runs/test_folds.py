"""Official folds: a run each, the published sessions judged, and a table that numpy agrees with."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from nearfield.app.cli import app
from nearfield.core.errors import DataError, RequestError
from nearfield.data.layouts import official_folds
from nearfield.runs.folds import Folds, over_folds, train_folds
from nearfield.runs.recipe import Recipe
from tests.runs.conftest import small

RATE = 2000
PITCHES = {"cooking": 150.0, "eating": 600.0}
LABELS = {session: ("cooking", "eating")[session % 2] for session in range(1, 13)}
JUDGED = {fold: range(3 * fold - 2, 3 * fold + 1) for fold in (1, 2, 3, 4)}
RECIPE = Recipe.of(
    small(
        data={"sample_rate": RATE, "clip_seconds": 5.0},
        feature={"kind": "log_mel", "bands": 8},
        augment=[],
        train={"updates": 8},
        normalise={"kind": "none"},
        sampler={"kind": "balanced", "classes": 2, "per_class": 4},
    )
)


def names(session: int) -> list[str]:
    return [f"audio/DevNode1_ex{session}_{segment}.wav" for segment in (1, 2, 3)]


@pytest.fixture(scope="module")
def dcase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sessions of three tones in the published layout, three sessions judged in each of four folds."""
    folder = tmp_path_factory.mktemp("dcase")
    (folder / "audio").mkdir()
    (folder / "evaluation_setup").mkdir()
    rng, time = np.random.default_rng(0), np.arange(10 * RATE) / RATE
    rows = {}
    for session, label in LABELS.items():
        for name in names(session):
            pitch = PITCHES[label] * (1 + 0.05 * rng.standard_normal())
            wave = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.1 * rng.standard_normal(len(time))
            soundfile.write(folder / name, wave, RATE)
        rows[session] = [f"{name}\t{label}\tex{session}" for name in names(session)]
    write(folder / "meta.txt", [row for each in rows.values() for row in each])
    for fold, judged in JUDGED.items():
        setup = folder / "evaluation_setup"
        write(
            setup / f"fold{fold}_train.txt",
            [row for s, each in rows.items() if s not in judged for row in each],
        )
        write(setup / f"fold{fold}_evaluate.txt", [row for session in judged for row in rows[session]])
    return folder


def write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="module")
def trained(dcase: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folds, Path]:
    out = tmp_path_factory.mktemp("folds") / "out"
    return train_folds(RECIPE, f"dcase2018_task5:{dcase}", out, device="cpu"), out


def test_every_fold_judges_its_own_sessions(trained: tuple[Folds, Path]) -> None:
    found, out = trained
    assert found.folds == (1, 2, 3, 4)
    for fold, judged in JUDGED.items():
        sides = [line.split(",") for line in (out / f"fold-{fold}" / "split.csv").read_text().splitlines()]
        test = {cells[0] for cells in sides if cells[-1] == "test"}
        assert test == {name for session in judged for name in names(session)}


def test_the_table_is_numpys_of_the_runs(trained: tuple[Folds, Path]) -> None:
    found, out = trained
    results = [json.loads((out / f"fold-{fold}" / "result.json").read_text()) for fold in found.folds]
    for name in ("probe/macro_f1", "retrieval_from_train/recall_at_1", "baseline/mfcc_stats/probe/macro_f1"):
        values = [result["metrics"][name] for result in results]
        assert found.metrics[name].values == tuple(values)
        assert found.metrics[name].mean == pytest.approx(np.mean(values))
        assert found.metrics[name].deviation == pytest.approx(np.std(values, ddof=1))
    assert json.loads((out / "folds.json").read_text()) == json.loads(json.dumps(found.plain()))


def test_what_is_finished_is_not_trained_again_nor_mixed_with_another_recipe(
    trained: tuple[Folds, Path], dcase: Path
) -> None:
    found, out = trained
    before = {path: path.stat().st_mtime_ns for path in out.glob("fold-*/weights.safetensors")}
    assert train_folds(RECIPE, f"dcase2018_task5:{dcase}", out, device="cpu") == found
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(RequestError, match=r"another recipe: embedding.size differ"):
        train_folds(RECIPE.changed({"embedding.size": 4}), f"dcase2018_task5:{dcase}", out, device="cpu")


def test_the_command_shows_each_fold_mean_and_deviation(
    trained: tuple[Folds, Path], dcase: Path, tmp_path: Path
) -> None:
    found, out = trained
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.text())
    done = CliRunner().invoke(
        app,
        ["folds", str(recipe), "--data", str(dcase), "--out", str(out), "--device", "cpu"],
        env={"COLUMNS": "120"},
    )
    assert done.exit_code == 0, done.output
    (row,) = [line for line in done.output.splitlines() if "probe/macro_f1" in line]
    over = found.metrics["probe/macro_f1"]
    for value in (*over.values, over.mean, over.deviation):
        assert f"{value:.3f}" in row
    assert "mfcc stats" in done.output


def test_folds_are_those_of_the_layout_with_its_options_kept(dcase: Path, tmp_path: Path) -> None:
    told = official_folds(f"dcase2018_task5:{dcase}?audio={dcase}")
    assert told[3] == f"dcase2018_task5:{dcase}?audio={dcase}&fold=3"
    assert official_folds(str(dcase))[2] == f"dcase2018_task5:{dcase}?fold=2"
    assert official_folds(f"esc50:{tmp_path}")[4] == f"esc50:{tmp_path}?test_fold=4"
    for without in ("synthetic:tones", str(tmp_path)):
        with pytest.raises(DataError, match=r"no official folds .* dcase2018_task5"):
            official_folds(without)


def test_one_fold_has_no_deviation() -> None:
    assert over_folds([0.5]).deviation is None


def test_the_imitation_has_its_one_fold(real_data: object, tmp_path: Path) -> None:
    assert callable(real_data)
    formats = real_data("tag-formats")
    audio = formats.parent / "long-recordings"
    told = official_folds(f"dcase2018_task5:{formats / 'dcase2018-task5'}?audio={audio}")
    assert list(told) == [1]
    recipe = RECIPE.changed({"train.updates": 2, "sampler.classes": 4})
    found = train_folds(
        recipe, f"dcase2018_task5:{formats / 'dcase2018-task5'}?audio={audio}", tmp_path / "o"
    )
    assert found.metrics["probe/macro_f1"].deviation is None
