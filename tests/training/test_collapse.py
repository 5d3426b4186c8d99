"""Collapses planted in real trainings: the alarm says early what happened, why, and what to do."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nearfield.training.events import Event, Note, Stage
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.trainer import launch
from tests.training.conftest import small


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        (
            {"miner": {"kind": "batch_hard"}, "optimizer": {"kind": "adam", "lr": 0.5}},
            "Likely cause: the miner keeps only the hardest pairs from the start.",
        ),
        (
            {"loss": {"kind": "contrastive", "neg_margin": 0.001}, "optimizer": {"kind": "adam", "lr": 0.05}},
            "Likely cause: the learning rate is too high for this loss, or pairs are contradictory.",
        ),
    ],
    ids=["hard mining", "no push"],
)
def test_a_real_collapse_is_told_within_a_few_dozen_steps(
    tones: Path, tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    said: list[tuple[int, str]] = []
    update = 0

    def listen(event: Event) -> None:
        nonlocal update
        if isinstance(event, Stage) and event.name == "train":
            update = event.done
        if isinstance(event, Note) and "collapsed" in event.text:
            said.append((update, event.text))

    recipe = Recipe.of(small(train={"updates": 60}, **changes))
    launch(Request(recipe, str(tones), tmp_path / "r", device="cpu"), listen)
    assert len(said) == 1
    assert said[0][0] <= 50
    assert cause in said[0][1]


@pytest.mark.parametrize("after", [-5, 5], ids=["before the alarm", "after it"])
def test_a_resumed_run_tells_its_collapse_as_if_it_had_never_stopped(
    tones: Path, tmp_path: Path, after: int
) -> None:
    changes: dict[str, Any] = {"miner": {"kind": "batch_hard"}, "optimizer": {"kind": "adam", "lr": 0.5}}
    recipe = Recipe.of(small(train={"updates": 60}, **changes))
    said: list[tuple[int, str]] = []
    update = 0

    def listen(event: Event) -> None:
        nonlocal update
        if isinstance(event, Stage) and event.name == "train":
            update = event.done
        if isinstance(event, Note) and "collapsed" in event.text:
            said.append((update, event.text))

    def press(event: Event) -> None:
        if isinstance(event, Stage) and event.name == "train" and event.done == said[0][0] + after:
            os.kill(os.getpid(), signal.SIGINT)

    whole = Request(recipe, str(tones), tmp_path / "whole", device="cpu")
    launch(whole, listen)
    stopped = replace(whole, out=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        launch(stopped, press)
    update = 0
    launch(replace(stopped, resume=True), listen)
    (when, text), (again, same) = said
    assert again == (0 if after > 0 else when)  # what was told before the stop is told before the next update
    assert same == text
