"""The engine for many machines: every task is a Ray task. Needs the extra `ray`.

Results are files in the study's folder, which every machine must see under the same path, and so must be the
data. A task whose machine is lost is begun again on another, from its last checkpoint. Of what happens within
a task nothing is told while it runs: what is not needed for a result need not cross the network.
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
"""How often a task is begun again when its process or its machine was lost: machines of a cluster come and
go without any fault of the task."""
STORE_BYTES = 100_000_000
"""Memory for objects in a cluster started here: outcomes are small, and all else is files."""


class RaySettings(Settings):
    """A Ray cluster."""

    kind: Literal["ray"] = "ray"
    workers: int | None = Field(default=None, ge=1)
    """Tasks at one time, at most; by default as many as the cluster takes. Results do not depend on it."""
    address: str | None = None
    """Of a running cluster ("auto", "HOST:6379"); by default one is started on this machine for the study."""

    def build(self) -> "RayEngine":
        """The engine. Raises RequestError where Ray is not installed."""
        _ray()
        return RayEngine(self.workers, self.address)


@dataclass(frozen=True)
class RayEngine:
    """Tasks on a Ray cluster, each asking for as many cores as it has threads."""

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
            finally:  # nothing is left where all went well
                for reference in running:
                    ray.cancel(reference)  # as Ctrl-C would: the training saves its checkpoint
                ray.wait(list(running), num_returns=len(running), timeout=60) if running else None


def _perform(perform: str, work: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """In a process of the cluster."""
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
    """The cluster that this process is in already, or that at `address`, or one started for the block."""
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
            _knock(address)
            ray.init(address=address, log_to_driver=False)
        except OSError as error:
            raise RequestError(
                f"engine.address: no Ray cluster answers at {address!r}: {error}. Start one by "
                "`ray start --head`, or leave the address out to have one started on this machine."
            ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would go on asking for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _ray() -> Any:
    """The library, told to send nobody any figures of its use."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise RequestError(
            "engine.kind: 'ray' needs the library ray. Install it by `pip install 'nearfield[ray]'`, "
            "or use the engine local."
        ) from None
    return ray
