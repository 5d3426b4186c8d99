"""A task from plan to folder: trained once, measured, the same bits wherever and however often begun."""

import errno
import json
import multiprocessing
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearfield.core.errors import WorkError
from nearfield.study import tasks
from nearfield.study.engines import StudyWork
from nearfield.study.engines.engine import task_folder
from nearfield.study.engines.local import LocalEngine
from nearfield.study.journal import Journal
from nearfield.study.plan import Plan
from nearfield.study.records import Outcome, Task
from nearfield.study.tasks import perform
from nearfield.training.evaluate_run import evaluate_run, read_clips
from nearfield.training.events import Event, Note
from nearfield.training.prepare import Request
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch
from tests.study import trainings
from tests.study.trainings import bits

FIRST, SECOND, PLAIN = Task("margin-0.3", 0), Task("margin-0.6", 1), Task("baselines", 0)


Planned = Callable[..., Plan]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> str:
    return trainings.sounds(tmp_path_factory.mktemp("tones"))


@pytest.fixture
def plan(tmp_path: Path) -> Planned:
    return partial(trainings.plan, tmp_path)


def test_an_arm_is_trained_with_its_settings_and_measured(sounds: str, plan: Planned, tmp_path: Path) -> None:
    found = plan()
    outcome = perform(found.plain(), sounds, tmp_path, SECOND, "cpu")
    assert outcome == Outcome(SECOND, "done", seconds=outcome.seconds)
    assert outcome.seconds > 0
    run = RunFolder(tmp_path / "runs/margin-0.6/seed-1")
    assert run.recipe().plain()["loss"]["margin"] == 0.6
    assert run.environment()["seed"] == 1
    assert run.environment()["machine"]["threads"] == 1
    metrics = run.result()["metrics"]
    assert {name.split("/")[1] for name in metrics if name.startswith("baseline/")} == {"chance", "majority"}
    clips = read_clips(run.clips)
    assert metrics["probe/accuracy"] == pytest.approx(float(np.mean(clips["label"] == clips["predicted"])))
    assert not (run.path / "warnings.json").exists()


def test_what_has_ended_is_never_done_again(sounds: str, plan: Planned, tmp_path: Path) -> None:
    found = plan()
    for task in (FIRST, PLAIN):
        perform(found.plain(), sounds, tmp_path, task, "cpu")
        place = task_folder(tmp_path, task)
        before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
        events: list[Event] = []
        assert perform(found.plain(), sounds, tmp_path, task, "cpu", events.append) == Outcome(task, "done")
        assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
        assert events == []


def test_a_run_is_measured_again_where_only_that_was_lost(sounds: str, plan: Planned, tmp_path: Path) -> None:
    found = plan()
    perform(found.plain(), sounds, tmp_path, FIRST, "cpu")
    run, before = RunFolder(task_folder(tmp_path, FIRST)), bits(tmp_path)
    trained = run.weights.stat().st_mtime_ns
    for path in (run.path / "result.json", run.clips):
        path.unlink()
        (run.path / ".result.json.abc.part").touch()
        perform(found.plain(), sounds, tmp_path, FIRST, "cpu")
        assert bits(tmp_path) == before
        assert run.weights.stat().st_mtime_ns == trained
        assert not list(run.path.glob("*.part"))


def test_baselines_are_those_that_a_run_of_its_own_has(sounds: str, plan: Planned, tmp_path: Path) -> None:
    found = plan()
    for seed in (0, 1):
        perform(found.plain(), sounds, tmp_path, Task("baselines", seed), "cpu")
        request = Request(found.recipe_of(found.reference), sounds, tmp_path / f"own-{seed}", seed, "cpu")
        own = evaluate_run(RunFolder(request.out), setup=launch(request))["metrics"]
        folder = tmp_path / f"runs/baselines/seed-{seed}"
        metrics = json.loads((folder / "result.json").read_text())["metrics"]
        names = {"random_encoder"} | ({"mfcc_stats", "logmel_stats"} if seed == 0 else set())
        assert {name.split("/")[1] for name in metrics} == names
        for name in names:
            rows = {key: value for key, value in own.items() if key.startswith(f"baseline/{name}/")}
            assert {key: metrics[key] for key in rows} == pytest.approx(rows, abs=1e-6)
            clips = read_clips(folder / f"{name}.clips.parquet")
            right = float(np.mean(clips["label"] == clips["predicted"]))
            assert metrics[f"baseline/{name}/probe/accuracy"] == pytest.approx(right)


def test_a_training_that_fails_is_a_result_that_stays(sounds: str, plan: Planned, tmp_path: Path) -> None:
    found = plan(
        optimizer={"kind": "sgd", "lr": 10, "decay": 1},  # weights nine times as large with every update
        embedding={"size": 8, "normalize": False},
        train={"updates": 60},
    )
    outcome = perform(found.plain(), sounds, tmp_path, FIRST, "cpu")
    assert outcome.state == "failed"
    assert "the loss is no longer a number" in outcome.cause
    place = task_folder(tmp_path, FIRST)
    assert json.loads((place / "failed.json").read_text()) == {
        "cause": outcome.cause,
        "again": False,
    }
    said = json.loads((place / "warnings.json").read_text())
    assert any("the loss is no longer a number" in text for text in said)
    before = (place / "metrics.jsonl").stat().st_mtime_ns
    assert perform(found.plain(), sounds, tmp_path, FIRST, "cpu") == Outcome(FIRST, "failed", outcome.cause)
    assert (place / "metrics.jsonl").stat().st_mtime_ns == before


