"""The engine for one machine: worker processes, each performing one task at a time.

Workers are programs of their own and not copies of this one, so that a script needs no `if __name__` guard
and a worker that the system kills for want of memory ends one attempt and not the study. A worker lives for
many tasks: what it imported stays, and decoded sound is mapped from the cache that all workers share.

A task computes with a fixed number of threads (`engine.THREADS`), which does not follow from the number of
workers, because sums over other numbers of threads differ in their last bits. One worker a core fills a
machine; more of them take turns, and change no result. Where a GPU computes, one worker has it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Literal

from pydantic import Field

from nearfield.core.machine import usable_cores
from nearfield.core.settings import Settings
from nearfield.study.engines.engine import PERFORM, THREADS, StudyWork, failed, outcome_of
from nearfield.study.records import Outcome, Task
from nearfield.training.events import Event, Note, Stage

RETRIES = 1
"""How often a task is begun again, from its checkpoint, when the process that had it died."""

PATIENCE = 30.0
"""Seconds in which an interrupted process has to end the update that it is in and to keep its state."""

Done = Callable[[Outcome], None]
Watch = Callable[[Task, Event], None]


class LocalSettings(Settings):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=1)
    """Tasks at one time; by default one a core, or one where a GPU computes. Results do not depend on it."""

    def build(self) -> "LocalEngine":
        """The engine."""
        return LocalEngine(self.workers)


@dataclass(frozen=True)
class LocalEngine:
    """Worker processes that end with the call of `run`, or with this process."""

    workers: int | None = None
    """None: as many as fit the machine."""
    perform: str = PERFORM

    def run(self, work: StudyWork, tasks: Sequence[Task], done: Done, callback: Watch) -> None:
        """See `Engine.run`. A process that dies twice with the same task makes it a failed one."""
        crew = _Crew(work, self.perform, deque(tasks), done, callback)
        try:
            crew.work(self.workers or fitting(work.device))
        except KeyboardInterrupt:
            crew.interrupt()
            raise
        finally:
            crew.dismiss()


def fitting(device: str) -> int:
    """Workers that fill the machine: one a core, or one where a GPU computes."""
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() or torch.backends.mps.is_available() else "cpu"
    return max(1, usable_cores() // THREADS) if device == "cpu" else 1


class _Crew:
    """The workers of one call, and the tasks that are still to be given out."""

    def __init__(
        self, work: StudyWork, perform: str, waiting: deque[Task], done: Done, callback: Watch
    ) -> None:
        self.hello = {"work": work.plain(), "perform": perform}
        self.folder = work.folder
        self.waiting, self.done, self.callback = waiting, done, callback
        self.deaths: Counter[Task] = Counter()
        self.workers: list[_Worker] = []

    def work(self, most: int) -> None:
        """Until every task has ended."""
        for _ in range(min(most, len(self.waiting))):
            self._hire(self.waiting.popleft())
        while self.workers:
            by_connection = {worker.connection: worker for worker in self.workers}
            for connection in wait(list(by_connection)):
                self._hear(by_connection[connection])  # type: ignore[index]

    def interrupt(self) -> None:
        """Lets every worker save its checkpoint and end. One that does not is told once more: an interrupt in
        the midst of an import may be caught there. After that it is ended with all others, as by a kill."""
        for _ in range(2):
            for worker in self.workers:
                worker.process.send_signal(signal.SIGINT)
            for worker in self.workers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(PATIENCE)

    def dismiss(self) -> None:
        """Ends every worker that is still there."""
        for worker in self.workers:
            worker.end()

    def _hire(self, task: Task) -> None:
        worker = _Worker.start(task)
        self.workers.append(worker)
        worker.tell(self.hello)
        worker.tell(asdict(task))

    def _hear(self, worker: "_Worker") -> None:
        message = worker.listen()
        if message is None:
            self._bury(worker)
        elif "event" in message:
            self.callback(worker.task, _event(message["event"]))
        else:
            self.done(outcome_of(message))
            if self.waiting:
                worker.task = self.waiting.popleft()
                worker.tell(asdict(worker.task))
            else:
                self.workers.remove(worker)
                worker.end()

    def _bury(self, worker: "_Worker") -> None:
        """A dead worker's task is begun once more; then it has failed, and another one follows."""
        self.workers.remove(worker)
        cause = _how_it_ended(worker.end())
        task = worker.task
        self.deaths[task] += 1
        if self.deaths[task] <= RETRIES:
            self.callback(task, Note(f"{cause} The task is begun once more.", is_warning=True))
            self._hire(task)
            return
        self.done(failed(self.folder, task, cause))
        if self.waiting:
            self._hire(self.waiting.popleft())


@dataclass
class _Worker:
    """One process, this end of the socket to it, and the task it has."""

    process: "subprocess.Popen[bytes]"
    connection: "Connection[Any, Any]"
    task: Task

    @classmethod
    def start(cls, task: Task) -> "_Worker":
        here, there = Pipe()
        with contextlib.closing(there):
            process = subprocess.Popen(
                [sys.executable, "-m", "nearfield.study.engines.worker", str(there.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # this process's answers stay its own
                pass_fds=[there.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                process_group=0,  # Ctrl-C reaches this process alone, which then tells its workers
            )
        return cls(process, here, task)

    def tell(self, message: dict[str, Any]) -> None:
        """Sends a message; where the process is dead, listening will say so."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(json.dumps(message).encode())

    def listen(self) -> dict[str, Any] | None:
        """The next message, or None where the process is dead."""
        try:
            message: dict[str, Any] = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return None
        return message

    def end(self) -> int:
        """Ends the process, if it has not ended yet, and gives its exit code (negative: a signal)."""
        self.connection.close()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _event(plain: dict[str, Any]) -> Event:
    kind = plain.pop("type")
    return Stage(**plain) if kind == "Stage" else Note(**plain)


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return f"The process was ended by signal {-code}, most likely by lack of memory."
    if code < 0:
        return f"The process was ended by signal {-code} ({signal.Signals(-code).name})."
    return f"The process ended by itself with exit code {code}."
