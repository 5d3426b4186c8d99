"""What workers do in tests of engines: quick things in the place of trainings."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from nearfield.core.errors import WorkError
from nearfield.study.records import Outcome, Task
from nearfield.training.events import Callback, Note, Stage

HERE = __name__


def mark(folder: Path, task: Task) -> int:
    """Notes that a task was begun, with this process's id; says how often it was before."""
    with (folder / "begun.txt").open("a") as file:
        file.write(f"{task.arm} {task.seed} {os.getpid()}\n")
    return begun(folder).count((task.arm, task.seed)) - 1


def begun(folder: Path) -> list[tuple[str, int]]:
    """Tasks in the order in which they were begun."""
    lines = [line.split() for line in (folder / "begun.txt").read_text().splitlines()]
    return [(arm, int(seed)) for arm, seed, _ in lines]


def processes(folder: Path) -> list[int]:
    """Ids of the processes that began them."""
    return [int(line.split()[2]) for line in (folder / "begun.txt").read_text().splitlines()]


def is_alive(process: int) -> bool:
    """Whether a process of this id is there and has not ended."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def perform(
    plan: dict[str, Any], data: str, folder: Path, task: Task, device: str, callback: Callback
) -> Outcome:
    """Does what the arm's name says."""
    before = mark(folder, task)
    callback(Note(f"{plan['title']} {data} {device}"))
    for done in range(1, 101):
        callback(Stage("train", done, 100, {"train/loss": 1 / done}))
    print("a library that prints where it should not")
    if task.arm == "dies" or (task.arm == "dies-once" and not before):
        os.kill(os.getpid(), signal.SIGKILL)
    if task.arm == "exits":
        os._exit(3)
    if task.arm == "disk":
        raise WorkError("no space left")
    if task.arm == "fault":
        raise ZeroDivisionError("a slip")
    if task.arm == "nan":
        return Outcome(task, "failed", "the loss is no longer a number")
    if task.arm == "distracted":
        with contextlib.suppress(KeyboardInterrupt):  # as in the midst of an import
            callback(Note("here"))
            time.sleep(300)
    if task.arm in ("waits", "distracted"):
        _wait(folder, task)
    return Outcome(task, "done", seconds=0.5)


def _wait(folder: Path, task: Task) -> None:
    """As a training does: Ctrl-C leaves a checkpoint."""
    try:
        (folder / f"waits-{task.seed}").touch()
        for _ in range(6000):  # five minutes: longer than any test looks at it
            time.sleep(0.05)
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(0.2)
            (folder / f"saved-{task.seed}").touch()
        raise


if __name__ == "__main__":  # a study that a test will kill, or a script as users write them
    from nearfield.study.engines.engine import StudyWork
    from nearfield.study.engines.local import LocalEngine

    work = StudyWork({"title": "t"}, "data", Path(sys.argv[1]))
    LocalEngine(2, "tests.study.stand_ins:perform").run(
        work, [Task(sys.argv[2], seed) for seed in range(2)], lambda outcome: None, lambda task, event: None
    )
