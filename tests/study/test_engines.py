"""The local engine through everything that can happen to its workers; what they do is made up (stand_ins)."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nearfield.core.errors import RequestError, WorkError
from nearfield.core.machine import usable_cores
from nearfield.core.settings import kinds, make
from nearfield.study.engines import EngineSettings, StudyWork, local
from nearfield.study.engines.local import LocalEngine, LocalSettings, fitting
from nearfield.study.records import Outcome, Task
from nearfield.training.events import Event, Note, Stage
from tests.study import stand_ins

PERFORM = f"{stand_ins.HERE}:perform"


def run(folder: Path, tasks: list[Task], workers: int = 1) -> tuple[list[Outcome], list[tuple[Task, Event]]]:
    """What an engine says of tasks."""
    outcomes: list[Outcome] = []
    events: list[tuple[Task, Event]] = []
    work = StudyWork({"title": "ü"}, "data", folder, "cpu")
    LocalEngine(workers, PERFORM).run(work, tasks, outcomes.append, lambda t, e: events.append((t, e)))
    return outcomes, events


def tasks(*arms: str) -> list[Task]:
    return [Task(arm, seed) for seed, arm in enumerate(arms)]


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_every_task_is_done_once_by_workers_that_stay(tmp_path: Path) -> None:
    given = tasks(*"abcde")
    outcomes, events = run(tmp_path, given)
    assert outcomes == [Outcome(task, "done", seconds=0.5) for task in given]
    assert stand_ins.begun(tmp_path) == [(task.arm, task.seed) for task in given]
    assert len(set(stand_ins.processes(tmp_path))) == 1
    for task in given:
        own = [event for of, event in events if of == task]
        assert own[0] == Note("ü data cpu")
        assert own[-1] == Stage("train", 100, 100, {"train/loss": 0.01})
        assert len(own) < 20  # few of a hundred steps in no time
    assert not any(map(stand_ins.is_alive, stand_ins.processes(tmp_path)))


def test_two_workers_share_the_tasks(tmp_path: Path) -> None:
    given = tasks(*"abcdef")
    outcomes, _ = run(tmp_path, given, workers=2)
    assert {outcome.task for outcome in outcomes} == set(given)
    assert sorted(stand_ins.begun(tmp_path)) == [(task.arm, task.seed) for task in given]
    assert run(tmp_path, [], workers=2) == ([], [])


def test_a_worker_that_dies_costs_one_attempt_and_two_make_a_failure(tmp_path: Path) -> None:
    once, twice, exits, after = given = tasks("dies-once", "dies", "exits", "a")
    outcomes, events = run(tmp_path, given)
    cause = "The process was ended by signal 9, most likely by lack of memory."
    assert outcomes == [
        Outcome(once, "done", seconds=0.5),
        Outcome(twice, "failed", cause, again=True),
        Outcome(exits, "failed", "The process ended by itself with exit code 3.", again=True),
        Outcome(after, "done", seconds=0.5),
    ]
    counts = {arm: [name for name, _ in stand_ins.begun(tmp_path)].count(arm) for arm in ("dies-once", "a")}
    assert counts == {"dies-once": 2, "a": 1}
    assert json.loads((tmp_path / "runs/dies/seed-1/failed.json").read_text()) == {
        "cause": cause,
        "again": True,
    }
    warned = [(task, event) for task, event in events if isinstance(event, Note) and event.is_warning]
    assert warned[0] == (once, Note(f"{cause} The task is started again.", is_warning=True))


def test_a_failed_training_is_an_outcome_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad, good = given = tasks("nan", "a")
    outcomes, _ = run(tmp_path, given)
    assert outcomes == [
        Outcome(bad, "failed", "the loss is no longer a number"),
        Outcome(good, "done", seconds=0.5),
    ]


@pytest.mark.parametrize(("arm", "said"), [("disk", "no space left"), ("fault", r"fault, seed 0: .*a slip")])
def test_trouble_of_the_machine_stops_the_study_and_every_worker(tmp_path: Path, arm: str, said: str) -> None:
    with pytest.raises(WorkError, match=f"(?s){said}"):
        run(tmp_path, tasks(arm, "waits", "a"), workers=2)
    until(lambda: not any(map(stand_ins.is_alive, stand_ins.processes(tmp_path))))
    assert ("a", 2) not in stand_ins.begun(tmp_path)


def test_an_error_of_whoever_listens_ends_the_workers(tmp_path: Path) -> None:
    def full(outcome: Outcome) -> None:
        raise WorkError("the journal cannot be written")

    work = StudyWork({"title": "t"}, "data", tmp_path)
    with pytest.raises(WorkError, match="the journal"):
        LocalEngine(2, PERFORM).run(work, tasks("waits", "a"), full, lambda task, event: None)
    assert not any(map(stand_ins.is_alive, stand_ins.processes(tmp_path)))


def study(folder: Path, arm: str = "waits") -> "subprocess.Popen[bytes]":
    """Two tasks that wait, in a process of their own, when both do."""
    command = [sys.executable, "-m", stand_ins.HERE, str(folder), arm]
    child = subprocess.Popen(command, start_new_session=True, cwd=Path(__file__).parents[2])
    until(lambda: len(list(folder.glob("waits-*"))) == 2)
    return child


def test_ctrl_c_lets_every_worker_save_and_leaves_none(tmp_path: Path) -> None:
    child = study(tmp_path)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to everyone in the foreground
    assert child.wait(120) == -signal.SIGINT
    assert {path.name for path in tmp_path.glob("saved-*")} == {"saved-0", "saved-1"}
    assert not any(map(stand_ins.is_alive, stand_ins.processes(tmp_path)))


def test_a_worker_that_misses_the_first_ctrl_c_hears_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "PATIENCE", 2.0)

    def press(task: Task, event: Event) -> None:
        if event == Note("here"):
            raise KeyboardInterrupt

    work = StudyWork({"title": "t"}, "data", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(1, PERFORM).run(work, tasks("distracted"), lambda outcome: None, press)
    assert (tmp_path / "saved-0").is_file()
    assert not any(map(stand_ins.is_alive, stand_ins.processes(tmp_path)))


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    child = study(tmp_path)
    assert all(map(stand_ins.is_alive, stand_ins.processes(tmp_path)))
    child.kill()
    child.wait()
    until(
        lambda: not any(map(stand_ins.is_alive, stand_ins.processes(tmp_path)))
    )  # long before they would end


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """With the workers of `multiprocessing` this script would start itself again without end."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from pathlib import Path
            from nearfield.study.engines.engine import StudyWork
            from nearfield.study.engines.local import LocalEngine
            from nearfield.study.records import Task

            work = StudyWork({{"title": "t"}}, "data", Path({str(tmp_path)!r}))
            engine = LocalEngine(1, {PERFORM!r})
            engine.run(work, [Task("a", 0)], lambda outcome: print(outcome.state), lambda task, event: None)
            """
        )
    )
    root = str(Path(__file__).parents[2])
    found = subprocess.run(
        [sys.executable, str(script)], env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True
    )
    assert found.stdout == "done\n"
    assert "prints where it should not" in found.stderr


def test_workers_set_up_waiting_threads_before_torch_is_loaded() -> None:
    """`limit_threads` does nothing once the library is there."""
    code = "import nearfield.study.engines.worker, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_family_reads_settings_and_refuses_others() -> None:
    assert make(EngineSettings, "engine", {"kind": "local", "workers": 3}).build() == LocalEngine(3)
    assert LocalSettings().build() == LocalEngine(None)
    assert fitting("cpu") == usable_cores()
    assert fitting("cuda:1") == 1
    with pytest.raises(RequestError, match=r"engine: unknown kind 'rai'\. Did you mean 'ray'\?"):
        make(EngineSettings, "engine", {"kind": "rai"})
    with pytest.raises(RequestError, match=r"engine: workers"):
        make(EngineSettings, "engine", {"kind": "local", "workers": 0})
    assert list(kinds(EngineSettings)) == ["local", "ray"]
