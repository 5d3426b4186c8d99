"""`nearfield listen`, `explain`, `compare`, `runs` and `similar` as a script and as a person sees them."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from nearfield.cli import analysis as explaining
from nearfield.cli.listening import listen
from nearfield.core.errors import RequestError
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch
from tests.training.conftest import small


@pytest.fixture(scope="module")
def runs(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    for seed in (0, 1):
        recipe = Recipe.of(small(train={"updates": 4}, normalize={"kind": "none"}))
        launch(Request(recipe, str(tones), folder / f"r{seed}", seed=seed, device="cpu"))
        evaluate_run(RunFolder(folder / f"r{seed}"), with_baselines=False)
    return folder


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    made = typer.Typer()
    for command in (explaining.explain, explaining.compare, explaining.runs, explaining.similar):
        made.command()(command)
    made.add_typer(listen, name="listen")
    return made


def said(app: typer.Typer, *words: str | int | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    if done.exception is not None:
        raise done.exception
    return done.stdout


def told(app: typer.Typer, *words: str | int | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(app, *words, "--json"))
    return found


def test_explain_tells_people_and_scripts_the_same(app: typer.Typer, runs: Path, tmp_path: Path) -> None:
    found = told(app, "explain", runs / "r0", "--out", tmp_path / "e")
    assert json.loads((tmp_path / "e" / "explain.json").read_text()) == found
    assert {Path(path).name for path in found["figures"]} >= {"classes.png", "clip-3.png", "neighbours-3.png"}
    text = said(app, "explain", runs / "r0")
    elbow = found["clusters"]["spaces"]["whole"]["found"][0]
    assert f"{elbow['purity']:.3f}" in text
    assert "Quietest cluster" in text
    assert "Centroids of 4 labels" in text


def test_compare_and_runs(app: typer.Typer, runs: Path, tmp_path: Path) -> None:
    found = told(app, "compare", runs / "r0", runs / "r1", "--out", tmp_path)
    assert found["settings"] == {"seed": [0, 1]}
    assert (tmp_path / "compare.png").is_file()
    text = said(app, "compare", runs / "r0", runs / "r1")
    for row in found["classes"]:
        assert f"{row['difference']:+.3f}" in text
    listed = told(app, "runs", runs, "--where", "seed=1")
    assert [row["run"] for row in listed["runs"]] == ["r1"]
    table = said(app, "runs", runs, "--sort", "seed")
    assert table.index("r1") < table.index("r0")


def test_similar(app: typer.Typer, tones: Path) -> None:
    first, second, other = tones / "a/0.wav", tones / "a/1.wav", tones / "d/0.wav"
    near = told(app, "similar", first, second, "--rate", "8000")
    far = told(app, "similar", first, other, "--rate", "8000")
    assert near["per_step"] < far["per_step"]
    assert f"similarity {near['similarity']:.3f}" in said(app, "similar", first, second, "--rate", "8000")


def test_listen(app: typer.Typer, runs: Path, tmp_path: Path) -> None:
    run, out = runs / "r0", tmp_path
    song = told(app, "listen", "centre", run, "a", "--out", out / "a.wav", "--count", "3")
    assert len(song["clips"]) == 3
    assert {clip["label"] for clip in song["clips"]} == {"a"}
    assert str(out / "n.csv") in said(app, "listen", "neighbourhood", run, "a/0.wav", "--out", out / "n.flac")
    walked = told(app, "listen", "walk", run, "a", "d", "--out", out / "w.wav", "--stops", "5")
    assert len(walked["to_target"]) == 5
    assert Path(walked["picture"]).is_file()
    assert "smoothness" in said(app, "listen", "walk", run, "a", "d", "--out", out / "w.wav")
    listed = told(app, "listen", "playlist", run, "a/0.wav", "--count", "12")
    played = [clip["id"] for clip in listed["clips"]]
    rated = told(app, "listen", "rate", run, *played)
    assert rated["mean"] == pytest.approx(rated["playlist"], abs=1e-5)
    steps = [step["distance"] for step in rated["transitions"]]
    assert steps == pytest.approx([clip["distance"] for clip in listed["clips"][1:]], abs=1e-5)
    assert f"mean distance {rated['mean']:.3f}" in said(app, "listen", "rate", run, *played)
    assert len({clip["id"] for clip in listed["clips"]}) == 12
    assert listed["audio"] is None
    answers = told(app, "listen", "algebra", run)["labels"]["answers"]
    assert len(answers) == 4 * 3 + 6
    assert "random answers would" in said(app, "listen", "algebra", run)
    with pytest.raises(RequestError, match="label or tag 'e'"):
        said(app, "listen", "centre", run, "e", "--out", out / "e.wav")


def test_triplets_of_a_recipe_and_of_its_run(
    app: typer.Typer, runs: Path, tones: Path, tmp_path: Path
) -> None:
    recipe = runs / "r1" / "recipe.yaml"
    given = told(
        app, "listen", "triplets", recipe, "--data", tones, "--seed", 1, "--count", 1, "--out", tmp_path / "a"
    )
    found = told(app, "listen", "triplets", runs / "r1", "--count", 1, "--out", tmp_path / "b")
    assert given["triplets"] == found["triplets"]
    assert [Path(path).name for path in found["files"]][:4] == [
        "triplet-1.png", "triplet-1-anchor.wav", "triplet-1-positive.wav", "triplet-1-negative.wav"
    ]  # fmt: skip
    assert all(Path(path).stat().st_size for path in found["files"])
    text = said(app, "listen", "triplets", runs / "r1", "--count", 1, "--out", tmp_path / "b")
    assert found["triplets"][0]["negative"]["id"] in text
    with pytest.raises(RequestError, match="Omit --set and --seed"):
        said(app, "listen", "triplets", runs / "r1", "--seed", 1, "--out", tmp_path / "d")
    with pytest.raises(RequestError, match="Give --data"):
        said(app, "listen", "triplets", recipe, "--out", tmp_path / "d")


def test_listening_tests(app: typer.Typer, runs: Path, tmp_path: Path) -> None:
    page, key = tmp_path / "form.html", tmp_path / "apart" / "key.json"
    made = told(app, "listen", "form", runs / "r0", "--out", page, "--key", key, "--anchors", "3")
    assert made["pairs"] == 12
    rows = [f"{made['form']},ann,{each['pair']},{1 + at % 10}" for at, each in enumerate(_pairs(key))]
    (tmp_path / "ann.csv").write_text("\n".join(["form,rater,pair,rating", *rows]) + "\n")
    found = told(app, "listen", "form-analyse", tmp_path / "ann.csv", "--key", key)
    assert found["answers"] == 12
    text = said(app, "listen", "form-analyse", tmp_path / "ann.csv", "--key", key)
    assert "12 answers of 1 listener" in text
    assert f"{found['differences'][0]['difference']:+.2f}" in text


def _pairs(key: Path) -> list[dict[str, Any]]:
    pairs: list[dict[str, Any]] = json.loads(key.read_text())["pairs"]
    return pairs
