"""How fast the arms of a study learn: updates and seconds until a score on the validation clips is reached.

A training reaches its target at the first validation that is at or above it. Its seconds are the updates up
to there times the median time of one update of that training: validations, and moments in which the machine
was busy with something else, are left out. The median over seeds counts a training that never got there as
the slowest of all, so that an arm of which half never got there has none.
"""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from nearfield.core.errors import RequestError
from nearfield.runs.recipe import Recipe
from nearfield.runs.validation import SCORE, keeps_val, scores_by
from nearfield.study.records import Speed

VALIDATION = SCORE
"""The curve that a target is on."""
RATE = "train/examples_per_second"


def check_target(target: float | None, recipes: Mapping[str, Recipe], where: str) -> None:
    """Raises RequestError where a target is asked for and an arm never validates, or by another score."""
    if target is None:
        return
    scores = {scores_by(recipe) for recipe in recipes.values()}
    if len(scores) > 1 or "loss" in scores:
        raise RequestError(
            f"{where}: target: {target:g} is one share that all arms are to reach, and they are validated "
            f"by: {', '.join(sorted(scores))}. Set train.validate_by to labels, tags or triplets for all "
            "arms, or leave the target out."
        )
    blind = [name for name, recipe in recipes.items() if not keeps_val(recipe)]
    if blind:
        raise RequestError(
            f"{where}: target: {target:g} is a score on the validation clips, and arm {blind[0]!r} never "
            "validates. Set train.validate_every, such as 20, for all arms (in folds train.keep=best as "
            "well), or leave the target out."
        )


def arm_speed(arm: str, logs: Sequence[Path | None], target: float, batch: int) -> Speed:
    """The speed of an arm from the `metrics.jsonl` of its trainings; None stands for one that failed.

    `target`: of the score that the arm is validated by (`train.validate_by`). `batch`: items an update.
    """
    reached = [None if path is None else first_reach(_lines(path), target, batch) for path in logs]
    updates = tuple(None if each is None else each[0] for each in reached)
    seconds = tuple(None if each is None else each[1] for each in reached)
    return Speed(arm, updates, seconds, _median(updates), _median(seconds), reached.count(None))


def first_reach(
    lines: Sequence[Mapping[str, Any]], target: float, batch: int
) -> tuple[int, float | None] | None:
    """Update and seconds at which a training reached the target; None where it never did."""
    there = (int(line["update"]) for line in lines if (line.get(VALIDATION) or 0.0) >= target)
    update = next(there, None)
    if update is None:
        return None
    plain = (line for before, line in pairwise(lines) if VALIDATION not in before)  # its clock ran meanwhile
    steps = [batch / line[RATE] for line in plain if line.get(RATE)]
    return update, update * median(steps) if steps else None


def _lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines() if line]


def _median(values: Sequence[float | None]) -> float | None:
    """With None as the largest of all."""
    middle = median(math.inf if value is None else value for value in values) if values else math.inf
    return middle if math.isfinite(middle) else None
