"""The command line as a script sees it: one JSON object, exit codes, quick help."""

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from nearfield.cli.main import examine
from tests.training.conftest import small


def nearfield(*words: str, code: int = 0, cwd: Path | None = None) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "nearfield", *words], capture_output=True, text=True, env=environment, cwd=cwd
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.slow
def test_check_train_and_evaluate_print_one_json_object(tones: Path, tmp_path: Path) -> None:
    found = json.loads(nearfield("check", str(tones), "--json"))
    assert found["clips"]["all"] == 40
    assert set(found["labels"]) == set("abcd")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(yaml.safe_dump(small(train={"updates": 3})))
    words = ["train", str(recipe), "--data", str(tones), "--out", str(tmp_path / "run"), "--json"]
    trained: dict[str, Any] = json.loads(nearfield(*words))
    judged = json.loads(nearfield("evaluate", str(tmp_path / "run"), "--json"))
    assert judged["metrics"] == pytest.approx(trained["metrics"], abs=1e-6)
    kept = (tmp_path / "run/result.json").read_bytes()
    other = json.loads(nearfield("evaluate", str(tmp_path / "run"), "--split", "val", "--json"))
    assert other["split"] == "val"
    assert (tmp_path / "run/result.json").read_bytes() == kept


def test_check_says_two_when_nothing_can_be_trained_on(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.wav").write_bytes(b"nothing")
    nearfield("check", str(tmp_path), code=2)


def test_check_takes_the_columns_of_a_recipe(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
    for number in range(12):
        soundfile.write(tmp_path / f"{number}.wav", noise[number:], 8000)
    rows = [f"{number}.wav,{'ab'[number % 2]},0.25" for number in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,sort,until", *rows]))
    words = ("check", str(tmp_path), "--json", "--set", "data.label=sort", "--set", "data.end=until")
    found = json.loads(nearfield(*words))
    assert sorted(found["labels"]) == ["a", "b"]
    assert found["hours"] * 3600 == pytest.approx(3.0)
    none = json.loads(nearfield(*words, "--set", "data.label=false"))
    assert none["labels"] == {}
    nearfield(*words, "--set", "loss.margin=1", code=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train",), r"stopped(?: after update \d+)?; continue with the same command and --resume"),
        (("study", "run"), "stopped; the same command continues"),
    ],
)
def test_ctrl_c_says_how_to_go_on(words: tuple[str, ...], said: str, tones: Path, tmp_path: Path) -> None:
    plain = small(train={"updates": 10_000_000, "checkpoint_seconds": 3600})
    asked = (
        {"recipe": plain, "question": "How long?", "vary": {"loss.margin": [0.1, 0.3]}}
        if "study" in words
        else plain
    )
    asking, out = tmp_path / "asked.yaml", tmp_path / "out"
    asking.write_text(yaml.safe_dump(asked))
    command = [*words, str(asking), "--data", str(tones), "--out", str(out)]
    errors = tmp_path / "errors.txt"
    with errors.open("w") as told:
        child = subprocess.Popen(
            [sys.executable, "-m", "nearfield", *command, "--device", "cpu"],
            stderr=told,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        give_up = time.monotonic() + 120
        while not any(log.stat().st_size for log in out.rglob("metrics.jsonl")):
            assert child.poll() is None, errors.read_text()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        assert child.wait(120) == 130
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert re.fullmatch(f"nearfield: {said}", errors.read_text().strip().splitlines()[-1])


def test_list_and_doctor() -> None:
    families = json.loads(nearfield("list", "--json"))
    assert {"triplet", "circle", "supcon"} <= set(families["losses"])
    assert {"audio", "test_fold", "val_fold"} == set(families["layouts"]["esc50"]["settings"])
    for family, members in families.items():
        for kind, about in members.items():
            assert about["about"], f"{family} {kind} says nothing of itself"
            for key, setting in about["settings"].items():
                assert setting["about"], f"{family} {kind}.{key} has no sentence"
    found = json.loads(nearfield("doctor", "--json"))
    assert {"torch", "formats", "cache", "precision"} <= set(found)
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"]) - {"all", "dev", "docs"}
    assert {each.split()[0] for each in found["extras"].split(", ")} == extras


def test_doctor_shows_a_wrong_bound_of_the_cache_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_CACHE_GB", "much")
    assert "use a number of GB, or none for no limit. Given: 'much'." in examine()["cache"]


def test_doctor_names_the_device_that_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert examine()["device"] == "mps"


def test_a_space_opens_without_what_only_other_commands_need() -> None:
    script = (
        "import sys; import nearfield.space.space, nearfield.space.query\n"
        "heavy = {'lancedb', 'scipy', 'sklearn', 'numba', 'umap', 'matplotlib', 'transformers'}\n"
        "heavy = (heavy | {'nearfield.space.indexing', 'nearfield.training.trainer'}) & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_runs_embed_and_tag_without_what_only_measures_need() -> None:
    script = (
        "import sys; import nearfield.training.tagging, nearfield.space.vector_file\n"
        "heavy = {'scipy', 'sklearn', 'umap', 'lancedb'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; import nearfield.cli.main\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "train" in nearfield("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5  # it takes half a second
