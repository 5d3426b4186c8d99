"""A loss of another package, installed into a folder of its own: listed, trained with, named where wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "far-away"
version = "1.2"

[project.entry-points."nearfield.losses"]
far_away = "far_away:FarAway"
gone = "far_away:Gone"

[tool.setuptools]
py-modules = ["far_away"]
"""
MODULE = '''
from typing import ClassVar, Literal

from nearfield.learning.losses.base import PairLoss, fit
from nearfield.learning.losses.settings import BaseLossSettings, Margin


class FarAway(BaseLossSettings):
    """Negatives beyond a margin, positives together."""

    kind: Literal["far_away"] = "far_away"
    margin: float = 0.5
    """Least squared distance of negatives."""

    distance: ClassVar[str] = "squared_euclidean"

    def margins(self):
        return (Margin("margin", self.margin, "apart", "squared_euclidean"),)

    def build(self, size=0, classes=0):
        return FarAwayLoss(self.margin)


class FarAwayLoss(PairLoss):
    def __init__(self, margin):
        super().__init__()
        self.margin = margin

    def forward_with_metrics(self, vectors, pairs, ref_vectors=None, ref_labels=None):
        pairs = fit(vectors, pairs)
        distances = (vectors[:, None] - vectors[None]).square().sum(2)
        near = distances[pairs.positive].sum()
        far = (self.margin - distances[pairs.negative]).clamp_min(0).sum()
        return (near + far) / len(vectors), {}
'''
RECIPE = """
data: {sample_rate: 4000, clip_seconds: 0.2}
feature: {kind: log_mel, bands: 16, low: 0}
backbone: {kind: small_convnet, width: 4, blocks: 2}
embedding: {size: 8}
sampler: {kind: balanced, classes: 2, per_class: 2}
loss: {kind: far_away, margin: MARGIN}
train: {updates: 3, validate_every: 0}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the package is installed."""
    home = tmp_path_factory.mktemp("plugin")
    (home / "source").mkdir()
    (home / "source/pyproject.toml").write_text(PROJECT)
    (home / "source/far_away.py").write_text(MODULE)
    words = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(home / "site")]
    subprocess.run([sys.executable, "-m", "pip", "install", *words, str(home / "source")], check=True)
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


def test_it_is_listed_and_what_is_broken_is_named(place: Path) -> None:
    code, out, err = said(place, "list", "losses")
    assert code == 0, err
    assert "Negatives beyond a margin, positives together." in out
    assert "Of far-away 1.2: far_away." in out
    assert "The plug-in 'gone' of far-away 1.2 (far_away:Gone) cannot be loaded" in err
    assert "  triplet " in out


@pytest.mark.slow
def test_a_recipe_trains_with_it_and_its_margin_is_judged(place: Path) -> None:
    (place / "good.yaml").write_text(RECIPE.replace("MARGIN", "0.5"))
    code, _, err = said(place, "train", "good.yaml", "--data", "synthetic:tones", "--out", "run")
    assert code == 0, err
    assert (place / "run/result.json").is_file()
    (place / "wide.yaml").write_text(RECIPE.replace("MARGIN", "4.5"))
    code, _, err = said(place, "train", "wide.yaml", "--data", "synthetic:tones", "--out", "no")
    assert code == 2
    assert "loss.margin: no vectors can satisfy 4.5: squared Euclidean distances" in err
