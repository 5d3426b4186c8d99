"""Which settings runs differ in: recipes as flat keys, and the keys that are not the same in all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Flat = dict[str, Any]
"""A recipe's settings by dotted key, such as {"loss.margin": 0.3}."""


def flat(plain: Mapping[str, Any], into_lists: bool = True) -> Flat:
    """Every setting of plain values; items of lists by their number, from 0, or lists as they are."""
    return dict(_flat(plain, "", Mapping | list if into_lists else Mapping))


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
