"""What a study will take, from a short timing of its reference arm."""

import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from nearfield.runs.events import Event, Stage, Watcher, nobody
from nearfield.runs.folder import Folder
from nearfield.runs.judge import judge
from nearfield.runs.launch import Request, launch
from nearfield.study.plan import Plan

TRIED = 20
"""Updates that are timed."""


@dataclass(frozen=True)
class Cost:
    """What a study will take; the first number is for the fewest seeds, the second for the most."""

    runs: tuple[int, int]
    seconds: tuple[float, float]
    """Of wall clock with one worker; other arms are taken to cost what the reference does."""
    bytes: tuple[int, int]


def estimate_cost(plan: Plan, data: str, device: str = "auto", watch: Watcher = nobody) -> Cost:
    """Trains the reference arm for a moment in a folder that is removed again."""
    recipe = plan.recipe_of(plan.reference)
    updates = recipe.train.updates
    short = recipe.changed({"train.updates": min(TRIED, updates)})
    moments: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, Stage) and event.name == "train":
            moments.append(time.monotonic())
        watch(event)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        begun = time.monotonic()
        bench = launch(Request(short, data, folder, device=device), note)
        trained = time.monotonic()
        judge(Folder(folder), watch=watch, with_baselines=False, bench=bench)
        measured = time.monotonic() - trained
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    steps = [after - before for before, after in pairwise(moments)]
    first = moments[0] - begun
    a_run = measured + updates * (median(steps) if steps else first)
    runs = [len(plan.arms) * seeds for seeds in (plan.seeds.at_least, plan.seeds.at_most)]
    return Cost(
        (runs[0], runs[1]),
        (first + runs[0] * a_run, first + runs[1] * a_run),
        (runs[0] * size, runs[1] * size),
    )
