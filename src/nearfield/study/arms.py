"""Arms of a study, and the trainings that arms depend on."""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError, choose
from nearfield.learning.losses.margins import check_margin
from nearfield.study.engines.engine import task_folder
from nearfield.study.records import Arm, Task
from nearfield.training.prepare import check
from nearfield.training.recipe import Recipe, flat
from nearfield.training.run import without_weights
from nearfield.training.setup import build_embedder

# Arms from the study file: products of values, or named changes.

ALLOWANCE = "loss.allow_impossible_margin"
"""The key that `allow_impossible: true` sets in arms whose margin cannot be satisfied."""

AS_IT_IS = "as it is"
"""Name of the arm that uses the recipe without changes."""


def product_arms(vary: Mapping[str, Sequence[Any]], where: str) -> list[Arm]:
    """One arm per value, or per combination of several keys' values; the last key varies fastest."""
    for key, values in vary.items():
        if len(values) < 2:
            raise RequestError(f"{where}: vary: {key}: give two values or more. Given: {list(values)!r}.")
    labels = key_labels(list(vary))
    combinations = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    return [Arm(_id(changes, labels), _name(changes, labels), changes) for changes in combinations]


def named_arms(arms: Mapping[str, Mapping[str, Any] | None], where: str) -> list[Arm]:
    """One arm per name. Nested changes become dotted keys."""
    return [Arm(_slug(name), name, flat(changes or {}, into_lists=False)) for name, changes in arms.items()]


def settle(arm: Arm, base: Recipe, where: str, allow_impossible: bool = False) -> tuple[Arm, Recipe]:
    """The arm with its values as the recipe parses them, and the arm's recipe.

    Raises RequestError, with the arm's name, if the recipe is invalid or cannot be trained.
    """
    place = f"{where}: arm {arm.name!r}"
    changes = dict(arm.changes)
    recipe = base.changed(changes, place)
    if allow_impossible and _is_impossible(recipe) and _can_allow(recipe):
        changes[ALLOWANCE] = True
        recipe = base.changed(changes, place)
    try:
        check(recipe)
    except RequestError as error:
        hint = " To allow it in a study, set allow_impossible: true." if _is_impossible(recipe) else ""
        raise RequestError(f"{place}: {error}{hint}") from None
    plain = recipe.plain()
    return Arm(arm.id, arm.name, {key: value_at(plain, key) for key in changes}), recipe


def check_networks(recipes: Mapping[str, Recipe], where: str) -> None:
    """Builds each distinct network once, without pretrained weights.

    Raises RequestError, with the arm's name, if a network cannot be built.
    """
    built = set()
    for name, recipe in recipes.items():
        parts = json.dumps([getattr(recipe, part).model_dump(mode="json") for part in _PARTS], sort_keys=True)
        if parts in built:
            continue
        built.add(parts)
        channels = recipe.data.image_channels if recipe.modality == "image" else 1
        try:
            build_embedder(without_weights(recipe), channels, 0)
        except RequestError as error:
            raise RequestError(f"{where}: arm {name!r}: {error}") from None


_PARTS = ("data", "feature", "normalize", "backbone", "embedding")


def check_apart(arms: Sequence[Arm], recipes: Mapping[str, Recipe], where: str) -> None:
    """Raises RequestError if two arms have the same name or the same recipe."""
    seen: dict[str, str] = {}
    for arm in arms:
        if arm.id in ("", "baselines") or arm.id.startswith("before-"):
            raise RequestError(
                f"{where}: arm {arm.name!r}: this name is reserved, or cannot be the name of a folder. "
                "Use letters and digits."
            )
        plain = json.dumps(recipes[arm.id].plain(), sort_keys=True)
        for mark, what in ((arm.id, "would share the folder " + arm.id), (plain, "are the same recipe")):
            if mark in seen:
                raise RequestError(
                    f"{where}: arms {seen[mark]!r} and {arm.name!r} {what}. Leave one out, or give them "
                    "different names under arms."
                )
            seen[mark] = arm.name


def find_arm(arms: Iterable[Arm], given: Any, where: str) -> str:
    """The id of the arm that `given` names by id, name or value. Raises RequestError if there is none."""
    named = {arm.id: arm.id for arm in arms} | {arm.name: arm.id for arm in arms}
    if value_name(given) not in named:
        raise RequestError(
            f"{where}: there is no arm {value_name(given)!r}. "
            f"{choose(value_name(given), [arm.name for arm in arms])}"
        )
    return named[value_name(given)]


def varied_keys(arms: Sequence[Arm]) -> tuple[str, ...]:
    """Dotted keys whose values differ between arms, in the order in which they are named."""
    keys = dict.fromkeys(key for arm in arms for key in arm.changes if key != ALLOWANCE)
    values = {key: {json.dumps(arm.changes.get(key, "(none)")) for arm in arms} for key in keys}
    return tuple(key for key in keys if len(values[key]) > 1)


