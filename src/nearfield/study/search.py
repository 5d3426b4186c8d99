"""Searches over ranges of settings: chooses the trials and trains them."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError
from nearfield.study.arms import label_of
from nearfield.study.engines.engine import task_folder
from nearfield.study.file import SearchSettings, grid
from nearfield.study.plan import Plan
from nearfield.study.records import Arm, Outcome, Task
from nearfield.training.recipe import Recipe
from nearfield.training.validation import SCORE

# Chooses the next trials of a search, given the scores of the finished ones.
#
# The search has no state. The scores of finished trials determine the next ones, so an interrupted search
# continues with the same trial, for any number of workers.
#
# Scores are of the validation split and only choose trials. The finalists are trained again with seeds that
# the search did not use, and evaluated on the test split.

SEED = 0
"""The seed of every trial; finalists use others."""


@dataclass(frozen=True)
class Attempt:
    """A training of a trial: its changes and the number of updates."""

    trial: int
    changes: dict[str, Any]
    updates: int

    def arm(self, whole: int) -> Arm:
        """The attempt as an arm; `whole` is the number of updates of a full training."""
        short = {} if self.updates == whole else {"train.updates": self.updates}
        at = f"-at-{self.updates}" if short else ""
        return Arm(f"trial-{self.trial:03}{at}", label_of(self.changes), {**self.changes, **short})


@dataclass(frozen=True)
class Told:
    """An attempt and its score on the validation split, higher is better; None if it failed."""

    attempt: Attempt
    score: float | None


class TrialSearch:
    """Chooses the trials of a recipe. All methods are functions of the finished attempts, `told`."""

    def __init__(self, settings: SearchSettings, recipe: Recipe, seed: int = SEED) -> None:
        self.settings, self.seed = settings, seed
        self.updates = recipe.train.updates
        self.rungs = rungs(settings, self.updates, recipe.train.validate_every)

    def pending(self, told: Iterable[Told]) -> tuple[Attempt, ...]:
        """The attempts to train next, in any order or in parallel; empty when the search is done."""
        told = list(told)
        scores = {_mark(each.attempt): each.score for each in told}
        for trials in self._generations(told):
            for attempts in self._rungs_of(trials, scores):
                missing = {_mark(attempt): attempt for attempt in attempts if _mark(attempt) not in scores}
                if missing:
                    return tuple(missing.values())
        return ()

    def lengths(self) -> list[int]:
        """Updates of every training, in order, if none fails and no two trials are the same."""
        found = []
        for numbers in self._groups():
            alive = len(numbers)
            for updates in self.rungs:
                found += [updates] * alive
                alive = math.ceil(alive / self.settings.keep)
        return found

    def finalists(self, told: Iterable[Told]) -> tuple[Arm, ...]:
        """The arms to train again: the best trial, then alternately the next best and a neighbor of the best.

        A neighbor is the trial closest to the best in the space, with each range scaled to [0, 1]. Arms carry
        no scores. Raises RequestError if no trial has a score.
        """
        ranked = self._ranked(told)
        if not ranked:
            raise RequestError(
                "search: no trial ended with a score, so there is nothing to train again. The journal says "
                "why each trial failed; narrow the space accordingly."
            )
        best, others = ranked[0], ranked[1:]
        near = sorted(others, key=lambda one: self._distance(one.changes, best.changes))
        chosen = [best]
        for one in (one for pair in zip(others, near, strict=True) for one in pair):
            if len(chosen) < self.settings.final and one not in chosen:
                chosen.append(one)
        return tuple(one.arm(one.updates) for one in chosen)

    def table(self, told: Iterable[Told]) -> dict[str, Any]:
        """The trials with their ranks, for the document; the scores that chose them are left out."""
        told = sorted(told, key=lambda each: each.attempt.updates)
        ranks = {one.trial: place for place, one in enumerate(self._ranked(told), start=1)}
        rows: dict[int, dict[str, Any]] = {}
        for each in told:
            one = each.attempt
            word = (
                f"rank {ranks[one.trial]}" if one.trial in ranks else f"stopped after {one.updates} updates"
            )
            rows[one.trial] = {
                "trial": one.trial,
                "changes": one.changes,
                "outcome": "failed" if each.score is None else word,
            }
        return {"method": self.settings.method, "trials": len(rows), "table": [rows[n] for n in sorted(rows)]}

    def _generations(self, told: Sequence[Told]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
        """Batches of trials as numbers and changes."""
        known = {each.attempt.trial: each.attempt.changes for each in told}
        if self.settings.method == "grid":
            yield list(enumerate(grid(self.settings.space)))
            return
        for numbers in self._groups():
            first = numbers[0]
            if all(number in known for number in numbers):
                yield [(number, known[number]) for number in numbers]
            else:
                asked = self._ask(first, len(numbers), told)
                yield [(n, known.get(n, changes)) for n, changes in zip(numbers, asked, strict=True)]

    def _groups(self) -> Iterator[range]:
        """Numbers of the trials in each batch."""
        total = self.settings.trials or 0
        size = self.settings.together if self.settings.method == "tpe" else total
        for first in range(0, total, size):
            yield range(first, min(first + size, total))

    def _rungs_of(
        self, trials: list[tuple[int, dict[str, Any]]], scores: Mapping[str, float | None]
    ) -> Iterator[list[Attempt]]:
        """The attempts of one batch, rung by rung; each rung needs the scores of the previous one."""
        alive = trials
        for updates in self.rungs:
            attempts = [Attempt(number, changes, updates) for number, changes in alive]
            yield attempts
            ended = [(scores[_mark(one)], one) for one in attempts]
            well = sorted(
                ((score, one) for score, one in ended if score is not None), key=lambda e: (-e[0], e[1].trial)
            )
            best = well[: math.ceil(len(attempts) / self.settings.keep)]
            alive = [(one.trial, one.changes) for _, one in best]

    def _ask(self, first: int, number: int, told: Sequence[Told]) -> list[dict[str, Any]]:
        past = self._histories(first, told)
        from nearfield.study.trials import draw  # Optuna is an extra, and slow to import

        return draw(self.settings, number, past, self.updates, self.seed, first)

    def _histories(
        self, first: int, told: Sequence[Told]
    ) -> Iterator[tuple[dict[str, Any], dict[int, float]]]:
        """The changes of each trial before `first`, and its scores by updates."""
        reached: dict[int, dict[int, float]] = {}
        changes: dict[int, dict[str, Any]] = {}
        for each in told:
            one = each.attempt
            if one.trial < first:
                changes[one.trial] = one.changes
                reached.setdefault(one.trial, {})
                if each.score is not None:
                    reached[one.trial][one.updates] = each.score
        for number in sorted(changes):
            yield changes[number], reached[number]

    def _ranked(self, told: Iterable[Told]) -> list[Attempt]:
        """Trials with a full training, the best first."""
        whole = [each for each in told if each.attempt.updates == self.updates and each.score is not None]
        whole.sort(key=lambda each: (-(each.score or 0.0), each.attempt.trial))
        return [each.attempt for each in whole]

    def _distance(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
        gaps = [
            abs(values.place(one[key]) - values.place(other[key])) or float(one[key] != other[key])
            for key, values in self.settings.space.items()
        ]
        return math.hypot(*gaps)


def rungs(settings: SearchSettings, updates: int, every: int) -> tuple[int, ...]:
    """Lengths of the trainings of successive halving, of which the last is full (Jamieson & Talwalkar 2016).

    Each rung is a separate training with a complete schedule. All lengths but the last are multiples of
    `every`, so that a training ends with a validation.
    """
    found = {updates}
    length = updates // settings.keep
    while settings.pruning == "halving" and length >= every and len(found) < 3:
        found.add(length // every * every)
        length //= settings.keep
    return tuple(sorted(found))


def _mark(attempt: Attempt) -> str:
    """A key of the attempt. Attempts with the same key are the same training, which runs only once."""
    return json.dumps([attempt.changes, attempt.updates], sort_keys=True)


# Runs a study's search until its finalists are known.
#
# The journal records which trials ended; their folders hold their validation scores. The search is
# deterministic, so it can be replayed from the start and needs no other state.


def explore(
    plan: Plan,
    folder: Path,
    outcomes: Callable[[], Mapping[Task, Outcome]],
    train: Callable[[Plan, Sequence[Task]], None],
) -> list[Told]:
    """Runs the trials of the plan's search, and returns them with their scores.

    `train` gets a plan with the next trials as arms, and the tasks that `outcomes` lacks. If it leaves a task
    unfinished, the search stops; a later call continues it.
    """
    assert plan.search is not None
    search = TrialSearch(plan.search, plan.recipe)
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
    """The plan whose arms are the recipe as it is and the finalists; None while trials are missing."""
    assert plan.search is not None
    search = TrialSearch(plan.search, plan.recipe)
    if search.pending(told):
        return None
    return plan.with_arms([*plan.arms, *(arm for arm in search.finalists(told) if not _is_plain(plan, arm))])


def _is_plain(plan: Plan, arm: Arm) -> bool:
    """Whether a finalist is the recipe as it is, which is already an arm."""
    return plan.recipe.changed(arm.changes).plain() == plan.recipe.plain()


def _task(attempt: Attempt, search: TrialSearch) -> Task:
    return Task(attempt.arm(search.updates).id, SEED)


def _score(folder: Path, outcome: Outcome) -> float | None:
    """The last validation score of a trial; None if it failed."""
    if outcome.state == "failed":
        return None
    lines = (task_folder(folder, outcome.task) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    found = [values[SCORE] for values in map(json.loads, lines) if SCORE in values]
    return float(found[-1]) if found else None
