"""A run killed at any moment goes on to the same bits as one that never was: real processes, SIGKILL."""

import json
import multiprocessing
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from nearfield.core.files import digest
from nearfield.training.events import Event, Stage
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch
from tests.training.conftest import small

LONG: dict[str, Any] = {"train": {"updates": 240, "checkpoint_seconds": 0}}
WHOLE: dict[str, Any] = {
    "train": {
        "updates": 240,
        "checkpoint_seconds": 0,
        "average": 0.9,
        "validate_every": 7,
        "keep": "best",
    },
    "schedule": {
        "kind": "plateau",
        "patience": 2,
        "stop_below": 1e-30,
    },  # else it ends before a kill
    "penalty": {"strength": 1e-4},
}
"""Everything that a checkpoint has to hold: average, validation, plateau, penalty, dropout."""


def work(data: str, out: str, changes: dict[str, Any], held_after: int) -> None:
    """The child process: begins or goes on, and from update `held_after` on waits to be killed."""
    import torch

    def hold(event: Event) -> None:
        while isinstance(event, Stage) and event.name == "train" and event.done >= held_after:
            time.sleep(1)

    torch.set_num_threads(1)
    resume = RunFolder(Path(out)).is_started
    request = Request(Recipe.of(small(**changes)), data, Path(out), seed=3, device="cpu", resume=resume)
    launch(request, hold)


def start(data: Path, out: Path, changes: dict[str, Any], held_after: int = 10**9) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nearfield.training.trainer", "torch._dynamo", "torch.utils.tensorboard"])
    process = context.Process(target=work, args=(str(data), str(out), changes, held_after))
    process.start()
    return process


def written(out: Path) -> int:
    """Bytes of metrics.jsonl, which grows with every update."""
    metrics = out / "metrics.jsonl"
    return metrics.stat().st_size if metrics.is_file() else 0


def remembered(out: Path) -> list[dict[str, float]]:
    """metrics.jsonl without the one number that depends on the clock."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "train/examples_per_second"} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [LONG, WHOLE], ids=["plain", "everything"])
def test_a_killed_run_ends_with_the_same_bits(tones: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    child = start(tones, whole, changes)
    child.join()
    assert child.exitcode == 0
    chance = random.Random(1)
    for kill in range(6):  # on no machine does it come to its end before: each child is held some updates on
        before = written(broken)
        child = start(tones, broken, changes, held_after=36 * (kill + 1))
        while kill % 3 and written(broken) <= before and child.is_alive():
            time.sleep(0.005)  # two of three are killed after an update, others perhaps before the first
        child.join(chance.uniform(0.0, 0.35) / (1 + kill % 3))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert not RunFolder(broken).is_trained
    child = start(tones, broken, changes)
    child.join()
    assert child.exitcode == 0
    assert digest(broken / "weights.safetensors") == digest(whole / "weights.safetensors")
    assert remembered(broken) == remembered(whole)
    assert not [path for path in broken.rglob(".*") if path.is_file()]


def test_ctrl_c_saves_and_resume_ends_the_same(tones: Path, tmp_path: Path) -> None:
    """The first Ctrl-C stops between two updates with everything on disk."""
    import os

    from nearfield.training.events import Event, Stage

    slow = {"train": {"updates": 24, "checkpoint_seconds": 3600}}
    request = Request(Recipe.of(small(**slow)), str(tones), tmp_path / "a", seed=3, device="cpu")
    launch(request)

    def press(event: Event) -> None:
        if isinstance(event, Stage) and event.name == "train" and event.done == 9:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = Request(request.recipe, request.data, tmp_path / "b", seed=3, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        launch(stopped, press)
    assert not RunFolder(tmp_path / "b").is_trained
    launch(Request(request.recipe, request.data, tmp_path / "b", seed=3, device="cpu", resume=True))
    assert digest(tmp_path / "a" / "weights.safetensors") == digest(tmp_path / "b" / "weights.safetensors")
    assert remembered(tmp_path / "a") == remembered(tmp_path / "b")