def test_data_that_cannot_serve_is_told_in_its_own_words(plan: Planned, tmp_path: Path) -> None:
    outcome = perform(plan().plain(), str(tmp_path / "nothing"), tmp_path, FIRST, "cpu")
    assert (outcome.state, outcome.again) == ("failed", True)
    assert str(tmp_path / "nothing") in outcome.cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "The training ran out of memory: no more memory was available."),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes.\nmore"),
            "The training ran out of memory: DefaultCPUAllocator: can't allocate memory: you tried 8 bytes.",
        ),
        (ValueError("a slip"), "A fault of the program: ValueError: a slip"),
    ],
)
def test_memory_and_slips_are_failures_with_their_trace(
    plan: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: str
) -> None:
    monkeypatch.setattr(tasks, "launch", _raising(error))
    assert perform(plan().plain(), "data", tmp_path, FIRST, "cpu").cause == cause
    noted = json.loads((task_folder(tmp_path, FIRST) / "failed.json").read_text())
    assert "Traceback" in noted["trace"]


def test_a_full_disk_and_ctrl_c_are_no_results(
    plan: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = WorkError("no space left")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    for error in (full, full.__cause__, KeyboardInterrupt()):
        monkeypatch.setattr(tasks, "launch", _raising(error))
        with pytest.raises((WorkError, KeyboardInterrupt)):
            perform(plan().plain(), "data", tmp_path, FIRST, "cpu")
        assert not (task_folder(tmp_path, FIRST) / "failed.json").exists()


def _raising(error: BaseException) -> Callable[..., None]:
    def launch(*given: Any, **named: Any) -> None:
        raise error

    return launch


def test_warnings_are_kept_as_they_come_and_once(
    plan: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(request: Request, callback: Callable[[Event], None]) -> None:
        callback(Note("an odd margin", is_warning=True))
        callback(Note("by the way"))
        callback(Note(f"warning {len(seen)}", is_warning=True))
        raise KeyboardInterrupt

    seen: list[Event] = []
    monkeypatch.setattr(tasks, "launch", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            perform(plan().plain(), "data", tmp_path, FIRST, "cpu", seen.append)
    said = json.loads((task_folder(tmp_path, FIRST) / "warnings.json").read_text())
    assert said == ["an odd margin", "warning 2", "warning 5"]
    assert len(seen) == 6


def test_arithmetic_left_to_the_machine_stays_that_of_the_beginning(
    sounds: str, plan: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task may go on on another machine, whose best arithmetic is another."""
    found = plan(train={"updates": 12, "precision": "auto"})
    monkeypatch.setattr("nearfield.training.trainer.best_precision", lambda device: "fp32")
    monkeypatch.setattr(tasks, "evaluate_run", _raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        perform(found.plain(), sounds, tmp_path, FIRST, "cpu", lambda event: None)
    RunFolder(task_folder(tmp_path, FIRST)).weights.unlink()
    monkeypatch.undo()
    monkeypatch.setattr("nearfield.training.trainer.best_precision", lambda device: "bf16")
    assert perform(found.plain(), sounds, tmp_path, FIRST, "cpu").state == "done"
    assert RunFolder(task_folder(tmp_path, FIRST)).recipe().train.precision == "fp32"


def study(folder: Path, plan: dict[str, Any], data: str, workers: int) -> None:
    """What every study does: tasks that the journal does not know are given to an engine."""
    wanted = [Task(arm.id, seed) for arm in Plan.of(plan).arms for seed in range(2)] + [PLAIN]
    with Journal.open(folder / "journal.jsonl") as journal:
        left = [task for task in wanted if task not in journal.outcomes()]
        work = StudyWork(plan, data, folder, "cpu")
        LocalEngine(workers).run(work, left, journal.add_outcome, lambda task, event: None)


@pytest.mark.slow
def test_bits_do_not_depend_on_workers_threads_or_kills(
    sounds: str, plan: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    plain = plan(train={"updates": 30, "checkpoint_seconds": 0}).plain()
    study(whole, plain, sounds, workers=2)
    assert len(bits(whole)) == 4 * 4 + 7
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.study.test_tasks"])
    chance = random.Random(2)
    finished: dict[Path, int] = {}
    for begun in (1, 2, 4):  # killed at some moment after so many trainings had a checkpoint
        child = context.Process(target=study, args=(broken, plain, sounds, 1))
        child.start()
        while len(list(broken.glob("runs/*/*/state/last.safetensors"))) < begun:
            assert child.is_alive()
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.6))
        child.kill()
        child.join()
        weights = broken.glob("runs/margin*/*/weights.safetensors")
        finished |= {path: path.stat().st_mtime_ns for path in weights}
    study(broken, plain, sounds, workers=1)
    assert bits(broken) == bits(whole)
    assert len(finished) >= 3
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    outcomes = Journal(broken / "journal.jsonl").outcomes()
    assert outcomes.keys() == Journal(whole / "journal.jsonl").outcomes().keys()
    assert {outcome.state for outcome in outcomes.values()} == {"done"}
