"""Trainings that arms build upon: a tagger whose backbone or whose mistakes they take up.

They stand in a study file under `before`, are trained once a seed, and are named by arms as "{name}".
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError, choose
from nearfield.runs.recipe import Recipe
from nearfield.runs.settings_of_runs import flat
from nearfield.study.arms import ALLOWANCE, label_of
from nearfield.study.engines.engine import task_folder
from nearfield.study.records import Arm, Task

PREFIX = "before-"
"""Begins the ids, and so the folders, of these trainings."""
_NAMED = re.compile(r"\{(.*)\}")


def before_arms(
    given: Mapping[str, Mapping[str, Any]], recipe: Recipe, arms: Sequence[Arm], where: str
) -> tuple[Arm, ...]:
    """The trainings that a study file asks for, checked, as arms outside the comparison.

    Raises RequestError where a name or a recipe is wrong, or an arm names a training that is not there.
    """
    made = []
    for name, changes in given.items():
        if not re.fullmatch(r"[a-z0-9_]+", name):
            raise RequestError(f"{where}: before: {name!r}: a name is made of small letters, digits and _.")
        arm = Arm(PREFIX + name, name, flat(changes, into_lists=False))
        recipe.changed(arm.changes, f"{where}: before: {name}")
        made.append(arm)
    for arm in (*made, *arms):
        for key, value in arm.changes.items():
            named = _NAMED.fullmatch(value) if isinstance(value, str) else None
            if named and named[1] not in given:
                raise RequestError(
                    f"{where}: arm {arm.name!r}: {key}: no training called {named[1]!r} stands under before. "
                    + (choose(named[1], list(given)) if given else "Add it there.")
                )
    return tuple(made)


def is_before(task: Task) -> bool:
    """Whether the task is one that arms build upon."""
    return task.arm.startswith(PREFIX)


def said_before(before: Iterable[Arm]) -> str:
    """In words, for the document; "" where there is none."""
    each = []
    for arm in before:
        changes = {key: value for key, value in arm.changes.items() if key != ALLOWANCE}
        each.append(f"{arm.name} ({label_of(changes) if changes else 'the recipe as it is'})")
    return f"; before the arms, once a seed: {', '.join(each)}" if each else ""


def filled(recipe: Recipe, before: Iterable[Arm], study: Path, seed: int) -> Recipe:
    """The recipe with the runs of this seed where it names them."""
    places = {f"{{{arm.name}}}": str(task_folder(study, Task(arm.id, seed)).resolve()) for arm in before}
    return Recipe.of(_replaced(recipe.plain(), places)) if places else recipe


def _replaced(plain: Any, places: Mapping[str, str]) -> Any:
    if isinstance(plain, dict):
        return {key: _replaced(value, places) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_replaced(value, places) for value in plain]
    return places.get(plain, plain) if isinstance(plain, str) else plain
