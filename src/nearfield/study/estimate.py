"""Estimates the cost of a study from a short timing of its reference arm."""

import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from nearfield.study.plan import Plan
from nearfield.study.records import Task
from nearfield.study.search import TrialSearch
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.events import Callback, Event, Stage, ignore
from nearfield.training.prepare import Request
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch

TRIED = 20
"""Number of updates that are timed."""


@dataclass(frozen=True)
class Cost:
    """The cost of a study; the first number is for the fewest seeds, the second for the most."""

    runs: tuple[int, int]
    """The result of `runs_of`."""
    seconds: tuple[float, float]
    """Wall-clock time with one worker, if every arm costs as much as the reference."""
    bytes: tuple[int, int]


def runs_of(plan: Plan) -> tuple[int, int]:
    """Number of runs for the fewest seeds and for the most.

    Counts the trials of a search and, for each seed, the trainings under `before`, the arms (for a search
    also its finalists) and one run for the baselines.
    """
    each = len(plan.before) + len(plan.arms) + (plan.search.final if plan.search else 0) + 1
    each *= plan.seeds.folds
    return _trials(plan)[0] + each * plan.seeds.looks()[0], _trials(plan)[0] + each * plan.seeds.at_most


def baselines_of(plan: Plan) -> tuple[int, int]:
    """How many of these runs score the baselines and train nothing."""
    return plan.seeds.folds * plan.seeds.looks()[0], plan.seeds.folds * plan.seeds.at_most


def _trials(plan: Plan) -> tuple[int, float]:
    """Number of trainings of the search, and their total length in full trainings."""
    lengths = TrialSearch(plan.search, plan.recipe).lengths() if plan.search else []
    return len(lengths), sum(lengths) / plan.recipe.train.updates


def estimate_cost(plan: Plan, data: str, device: str = "auto", callback: Callback = ignore) -> Cost:
    """Estimates the cost by training the reference arm for a few updates in a temporary folder."""
    recipe = plan.recipe_for(Task(plan.reference, plan.seeds.take(1)[0]))
    updates = recipe.train.updates
    short = recipe.changed({"train.updates": min(TRIED, updates)})
    start_times: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, Stage) and event.name == "train":
            start_times.append(time.monotonic())
        callback(event)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        begun = time.monotonic()
        setup = launch(Request(short, data, folder, device=device), note)
        trained = time.monotonic()
        evaluate_run(RunFolder(folder), callback=callback, with_baselines=False, setup=setup)
        measured = time.monotonic() - trained
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    steps = [after - before for before, after in pairwise(start_times)]
    first = start_times[0] - begun
    one = updates * (median(steps) if steps else first)
    trials, trials_in_whole = _trials(plan)

    def seconds(runs: int, baselines: int) -> float:
        """Every run is evaluated; all but those of the baselines are trained."""
        return first + runs * measured + (runs - trials - baselines + trials_in_whole) * one

    (least, most), (few, many) = runs_of(plan), baselines_of(plan)
    return Cost(
        (least, most),
        (seconds(least, few), seconds(most, many)),
        (least * size, most * size),
    )
