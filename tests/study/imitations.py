"""Small sets in the form of those that studies are made for, and an engine without other processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

from nearfield.study.engines.engine import PERFORM, StudyWork, attempt, outcome_of
from nearfield.study.records import Outcome, Task
from nearfield.training.events import Event

RATE = 16_000
LABELS = ("absence", "cooking", "working")
TAGS = ("calm", "fast", "piano", "strings")
CLIPS = 24
SIDES = ["train"] * 4 + ["val", "test"]
"""Of clips in turn."""


@dataclass(frozen=True)
class Here:
    """The engine of tests: one task after the other, in this process."""

    def build(self) -> "Here":
        """Itself."""
        return self

    def run(
        self,
        work: StudyWork,
        tasks: Sequence[Task],
        done: Callable[[Outcome], None],
        callback: Callable[[Task, Event], None],
    ) -> None:
        """As an engine does."""
        for task in tasks:
            done(outcome_of(attempt(PERFORM, work, task, lambda event, task=task: callback(task, event))))  # type: ignore[misc]


def dcase(folder: Path) -> Path:
    """DCASE 2018 task 5 as published: names, tables and folds; clips of 10 s, four channels, 16 kHz."""
    rows: dict[int, list[tuple[str, ...]]] = {}
    for session in range(12):  # three of each fold, one a label
        label = LABELS[session % 3]
        for segment in (1, 2):
            name = f"audio/DevNode{1 + session % 4}_ex{session}_{segment}.wav"
            rows.setdefault(session, []).append((name, label, f"ex{session}"))
            _write(folder / name, session % 3, 10.0, channels=4)
    _lines(folder / "meta.txt", [row for each in rows.values() for row in each])
    for fold in range(4):
        judged = [row for session in rows if session // 3 == fold for row in rows[session]]
        taught = [row for session in rows if session // 3 != fold for row in rows[session]]
        setup = folder / "evaluation_setup"
        _lines(setup / f"fold{fold + 1}_train.txt", taught)
        _lines(setup / f"fold{fold + 1}_test.txt", [row[:1] for row in judged])
        _lines(setup / f"fold{fold + 1}_evaluate.txt", [row[:2] for row in judged])
    return folder


def labelled(folder: Path) -> Path:
    """As esc10: clips of 5 s, a label and a recording each."""
    rows = []
    for number in range(CLIPS):
        label = number // 6 % 3
        _write(folder / f"{number}.wav", label, 5.0)
        rows.append({"path": f"{number}.wav", "label": LABELS[label], "recording": f"r{number}"})
    return _table(folder, rows)


def tagged(folder: Path, seconds: float = 4.0) -> Path:
    """As incompetech-tags, where excerpts have 10 s: tags, an album, and a track each."""
    rows = []
    for number in range(CLIPS):
        tags = [tag for place, tag in enumerate(TAGS) if (number // 6 + number) >> place & 1]
        _write(folder / f"{number}.wav", number // 6, seconds)
        row = {"path": f"{number}.wav", "tags": "|".join(tags or TAGS[:1]), "track": f"t{number}"}
        rows.append({**row, "album": LABELS[number // 6 % 3]})
    return _table(folder, rows)


def drawn(folder: Path) -> Path:
    """As omniglot-small: drawings of 16 characters, 6 each."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for character in range(16):
        pattern = rng.integers(0, 200, (8, 8)).repeat(4, 0).repeat(4, 1)
        for number, side in enumerate(SIDES):
            name = f"{character}_{number}.png"
            Image.fromarray((pattern + rng.integers(0, 50, (32, 32))).astype(np.uint8)).save(folder / name)
            rows.append({"path": name, "label": f"c{character}", "split": side, "imbalanced": 1})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


def _table(folder: Path, rows: list[dict[str, Any]]) -> Path:
    sides = [SIDES[number % 6] for number in range(len(rows))]
    pd.DataFrame(rows).assign(split=sides).to_csv(folder / "labels.csv", index=False)
    return folder


def _write(path: Path, pitch: int, seconds: float, channels: int = 1) -> None:
    rng = np.random.default_rng(sum(path.stem.encode()))
    path.parent.mkdir(exist_ok=True, parents=True)
    samples = round(seconds * RATE)
    tone = 0.2 * np.sin(2 * np.pi * (200 + 150 * pitch) * np.arange(samples) / RATE)
    soundfile.write(path, tone[:, None] + 0.05 * rng.standard_normal((samples, channels)), RATE)


def _lines(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
