"""Carries out a study's search: trains what it asks for, until it names the arms that are worth comparing.

The journal says which trials ended, their folders what they scored on val; asked again from the start, the
search asks for the same ones, so nothing else has to be remembered.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nearfield.runs.validation import SCORE
from nearfield.study.engines.engine import task_folder
from nearfield.study.plan import Plan
from nearfield.study.records import Arm, Outcome, Task
from nearfield.study.search import SEED, Attempt, Search, Told


def explore(
    plan: Plan,
    folder: Path,
    outcomes: Callable[[], Mapping[Task, Outcome]],
    train: Callable[[Plan, Sequence[Task]], None],
) -> list[Told]:
    """All trials of the plan's search and what came of them.

    `train` gets a plan with the arms wanted next and those tasks that `outcomes` does not have; whatever it
    leaves undone ends the search, which then goes on another time.
    """
    assert plan.search is not None
    search = Search(plan.search, plan.recipe)
    told: list[Told] = []
    while attempts := search.pending(told):
        tasks = [_task(attempt, search) for attempt in attempts]
        known = outcomes()
        missing = [task for task in tasks if task not in known]
        if missing:
            train(plan.with_arms([attempt.arm(search.updates) for attempt in attempts]), missing)
        ended = outcomes()
        if any(task not in ended for task in tasks):
            break
        told += [Told(one, _score(folder, ended[task])) for one, task in zip(attempts, tasks, strict=True)]
    return told


def chosen(plan: Plan, told: Sequence[Told]) -> Plan | None:
    """The plan with the recipe as it is and the finalists for arms; None while trials are missing."""
    assert plan.search is not None
    search = Search(plan.search, plan.recipe)
    if search.pending(told):
        return None
    return plan.with_arms([*plan.arms, *(arm for arm in search.finalists(told) if not _is_plain(plan, arm))])


def _is_plain(plan: Plan, arm: Arm) -> bool:
    """Whether a finalist is the recipe as it is, which is an arm already."""
    return plan.recipe.changed(arm.changes).plain() == plan.recipe.plain()


def _task(attempt: Attempt, search: Search) -> Task:
    return Task(attempt.arm(search.updates).id, SEED)


def _score(folder: Path, outcome: Outcome) -> float | None:
    """The last validation of a trial; None where it failed."""
    if outcome.state == "failed":
        return None
    lines = (task_folder(folder, outcome.task) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    found = [values[SCORE] for values in map(json.loads, lines) if SCORE in values]
    return float(found[-1]) if found else None
