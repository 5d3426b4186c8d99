"""Names that recipe keys and kinds had in version 0.1.0, read as the present ones.

Recipes, run folders, spaces and studies of that version hold the old names; nothing else needs this table.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nearfield.core.errors import RequestError

KEYS = {
    "normalise": "normalize",
    "embedding.normalise": "embedding.normalize",
    "sampler.batch": "sampler.batch_size",
    "sampler.neighbours": "sampler.neighbors",
    "sampler.opposites_from": "sampler.negatives_from",
    "miner.alike": "miner.pos_strategy",
    "miner.unlike": "miner.neg_strategy",
    "relation.unlike": "relation.negatives",
    "relation.strength": "relation.pair_weight",
    "train.pictures": "train.figures",
}
"""Dotted key of version 0.1.0 -> the present one."""

AUGMENTATIONS = {
    "kind": {"picture_stretch": "spectrogram_stretch", "colour": "equalizer"},
    "domain": {"picture": "spectrogram"},
}
"""Key of an augmentation -> its values of version 0.1.0 -> the present ones."""

RECIPES = {"pictures": "images"}
"""Shipped recipe of version 0.1.0 -> the present one."""


class OldNameWarning(FutureWarning):
    """A name of version 0.1.0 was read as the present one."""


def current_key(key: str) -> str:
    """The present name of a dotted key, such as "normalise.kind"."""
    for old, new in KEYS.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return key


def current(plain: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """Plain values of a recipe under the present names, and what was renamed, as "old -> new".

    Raises RequestError where a key is given under both of its names.
    """
    found, renamed = dict(plain), list[str]()
    for old, new in KEYS.items():
        *section, old_key = old.split(".")
        here = found.get(section[0]) if section else found
        if not isinstance(here, Mapping) or old_key not in here:
            continue
        new_key = new.rpartition(".")[2]
        if new_key in here:
            raise RequestError(
                f"{where}: {old} is the old name of {new}, and both are given. Leave out {old}."
            )
        moved = {new_key if key == old_key else key: value for key, value in here.items()}
        found = found | {section[0]: moved} if section else moved
        renamed.append(f"{old} -> {new}")
    if isinstance(found.get("augment"), list | tuple):
        changed = [_current_augmentation(each, renamed) for each in found["augment"]]
        found["augment"] = changed
    return found, renamed


def told(where: str, renamed: Iterable[str]) -> str:
    """The sentence of an `OldNameWarning`."""
    return f"{where}: names of version 0.1.0 are read as the present ones: {', '.join(renamed)}."


def _current_augmentation(given: Any, renamed: list[str]) -> Any:
    if not isinstance(given, Mapping):
        return given
    found = dict(given)
    for key, values in AUGMENTATIONS.items():
        if isinstance(found.get(key), str) and found[key] in values:
            renamed.append(f"{found[key]} -> {values[found[key]]}")
            found[key] = values[found[key]]
    return found
