"""Trainings small enough for tests of studies: sounds, a plan over two margins, and what came of it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from nearfield.core.files import digest
from nearfield.study import tasks
from nearfield.study.engines.engine import task_folder
from nearfield.study.plan import Plan
from nearfield.study.records import Outcome, Task
from nearfield.training.events import Callback, Event
from tests.study import stand_ins

HERE = __name__
RECIPE: dict[str, Any] = {
    "data": {"sample_rate": 8000, "clip_seconds": 0.4},
    "feature": {"kind": "log_mel", "bands": 16},
    "augment": [{"kind": "time_shift", "max_seconds": 0.1}],
    "normalize": {"kind": "band"},
    "backbone": {"kind": "small_convnet", "width": 4, "blocks": 2},
    "embedding": {"size": 8, "dropout": 0.2},
    "sampler": {"kind": "balanced", "classes": 4, "per_class": 4},
    "loss": {"kind": "triplet", "margin": 0.3},
    "train": {"updates": 12, "checkpoint_seconds": 0, "precision": "fp32"},
}


def sounds(folder: Path) -> str:
    """Four classes of ten half-second noisy tones at 8 kHz, in class folders."""
    rng = np.random.default_rng(0)
    seconds = np.arange(4000) / 8000
    for name, pitch in {"a": 300.0, "b": 400.0, "c": 1100.0, "d": 1300.0}.items():
        (folder / name).mkdir()
        for number in range(10):
            wave = np.sin(2 * np.pi * pitch * (1 + 0.2 * rng.standard_normal()) * seconds)
            noisy = 0.3 * wave + 0.1 * rng.standard_normal(len(seconds))
            soundfile.write(folder / name / f"{number}.wav", noisy, 8000, subtype="FLOAT")
    return str(folder)


def plan(folder: Path, **changes: Any) -> Plan:
    """A plan over two margins; sections given as keywords replace those of its recipe."""
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | changes))
    study: Mapping[str, Any] = {
        "question": "How does the margin affect the embedding space?",
        "recipe": "recipe.yaml",
        "vary": {"loss.margin": [0.3, 0.6]},
        "seeds": 3,
        "judge": "probe/accuracy",
        "meaningful": 0.05,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return Plan.load(folder / "study.yaml")


def bits(folder: Path) -> dict[str, str]:
    """What a reader of a study sees of its runs, but for clocks and places."""
    names = ("*/*/weights.safetensors", "*/*/*.json", "*/*/*.parquet")
    files = (path for name in names for path in (folder / "runs").glob(name))
    return {str(p.relative_to(folder)): digest(p) for p in files if p.name != "environment.json"}


def held(
    plan: dict[str, Any], data: str, folder: Path, task: Task, device: str, callback: Callback
) -> Outcome:
    """As studies do it, but that a training with a checkpoint goes no further until there is `struck`.

    `stand_ins` tells which tasks were begun, and by which processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stand_ins.mark(folder, task)

    def told(event: Event) -> None:
        saved = task_folder(folder, task) / "state/last.safetensors"
        while saved.is_file() and not struck(folder).is_file():
            time.sleep(0.02)
        callback(event)

    return tasks.perform(plan, data, folder, task, device, told)


def struck(folder: Path) -> Path:
    """The file that lets held trainings go on."""
    return folder / "struck"
