"""What every engine promises, and the one thing that all of them do with a task.

An engine decides where and when tasks run, never what comes of them: that is fixed by the plan, the data and
the seed, bit for bit, whichever engine it is and however many workers it has.
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
"""What a worker does with a task, by name, so that parents need not load what it needs."""
FAILED = "failed.json"
"""In the folder of a task that failed."""
THREADS = 1
"""Threads that a task computes with, on every machine and beside however many other tasks: sums over another
number of threads differ in their last bits. A study has many trainings, and two of one thread each do more in
a minute than one after the other with two."""


@dataclass(frozen=True)
class StudyWork:
    """What the tasks of a study have in common; values that JSON can hold, but for the folder."""

    plan: dict[str, Any]
    """`Plan.plain()`."""
    data: str
    folder: Path
    """Of the study; where several machines work, on a disk that all of them see."""
    device: str = "auto"

    def plain(self) -> dict[str, Any]:
        """As JSON, for another process."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "StudyWork":
        """The other way round."""
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
        """Performs every task; tells `done` as each one ends and `callback` what happens meanwhile.

        Both are called from the thread that called `run`. Raises WorkError where the machine, not a
        training, is in trouble; KeyboardInterrupt after Ctrl-C, when nothing is left running and every
        training has its checkpoint.
        """


def task_folder(study: Path, task: Task) -> Path:
    """Where a task leaves what it made."""
    return study / "runs" / task.arm / f"seed-{task.seed}"


def failed(
    study: Path, task: Task, cause: str, trace: str = "", seconds: float = 0.0, again: bool = True
) -> Outcome:
    """Notes a failure in the task's folder. It stays as a result of the arm, unless it is to be tried
    `again` when the study is given once more: then nothing of the arm was learnt from it."""
    kept = {"cause": cause, "again": again} | ({"trace": trace} if trace else {})
    write_json(task_folder(study, task) / FAILED, kept)
    return Outcome(task, "failed", cause, seconds, again)


def failure(study: Path, task: Task) -> Outcome | None:
    """The failure that is noted in a task's folder; None where there is none."""
    path = task_folder(study, task) / FAILED
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    return Outcome(task, "failed", kept["cause"], again=kept.get("again", False))


def attempt(perform: str, work: StudyWork, task: Task, callback: Callback) -> dict[str, Any]:
    """In a worker: {"outcome": ...}, or {"trouble": why the whole study should stop}."""
    try:
        function: Callable[..., Outcome] = pkgutil.resolve_name(perform)
        return {"outcome": asdict(function(work.plan, work.data, work.folder, task, work.device, callback))}
    except NearfieldError as error:
        return {"trouble": str(error)}
    except Exception:
        return {"trouble": f"{task.arm}, seed {task.seed}: a fault of the program:\n{traceback.format_exc()}"}


def outcome_of(answer: dict[str, Any]) -> Outcome:
    """In the parent: what `attempt` gave. Raises WorkError where that was trouble."""
    if "trouble" in answer:
        raise WorkError(answer["trouble"])
    plain = answer["outcome"]
    return Outcome(**{**plain, "task": Task(**plain["task"])})
