"""The hash of a plan under the names that keys had in version 0.1.0: what the published documents print."""

from typing import Any

from nearfield.study.plan import Plan, _digest
from nearfield.training.old_names import AUGMENTATIONS, KEYS

FORMER = {new: old for old, new in KEYS.items()}
VALUES = {key: {new: old for old, new in values.items()} for key, values in AUGMENTATIONS.items()}


def former_hash(plan: Plan) -> str:
    """The hash that version 0.1.0 gave to the same plan."""
    plain = plan.plain()
    del plain["hash"]
    plain["recipe"] = _recipe(plain["recipe"])
    for arm in (*plain["arms"], *plain.get("before", ())):
        kind = plan.recipe_of(arm["id"]).sampler.kind
        arm["changes"] = {_key(key, kind): _value(key, value) for key, value in arm["changes"].items()}
    if plain["search"]:
        plain["search"]["space"] = {_key(key): value for key, value in plain["search"]["space"].items()}
    plain["varied"] = [_key(key) for key in plain["varied"]]
    plain["held"] = plain["held"].replace("normalize", "normalise")  # it lists changes in words
    return _digest(plain)


def _key(key: str, sampler: str = "tiles") -> str:
    if key == "sampler.batch_size" and sampler not in ("tiles", "tag_triplets"):
        return key  # other samplers had that name already
    for new, old in FORMER.items():
        if key == new or key.startswith(f"{new}."):
            return old + key.removeprefix(new)
    return key


def _value(key: str, value: Any) -> Any:
    return [_augmentation(each) for each in value] if key == "augment" else value


def _recipe(plain: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section, values in plain.items():
        if section == "augment":
            found[section] = [_augmentation(each) for each in values]
        elif isinstance(values, dict):
            kind = values.get("kind", "")
            inner = {
                _key(f"{section}.{key}", kind).rpartition(".")[2]: value for key, value in values.items()
            }
            found[_key(section)] = inner
        else:
            found[section] = values
    return found


def _augmentation(given: dict[str, Any]) -> dict[str, Any]:
    return {
        key: VALUES.get(key, {}).get(value, value) if isinstance(value, str) else value
        for key, value in given.items()
    }
