"""The engine for one machine: worker processes, each performing one task at a time.

Workers are separate programs, not copies of this process, so that a script needs no `if __name__` guard. If
the system kills a worker for lack of memory, only one attempt is lost. A worker performs many tasks, keeps
its imports, and maps decoded audio from the cache that all workers share.

A task always uses the same number of threads (`engine.THREADS`), whatever the number of workers, because sums
over other numbers of threads differ in their last bits. One worker per core uses the whole machine; with more
workers, tasks share cores and results stay the same. On a GPU, there is one worker.
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
"""How often a task is restarted from its checkpoint after its process died."""

PATIENCE = 30.0
"""Seconds that an interrupted process has to finish its current update and save its state."""

Done = Callable[[Outcome], None]
Watch = Callable[[Task, Event], None]


class LocalSettings(Settings):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=1)
    """Parallel tasks; by default one per core, or one on a GPU. Results do not depend on it."""

    def build(self) -> "LocalEngine":
        """The engine."""
        return LocalEngine(self.workers)


@dataclass(frozen=True)
class LocalEngine:
    """Worker processes that end when `run` returns, or with this process."""

    workers: int | None = None
    """None: as many as the machine can run."""
    perform: str = PERFORM

    def run(self, work: StudyWork, tasks: Sequence[Task], done: Done, callback: Watch) -> None:
        """See `Engine.run`. A task fails if its process dies twice."""
        crew = _Crew(work, self.perform, deque(tasks), done, callback)
        try:
            crew.work(self.workers or fitting(work.device))
        except KeyboardInterrupt:
            crew.interrupt()
            raise
        finally:
            crew.dismiss()


def fitting(device: str) -> int:
    """The number of workers that the machine can run: one per core, or one on a GPU."""
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() or torch.backends.mps.is_available() else "cpu"
    return max(1, usable_cores() // THREADS) if device == "cpu" else 1


class _Crew:
    """The workers of one call, and the tasks that are still waiting."""

    def __init__(
        self, work: StudyWork, perform: str, waiting: deque[Task], done: Done, callback: Watch
    ) -> None:
        self.hello = {"work": work.plain(), "perform": perform}
        self.folder = work.folder
        self.waiting, self.done, self.callback = waiting, done, callback
        self.deaths: Counter[Task] = Counter()
        self.workers: list[_Worker] = []

    def work(self, most: int) -> None:
        """Runs workers until every task has ended."""
        for _ in range(min(most, len(self.waiting))):
            self._hire(self.waiting.popleft())
        while self.workers:
            by_connection = {worker.connection: worker for worker in self.workers}
            for connection in wait(list(by_connection)):
                self._handle(by_connection[connection])  # type: ignore[index]

    def interrupt(self) -> None:
        """Interrupts every worker, so that it saves its checkpoint and ends.

        Workers that do not end are interrupted a second time, because an import may catch the first
        interrupt. `dismiss` then ends the remaining workers.
        """
        for _ in range(2):
            for worker in self.workers:
                worker.process.send_signal(signal.SIGINT)
            for worker in self.workers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(PATIENCE)

    def dismiss(self) -> None:
        """Ends every remaining worker."""
        for worker in self.workers:
            worker.end()

    def _hire(self, task: Task) -> None:
        worker = _Worker.start(task)
        self.workers.append(worker)
        worker.tell(self.hello)
        worker.tell(asdict(task))

    def _handle(self, worker: "_Worker") -> None:
        message = worker.listen()
        if message is None:
            self._replace(worker)
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

    def _replace(self, worker: "_Worker") -> None:
        """Restarts the task of a dead worker, or after `RETRIES` counts it as failed and starts the next."""
        self.workers.remove(worker)
        cause = _how_it_ended(worker.end())
        task = worker.task
        self.deaths[task] += 1
        if self.deaths[task] <= RETRIES:
            self.callback(task, Note(f"{cause} The task is started again.", is_warning=True))
            self._hire(task)
            return
        self.done(failed(self.folder, task, cause))
        if self.waiting:
            self._hire(self.waiting.popleft())


@dataclass
class _Worker:
    """A worker process, the connection to it, and its current task."""

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
                stdout=2,  # stdout belongs to the output of this process
                pass_fds=[there.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                process_group=0,  # Ctrl-C reaches this process only, which then interrupts its workers
            )
        return cls(process, here, task)

    def tell(self, message: dict[str, Any]) -> None:
        """Sends a message. If the process is dead, `listen` returns None."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(json.dumps(message).encode())

    def listen(self) -> dict[str, Any] | None:
        """The next message, or None if the process is dead."""
        try:
            message: dict[str, Any] = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return None
        return message

    def end(self) -> int:
        """Ends the process if it is still running, and returns its exit code (negative: a signal)."""
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
