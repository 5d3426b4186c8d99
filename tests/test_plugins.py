"""A package with a kind for every family and with metrics, installed into a folder of its own.

The package is tests/far_away. Its kinds are listed, trained with, and named where they are wrong.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nearfield.cli.families import HOMES

SOURCE = Path(__file__).parent / "far_away"
ENTRIES = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["entry-points"]
RECIPE = """
data: {sample_rate: 4000, clip_seconds: 0.2}
feature: {kind: far_energy}
normalize: {kind: far_half}
augment: [{kind: far_quiet}]
backbone: {kind: far_linear}
embedding: {size: 8}
relation: {kind: far_labels}
sampler: {kind: far_shuffle}
miner: {kind: far_all}
loss: {kind: far_away, margin: MARGIN}
optimizer: {kind: far_descent}
schedule: {kind: far_fall}
train: {updates: 3, validate_every: 0}
"""
STUDY = """
question: Which margin is better?
recipe: good.yaml
vary: {loss.margin: [0.2, 0.5]}
seeds: 2
judge: ranks/reciprocal
meaningful: 0.01
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the package is installed, with sounds in its layout and recipes."""
    home = tmp_path_factory.mktemp("plugin")
    shutil.copytree(SOURCE, home / "source")
    words = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(home / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *words, str(home / "source")], check=True)
    (home / "sounds").mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        wave = 0.1 * (1 + number % 2) * rng.standard_normal(1000)
        soundfile.write(home / "sounds" / f"{'ab'[number % 2]}_{number}.wav", wave, 4000)
    (home / "good.yaml").write_text(RECIPE.replace("MARGIN", "0.5"))
    (home / "wide.yaml").write_text(RECIPE.replace("MARGIN", "4.5"))
    return home


def said(place: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command that finds the package."""
    paths = [str(place / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "nearfield", *words],
        cwd=place, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def listed(place: Path) -> tuple[str, str]:
    """What `nearfield list` and `nearfield list metrics` show, and their warnings."""
    shown = [said(place, "list"), said(place, "list", "metrics")]
    assert [code for code, _, _ in shown] == [0, 0], shown
    out, err = (
        " ".join(" ".join(texts).split()) for texts in zip(*(each[1:] for each in shown), strict=True)
    )
    return out, err


def test_the_package_has_a_kind_for_every_family() -> None:
    assert set(ENTRIES) == {f"nearfield.{family}" for family in (*HOMES, "metrics")}


@pytest.mark.parametrize("family", [*HOMES, "metrics"])
def test_every_family_lists_the_kind_of_a_package(family: str, listed: tuple[str, str]) -> None:
    kind = next(iter(ENTRIES[f"nearfield.{family}"]))
    assert f"Of far-away 1.2: {kind}." in listed[0]


@pytest.mark.parametrize(
    "fault",
    [
        "'gone' of far-away 1.2 (far_away:Gone) cannot be loaded: AttributeError: module 'far_away' has no",
        "'lost' of far-away 1.2 (far_away:LOST) cannot be loaded: AttributeError",
        "'probe' of far-away 1.2 (far_away:PROBE) is left out: nearfield has a family of that name.",
        "'wrong' of far-away 1.2 (far_away:WRONG) calls itself 'false': the entry point and the prefix",
        "'lower' of far-away 1.2 (far_away:LOWER) has the metric 'error' with the direction 'lower': only",
    ],
)
def test_what_is_broken_is_named_and_hides_nothing(fault: str, listed: tuple[str, str]) -> None:
    assert f"The plug-in {fault}" in listed[1]
    assert " triplet " in listed[0]
    assert "Negatives beyond a margin, positives together." in listed[0]


@pytest.mark.slow
def test_a_recipe_of_such_kinds_trains_and_their_metrics_are_measured(place: Path) -> None:
    code, _, err = said(place, "train", "good.yaml", "--data", "far_folder:sounds", "--out", "run")
    assert code == 0, err
    result = json.loads((place / "run/result.json").read_text())
    metrics = result["metrics"]
    assert 0 < metrics["ranks/reciprocal"] <= 1 <= metrics["ranks/median"]
    low, high = result["intervals"]["ranks/reciprocal"]
    assert low <= metrics["ranks/reciprocal"] <= high
    assert 0 < metrics["baseline/mfcc_stats/ranks/reciprocal"] <= 1
    assert "errors/share" not in metrics
    assert any(
        note.endswith("errors/... of another package failed: ZeroDivisionError: nothing to divide")
        for note in result["notes"]
    )


@pytest.mark.slow
def test_a_margin_of_such_a_loss_is_judged(place: Path) -> None:
    code, _, err = said(place, "train", "wide.yaml", "--data", "far_folder:sounds", "--out", "no")
    assert code == 2
    assert "loss.margin: no vectors can satisfy 4.5: the largest squared Euclidean distance" in err


@pytest.mark.slow
def test_such_a_metric_judges_a_study(place: Path) -> None:
    (place / "ranks.yaml").write_text(STUDY)
    code, _, err = said(place, "study", "run", "ranks.yaml", "--data", "far_folder:sounds", "--out", "study")
    assert code == 0, err
    assert "reciprocal rank of ranks" in (place / "study/study.md").read_text()
