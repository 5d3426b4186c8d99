"""Sounds in class folders, and a small run that hears them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.trainer import launch
from tests.training.conftest import small

Tone = Callable[[Path, float, float], None]


@pytest.fixture(scope="session")
def tone() -> Tone:
    """Writes a noisy tone at 8 kHz: file, pitch in hertz, seconds."""

    def write(path: Path, pitch: float, seconds: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        chance = np.random.default_rng(round(1000 * pitch))
        time = np.arange(round(8000 * seconds)) / 8000
        wave = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * chance.standard_normal(len(time))
        soundfile.write(path, wave, 8000, subtype="FLOAT")

    return write


@pytest.fixture(scope="session")
def scale(tmp_path_factory: pytest.TempPathFactory, tone: Tone) -> Path:
    """Three classes of six tones, some longer than a window."""
    folder = tmp_path_factory.mktemp("scale")
    for name, pitch in {"low": 200.0, "middle": 700.0, "high": 2300.0}.items():
        for number in range(6):
            tone(folder / name / f"{number}.wav", pitch * (1 + 0.03 * number), 0.3 + 0.2 * number)
    return folder


@pytest.fixture(scope="session")
def heard(tmp_path_factory: pytest.TempPathFactory, scale: Path) -> Run:
    """A run that was trained on the scale for a moment."""
    sampler = {"kind": "balanced", "classes": 3, "per_class": 2}
    recipe = Recipe.of(small(train={"updates": 6, "checkpoint_seconds": 0}, sampler=sampler))
    folder = tmp_path_factory.mktemp("runs") / "heard"
    launch(Request(recipe, str(scale), folder))
    return Run.load(folder)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory, scale: Path) -> Run:
    """The same recipe from another seed."""
    sampler = {"kind": "balanced", "classes": 3, "per_class": 2}
    recipe = Recipe.of(small(train={"updates": 1, "checkpoint_seconds": 0}, sampler=sampler))
    folder = tmp_path_factory.mktemp("runs") / "other"
    launch(Request(recipe, str(scale), folder, seed=1))
    return Run.load(folder)