def value_at(plain: Any, key: str) -> Any:
    """The value at a dotted key of plain values."""
    for step in key.split("."):
        plain = plain[int(step)] if isinstance(plain, list) else plain[step]
    return plain


def value_name(value: Any) -> str:
    """A value as figures and tables print it: 0.3, circle, noise+gain, none."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return "+".join(value_name(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return str(value.get("kind") or ", ".join(f"{key} {value_name(each)}" for key, each in value.items()))
    return str(value)


def key_labels(keys: Sequence[str]) -> dict[str, str]:
    """Short names for dotted keys: `margin`, `loss` for loss.kind; the whole key if two would be equal."""
    short = {key: key.removesuffix(".kind").rsplit(".", 1)[-1] for key in keys}
    labels = list(short.values())
    return {key: label if labels.count(label) == 1 else key for key, label in short.items()}


def label_of(changes: Mapping[str, Any]) -> str:
    """Changes as figures print them: "0.3" for one key, "loss circle, m 0.3" for several."""
    return _name(changes, key_labels(list(changes)))


def _name(changes: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if len(changes) == 1:
        return value_name(next(iter(changes.values())))
    return ", ".join(f"{labels[key]} {value_name(value)}" for key, value in changes.items())


def _id(changes: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    return "_".join(_slug(f"{labels[key]}-{value_name(value)}") for key, value in changes.items())


def _slug(text: str) -> str:
    """`text` in lower case, safe as the name of a folder on every system."""
    return re.sub(r"[^a-z0-9.+]+", "-", text.lower()).strip("-.")


def _can_allow(recipe: Recipe) -> bool:
    """Whether the loss has a setting that allows impossible margins."""
    return any(margin.allows_impossible is not None for margin in recipe.loss.margins())


def _is_impossible(recipe: Recipe) -> bool:
    try:
        check_margin(recipe.loss, recipe.embedding.normalize)
    except RequestError:
        return True
    return False


# Trainings that arms depend on, such as a tagger whose backbone or errors the arms use.
#
# The study file lists them under `before`. Each is trained once per seed; arms refer to it as "{name}".

PREFIX = "before-"
"""Prefix of the ids, and therefore of the folders, of these trainings."""
_NAMED = re.compile(r"\{(.*)\}")


def before_arms(
    given: Mapping[str, Mapping[str, Any]], recipe: Recipe, arms: Sequence[Arm], where: str
) -> tuple[Arm, ...]:
    """The trainings under `before`, checked, as arms outside the comparison.

    Raises RequestError if a name or a recipe is invalid, or if an arm names a training that is not listed.
    """
    made = []
    for name, changes in given.items():
        if not re.fullmatch(r"[a-z0-9_]+", name):
            raise RequestError(
                f"{where}: before: {name!r}: a name may contain lower-case letters, digits and _ only. "
                "Rename the training."
            )
        arm = Arm(PREFIX + name, name, flat(changes, into_lists=False))
        recipe.changed(arm.changes, f"{where}: before: {name}")
        made.append(arm)
    for arm in (*made, *arms):
        for key, value in arm.changes.items():
            named = _NAMED.fullmatch(value) if isinstance(value, str) else None
            if named and named[1] not in given:
                raise RequestError(
                    f"{where}: arm {arm.name!r}: {key}: before lists no training {named[1]!r}. "
                    + (choose(named[1], list(given)) if given else "Add it there.")
                )
    return tuple(made)


def is_before(task: Task) -> bool:
    """Whether the task is a training that arms depend on."""
    return task.arm.startswith(PREFIX)


def said_before(before: Iterable[Arm]) -> str:
    """The trainings in words, for the document; "" if there are none."""
    each = []
    for arm in before:
        changes = {key: value for key, value in arm.changes.items() if key != ALLOWANCE}
        each.append(f"{arm.name} ({label_of(changes) if changes else 'the recipe as it is'})")
    return f"; before the arms, once a seed: {', '.join(each)}" if each else ""


def filled(recipe: Recipe, before: Iterable[Arm], study: Path, seed: int) -> Recipe:
    """The recipe with each "{name}" replaced by the folder of that training's run with this seed."""
    places = {f"{{{arm.name}}}": str(task_folder(study, Task(arm.id, seed)).resolve()) for arm in before}
    return Recipe.of(_replaced(recipe.plain(), places)) if places else recipe


def _replaced(plain: Any, places: Mapping[str, str]) -> Any:
    if isinstance(plain, dict):
        return {key: _replaced(value, places) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_replaced(value, places) for value in plain]
    return places.get(plain, plain) if isinstance(plain, str) else plain
