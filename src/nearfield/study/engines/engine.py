"""The interface of engines, and the functions that all engines share.

An engine decides where and when tasks run. It never changes a result: the plan, the data and the seed
determine the result bit for bit, for every engine and any number of workers.
"""

import json
import pkgutil
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from nearfield.core.errors import NearfieldError, WorkError
from nearfield.core.files import write_json
from nearfield.study.records import Outcome, Task
from nearfield.training.events import Callback, Event

PERFORM = "nearfield.study.tasks:perform"
"""The function that a worker calls for a task, by name, so that the parent does not import it."""
FAILED = "failed.json"
"""File in the folder of a failed task."""
THREADS = 1
"""Threads per task, the same on every machine and for any number of parallel tasks, because sums over another
number of threads differ in their last bits. Two parallel trainings with one thread each are faster than two
consecutive ones with two threads."""


@dataclass(frozen=True)
class StudyWork:
    """The settings that all tasks of a study share, as JSON values except for the folder."""

    plan: dict[str, Any]
    """`Plan.plain()`."""
    data: str
    folder: Path
    """Folder of the study; with several machines, on a disk that all of them share."""
    device: str = "auto"

    def plain(self) -> dict[str, Any]:
        """The settings as JSON values, for another process."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "StudyWork":
        """The inverse of `plain`."""
        return cls(**{**plain, "folder": Path(plain["folder"])})


class Engine(Protocol):
    """Runs tasks somewhere."""

    def run(
        self,
        work: StudyWork,
        tasks: Sequence[Task],
        done: Callable[[Outcome], None],
        callback: Callable[[Task, Event], None],
    ) -> None:
        """Performs every task; calls `done` when one ends, and `callback` for each event.

        Both are called from the thread that called `run`. Raises WorkError for a fault of the machine, as
        opposed to one of a training. After Ctrl-C, raises KeyboardInterrupt once all processes have ended and
        every training has a checkpoint.
        """


def task_folder(study: Path, task: Task) -> Path:
    """The folder of a task's results."""
    return study / "runs" / task.arm / f"seed-{task.seed}"


def failed(
    study: Path, task: Task, cause: str, trace: str = "", seconds: float = 0.0, again: bool = True
) -> Outcome:
    """Writes a failure to the task's folder.

    With `again`, the next call of the study retries the task, because the failure says nothing about the
    arm. Otherwise the failure is a result of the arm.
    """
    stored = {"cause": cause, "again": again} | ({"trace": trace} if trace else {})
    write_json(task_folder(study, task) / FAILED, stored)
    return Outcome(task, "failed", cause, seconds, again)


def failure(study: Path, task: Task) -> Outcome | None:
    """The failure in a task's folder; None if there is none."""
    path = task_folder(study, task) / FAILED
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Outcome(task, "failed", stored["cause"], again=stored.get("again", False))


def attempt(perform: str, work: StudyWork, task: Task, callback: Callback) -> dict[str, Any]:
    """Performs a task in a worker: {"outcome": ...}, or {"trouble": why the whole study must stop}."""
    try:
        function: Callable[..., Outcome] = pkgutil.resolve_name(perform)
        return {"outcome": asdict(function(work.plan, work.data, work.folder, task, work.device, callback))}
    except NearfieldError as error:
        return {"trouble": str(error)}
    except Exception:
        return {"trouble": f"{task.arm}, seed {task.seed}: a fault of the program:\n{traceback.format_exc()}"}


def outcome_of(answer: dict[str, Any]) -> Outcome:
    """The outcome in the answer of `attempt`, for the parent. Raises WorkError if the answer is trouble."""
    if "trouble" in answer:
        raise WorkError(answer["trouble"])
    plain = answer["outcome"]
    return Outcome(**{**plain, "task": Task(**plain["task"])})
