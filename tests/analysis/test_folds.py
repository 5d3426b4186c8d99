"""Folds, official and dealt: a run each, the published sessions judged, a table that numpy agrees with."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console
from typer.testing import CliRunner

from nearfield.analysis.run_table import Folds, over_folds, train_folds
from nearfield.cli.analysis import fold_table
from nearfield.cli.main import app
from nearfield.core.errors import DataError, RequestError
from nearfield.data.layouts import official_folds
from nearfield.data.splits import read_split_file
from nearfield.space.export.huggingface import CardFacts as CardFacts
from nearfield.space.export.huggingface import model_card
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch
from tests.training.conftest import small

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
        normalize={"kind": "none"},
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


def asked(dcase: Path, out: Path) -> Request:
    return Request(RECIPE, f"dcase2018_task5:{dcase}", out, device="cpu")


@pytest.fixture(scope="module")
def trained(dcase: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folds, Path]:
    out = tmp_path_factory.mktemp("folds") / "out"
    return train_folds(asked(dcase, out)), out


def test_every_fold_judges_its_own_sessions(trained: tuple[Folds, Path]) -> None:
    found, out = trained
    assert found.folds == (1, 2, 3, 4)
    for fold, judged in JUDGED.items():
        table = read_split_file(out / f"fold-{fold}" / "split.csv")
        test = {clip for clip, side in table.items() if side == "test"}
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
    assert train_folds(asked(dcase, out)) == found
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(RequestError, match=r"another recipe: embedding.size differ"):
        train_folds(replace(asked(dcase, out), recipe=RECIPE.changed({"embedding.size": 4})))


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
    (row,) = [line for line in done.output.splitlines() if line.strip().startswith("probe F1")]
    over = found.metrics["probe/macro_f1"]
    for value in (*over.values, over.mean, over.deviation):
        assert f"{value:.3f}" in row
    assert "MFCC statistics" in done.output


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
    imitation = f"dcase2018_task5:{formats / 'dcase2018-task5'}?audio={audio}"
    found = train_folds(Request(recipe, imitation, tmp_path / "o"))
    assert found.metrics["probe/macro_f1"].deviation is None


def test_a_cross_validation_judges_every_clip_but_those_of_test(chords: Path, tmp_path: Path) -> None:
    tagger = small(
        relation={"kind": "tags"}, sampler={"kind": "shuffle", "batch_size": 8}, loss={"kind": "bce"}
    )
    recipe = Recipe.of(tagger | {"train": {"updates": 4, "validate_every": 2, "keep": "best"}})
    found = train_folds(Request(recipe, str(chords), tmp_path / "out", device="cpu"), over=3)
    assert (found.over, found.folds) == (3, (1, 2, 3))
    given = pd.read_csv(chords / "labels.csv").set_index("path")["split"]
    judged: list[str] = []
    for fold in found.folds:
        run = RunFolder(tmp_path / "out" / f"fold-{fold}")
        sides = pd.read_csv(run.split, comment="#", keep_default_na=False).set_index("id")["split"]
        assert set(sides[given[given == "test"].index]) == {""}
        assert set(sides) == {"", "train", "val", "test"}
        judged += sides[sides == "test"].index.tolist()
        assert run.environment()["data"]["split_from"].startswith(f"fold {fold} of 3 of train and val; given")
        assert (
            evaluate_run(run)["metrics"] == run.result()["metrics"]
        )  # opened again, it judges the same clips
    assert sorted(judged) == sorted(given[given != "test"].index)
    table = " ".join(printed(found).split())  # how long the folder's name is decides where the title breaks
    assert "train and val in 3 folds" in table
    assert "MFCC statistics" in table


def printed(found: Folds) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(fold_table(found))
    return out.getvalue()


def test_a_run_of_a_fold_judges_other_clips_by_their_own_split(chords: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(
        small(
            relation={"kind": "views"}, sampler={"kind": "views", "batch_size": 8}, loss={"kind": "nt_xent"}
        )
    )
    run = tmp_path / "run"
    launch(Request(recipe.changed({"data.fold": {"of": 2, "number": 2}}), str(chords), run, device="cpu"))
    shutil.copytree(chords, tmp_path / "other")
    other = evaluate_run(RunFolder(run), data=str(tmp_path / "other"), with_baselines=False)
    given = pd.read_csv(chords / "labels.csv")["split"]
    assert other["metrics"]["retrieval/tag_queries"] == (given == "test").sum()
    assert other["data"]["judged"] == "test clips"
    own = evaluate_run(RunFolder(run), with_baselines=False)
    assert own["data"]["judged"] == "clips of fold 2 of 2 of train and val"
    card = model_card(Run.load(run), CardFacts("a name", None, None))
    assert f"On the clips of fold 2 of 2 of train and val of {chords.name}" in card
    assert "split: clips of fold 2 of 2 of train and val" in card


def test_a_group_on_two_sides_is_no_leak_once_folds_are_dealt(chords: Path, tmp_path: Path) -> None:
    table = pd.read_csv(chords / "labels.csv").assign(group=[f"g{number // 4}" for number in range(48)])
    shutil.copytree(chords, tmp_path / "leaking")
    table.to_csv(tmp_path / "leaking/labels.csv", index=False)
    recipe = Recipe.of(
        small(
            relation={"kind": "views"}, sampler={"kind": "views", "batch_size": 8}, loss={"kind": "nt_xent"}
        )
    )
    begun = Request(recipe, str(tmp_path / "leaking"), tmp_path / "run", device="cpu")
    with pytest.raises(DataError, match="12 groups occur in more than one split"):
        launch(begun)
    launch(replace(begun, recipe=recipe.changed({"data.fold.of": 3, "data.fold.number": 1})))
    assert RunFolder(tmp_path / "run").environment()["data"]["leaks"] == []


def test_one_fold_and_all_folds_at_once_are_refused(dcase: Path, tmp_path: Path) -> None:
    one = replace(asked(dcase, tmp_path), recipe=RECIPE.changed({"data.fold.of": 3}))
    with pytest.raises(RequestError, match=r"data\.fold: the recipe sets one fold, but --over asks for all"):
        train_folds(one, over=3)
