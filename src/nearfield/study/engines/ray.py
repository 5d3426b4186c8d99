"""The engine for a cluster: every task is a Ray task. Needs the extra `ray`.

Results are files in the study's folder. Every machine must have this folder and the data under the same
paths. If a machine is lost, its task restarts on another from the last checkpoint. Tasks report no events
while they run, which saves network traffic.
"""

import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from nearfield.core.errors import RequestError
from nearfield.core.machine import limit_threads, usable_cores
from nearfield.core.settings import Settings
from nearfield.study.engines.engine import PERFORM, THREADS, StudyWork, attempt, failed, outcome_of
from nearfield.study.records import Outcome, Task
from nearfield.training.events import Event, ignore

RETRIES = 3
"""How often a task is restarted after its process or machine was lost, which is common in a cluster."""
STORE_BYTES = 100_000_000
"""Object store of a cluster that is started here; outcomes are small, and all other results are files."""


class RaySettings(Settings):
    """A Ray cluster."""

    kind: Literal["ray"] = "ray"
    workers: int | None = Field(default=None, ge=1)
    """Largest number of parallel tasks; by default as many as the cluster can run. Results do not depend on
    it."""
    address: str | None = None
    """Address of a running cluster ("auto", "HOST:6379"); by default, the study starts one here."""

    def build(self) -> "RayEngine":
        """The engine. Raises RequestError if Ray is not installed."""
        _ray()
        return RayEngine(self.workers, self.address)


@dataclass(frozen=True)
class RayEngine:
    """Tasks on a Ray cluster; each requests one core per thread."""

    workers: int | None = None
    address: str | None = None
    perform: str = PERFORM

    def run(
        self,
        work: StudyWork,
        tasks: Sequence[Task],
        done: Callable[[Outcome], None],
        callback: Callable[[Task, Event], None],
    ) -> None:
        """See `Engine.run`; `callback` is never called."""
        ray = _ray()
        waiting, running = deque(tasks), dict[Any, Task]()
        most = self.workers or len(tasks)
        with _cluster(ray, self.address):
            begin = ray.remote(_perform).options(num_cpus=THREADS, max_retries=RETRIES)
            try:
                while waiting or running:
                    while waiting and len(running) < most:
                        task = waiting.popleft()
                        running[begin.remote(self.perform, work.plain(), asdict(task))] = task
                    for reference in ray.wait(list(running))[0]:
                        done(_outcome(ray, reference, work, running.pop(reference)))
            finally:  # after an error or Ctrl-C, some tasks are still running
                for reference in running:
                    ray.cancel(reference)  # acts like Ctrl-C: the training saves its checkpoint
                ray.wait(list(running), num_returns=len(running), timeout=60) if running else None


def _perform(perform: str, work: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Performs a task in a process of the cluster."""
    limit_threads()
    return attempt(perform, StudyWork.of(work), Task(**task), ignore)


def _outcome(ray: Any, reference: Any, work: StudyWork, task: Task) -> Outcome:
    try:
        return outcome_of(ray.get(reference))
    except ray.exceptions.RayError as error:
        cause = (
            f"The cluster lost the task's process {RETRIES + 1} times, most likely by lack of memory "
            f"({type(error).__name__})."
        )
        return failed(work.folder, task, cause)


@contextlib.contextmanager
def _cluster(ray: Any, address: str | None) -> Iterator[None]:
    """Uses the cluster of this process, connects to the one at `address`, or starts one for the block."""
    if ray.is_initialized():
        yield
        return
    if address is None:
        cores = max(THREADS, usable_cores())
        ray.init(
            num_cpus=cores, object_store_memory=STORE_BYTES, include_dashboard=False, log_to_driver=False
        )
    else:
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False)
        except OSError as error:
            raise RequestError(
                f"engine.address: no Ray cluster answers at {address!r}: {error}. Start one with "
                "`ray start --head`, or leave the address out to start one on this machine."
            ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raises OSError if nothing listens at the address; Ray itself would retry for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _ray() -> Any:
    """The library, with its usage statistics turned off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise RequestError(
            "engine.kind: 'ray' needs the library ray. Install it with `pip install 'nearfield[ray]'`, "
            "or use the engine local."
        ) from None
    return ray
