"""Small things to train on: a folder of made tones, and a recipe that takes a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from nearfield.training.recipe import Recipe


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of ten half-second tones at 8 kHz, in class folders."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    time = np.arange(4000) / 8000
    for name, pitch in {"a": 200.0, "b": 500.0, "c": 1100.0, "d": 2300.0}.items():
        (folder / name).mkdir()
        for number in range(10):
            wave = np.sin(2 * np.pi * pitch * (1 + 0.05 * rng.standard_normal()) * time)
            noisy = 0.3 * wave + 0.02 * rng.standard_normal(len(time))
            soundfile.write(folder / name / f"{number}.wav", noisy, 8000, subtype="FLOAT")
    return folder


@pytest.fixture(scope="session")
def chords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 half-second clips of one to three of four tones, tagged with the tones that are heard."""
    folder = tmp_path_factory.mktemp("chords")
    rng = np.random.default_rng(1)
    time = np.arange(4000) / 8000
    pitches = {"low": 200.0, "middle": 500.0, "high": 1100.0, "top": 2300.0}
    lines = ["path,tags,split"]
    for number in range(48):
        heard = rng.choice(list(pitches), size=rng.integers(1, 4), replace=False)
        wave = sum(np.sin(2 * np.pi * pitches[name] * time + rng.uniform(0, 6)) for name in heard)
        noisy = 0.1 * wave + 0.005 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{number}.wav", noisy, 8000, subtype="FLOAT")
        lines.append(f"{number}.wav,{'|'.join(heard)},{('train', 'train', 'val', 'test')[number % 4]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def small(**changes: Any) -> dict[str, Any]:
    """A recipe's plain values, small enough for a test; `changes` replace whole sections."""
    return {
        "data": {"sample_rate": 8000, "clip_seconds": 0.4},
        "feature": {"kind": "log_mel", "bands": 16},
        "augment": [{"kind": "time_shift", "max_seconds": 0.1}, {"kind": "frequency_mask", "max_bands": 3}],
        "backbone": {"kind": "small_convnet", "width": 4, "blocks": 2},
        "embedding": {"size": 8, "dropout": 0.2},
        "sampler": {"kind": "balanced", "classes": 4, "per_class": 4},
        "loss": {"kind": "triplet", "margin": 0.3},
        "train": {"updates": 24, "checkpoint_seconds": 0},
    } | changes


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """Makes a small recipe; sections given as keywords replace its own."""
    return lambda **changes: Recipe.of(small(**changes))
