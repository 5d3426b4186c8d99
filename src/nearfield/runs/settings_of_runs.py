"""Which settings runs differ in: recipes as flat keys, and the keys that are not the same in all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nearfield.core.errors import RequestError
from nearfield.runs.recipe import Recipe

Flat = dict[str, Any]
"""A recipe's settings by dotted key, such as {"loss.margin": 0.3}."""


def flat(plain: Mapping[str, Any], into_lists: bool = True) -> Flat:
    """Every setting of plain values; items of lists by their number, from 0, or lists as they are."""
    return dict(_flat(plain, "", Mapping | list if into_lists else Mapping))


def telling(recipes: Sequence[Flat]) -> tuple[Flat, ...]:
    """Of each recipe the settings that are not the same in all, but for those that only some kinds have and
    that stand at what they are without being set: the kind says them already."""
    unlike = differing(recipes)
    shared = {key for key in unlike if all(key in recipe for recipe in recipes)}
    found = []
    for recipe in recipes:
        usual = usual_settings(recipe)
        kept = (key for key in unlike if key in recipe and recipe[key] is not None)
        found.append(
            {key: recipe[key] for key in kept if key in shared or recipe[key] != usual.get(key, object())}
        )
    return tuple(found)


def usual_settings(recipe: Flat) -> Flat:
    """What every setting is where nothing but the kinds of a recipe's sections is set; empty where the kinds
    are not known to this version."""
    kinds: dict[str, Any] = {}
    for key, value in recipe.items():
        section, _, name = key.partition(".")
        if name == "kind" and section != "data":
            kinds[section] = {"kind": value}
    try:
        return flat(Recipe.of(kinds).plain())
    except RequestError:
        return {}


def differing(recipes: Sequence[Flat]) -> dict[str, tuple[Any, ...]]:
    """Keys whose values are not the same in all, with the value of each; None where a recipe has none."""
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    values = {key: tuple(recipe.get(key) for recipe in recipes) for key in keys}
    return {key: each for key, each in values.items() if any(value != each[0] for value in each)}


def _flat(value: Any, at: str, nests: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, nests):
        yield at, value
        return
    for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from _flat(inner, f"{at}.{key}".lstrip("."), nests)
