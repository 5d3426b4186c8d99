"""The same study on a Ray cluster: two nodes on this machine, one of them killed in the middle."""

import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nearfield.core.errors import RequestError, WorkError
from nearfield.study.engines import StudyWork
from nearfield.study.engines.engine import THREADS
from nearfield.study.engines.local import LocalEngine
from nearfield.study.engines.ray import RayEngine, RaySettings
from nearfield.study.records import Outcome, Task
from tests.study import stand_ins, trainings

ray: Any = pytest.importorskip("ray", reason="ray is not installed: pip install 'nearfield[ray]'")

# Ray's own threads and sockets warn as they go.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


ROOT = Path(__file__).parents[2]


class Nodes:
    """A cluster whose head takes no tasks, and two nodes that take one each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        store: dict[str, Any] = {"object_store_memory": 80_000_000}
        quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": quick, **store}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=THREADS, **store) for _ in range(2)]
        self.address: str = self.cluster.address

    def kill_one(self) -> None:
        """As a power cut would."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What Ray's processes find: these tests, and a folder of their own that no other user has made before;
    its name is short, as that of a socket may have 107 letters."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src")]))
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield


@pytest.fixture
def cluster(surroundings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Nodes()
    yield made
    ray.shutdown()
    made.cluster.shutdown()


def test_a_lost_node_changes_no_bit(cluster: Nodes, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    sounds = trainings.sounds(data)
    plan = trainings.plan(tmp_path)
    tasks = [Task(arm.id, 0) for arm in plan.arms] + [Task("baselines", 1)]
    work = StudyWork(plan.plain(), sounds, tmp_path / "ray", "cpu")
    begun: list[int] = []

    def strike() -> None:
        while len(states := list(work.folder.glob("runs/*/*/state/last.safetensors"))) < 2:
            time.sleep(0.02)
        begun.append(len(states) - len(list(work.folder.glob("runs/margin*/*/weights.safetensors"))))
        both = stand_ins.processes(work.folder)
        cluster.kill_one()
        while all(map(stand_ins.is_alive, both)):  # else it would come to its end before it hears of the loss
            time.sleep(0.02)
        trainings.struck(work.folder).touch()

    killer = threading.Thread(target=strike)
    killer.start()
    outcomes: list[Outcome] = []
    engine = RayEngine(address=cluster.address, perform=f"{trainings.HERE}:held")
    engine.run(work, tasks, outcomes.append, lambda task, event: None)
    killer.join()
    assert begun == [2]  # both were in the middle of their training
    beginnings = Counter(arm for arm, _ in stand_ins.begun(work.folder))
    assert max(beginnings[arm.id] for arm in plan.arms) >= 2  # and one of them was lost
    assert {(outcome.task, outcome.state) for outcome in outcomes} == {(task, "done") for task in tasks}
    here = StudyWork(plan.plain(), sounds, tmp_path / "local", "cpu")
    LocalEngine(1).run(here, tasks, lambda outcome: None, lambda task, event: None)
    assert trainings.bits(work.folder) == trainings.bits(here.folder)
    assert len(trainings.bits(here.folder)) == 2 * 4 + 3


def test_a_cluster_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started for the study, gone after it; deaths, failures and trouble as with the local engine."""
    monkeypatch.setattr("nearfield.study.engines.ray.RETRIES", 1)  # each takes a process more
    given = [Task(arm, seed) for seed, arm in enumerate(("a", "dies-once", "dies", "nan"))]
    outcomes: list[Outcome] = []
    work = StudyWork({"title": "t"}, "data", tmp_path)
    engine = RayEngine(workers=1, perform=f"{stand_ins.HERE}:perform")
    engine.run(work, given, outcomes.append, lambda task, event: None)
    assert [outcome.state for outcome in outcomes] == ["done", "done", "failed", "failed"]
    assert "lost the task's process 2 times" in outcomes[2].cause
    assert (tmp_path / "runs/dies/seed-2/failed.json").is_file()
    with pytest.raises(WorkError, match="no space left"):
        engine.run(work, [Task("disk", 0)], outcomes.append, lambda task, event: None)
    assert not ray.is_initialized()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_ctrl_c_lets_the_training_save(tmp_path: Path) -> None:
    def press() -> None:
        while not (tmp_path / "waits-0").is_file():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    engine = RayEngine(perform=f"{stand_ins.HERE}:perform")
    with pytest.raises(KeyboardInterrupt):
        engine.run(
            StudyWork({"title": "t"}, "data", tmp_path),
            [Task("waits", 0)],
            lambda outcome: None,
            lambda task, event: None,
        )
    assert (tmp_path / "saved-0").is_file()


def test_no_cluster_at_the_address_is_told() -> None:
    for address in ("127.0.0.1:1", "auto"):
        engine = RaySettings(address=address).build()
        with pytest.raises(RequestError, match=rf"engine\.address: no Ray cluster answers at '{address}'"):
            engine.run(StudyWork({}, "", Path()), [], lambda outcome: None, lambda task, event: None)
