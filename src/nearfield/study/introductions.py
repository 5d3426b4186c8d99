"""What a factor does and what fails at both ends: the texts that stand beside the settings, found by key.

A setting's text is in `introductions` of its class; that of a choice of kind is beside its family's list.
"""

from collections.abc import Mapping
from typing import Any

from nearfield.core.settings import kinds
from nearfield.learning import losses, miners, optimizers, relations, samplers
from nearfield.models import augmentations, backbones, features, normalisation
from nearfield.runs.recipe import Recipe

_KINDS: Mapping[str, str] = {
    "feature": features.INTRODUCTION,
    "normalise": normalisation.INTRODUCTION,
    "augment": augmentations.INTRODUCTION,
    "backbone": backbones.INTRODUCTION,
    "relation": relations.INTRODUCTION,
    "sampler": samplers.INTRODUCTION,
    "miner": miners.INTRODUCTION,
    "loss": losses.INTRODUCTION,
    "optimizer": optimizers.OPTIMIZER_INTRODUCTION,
    "schedule": optimizers.SCHEDULE_INTRODUCTION,
}
"""By section of the recipe."""


def introduction(key: str, recipe: Recipe) -> str | None:
    """The text on a dotted key, or None where there is none.

    Where several kinds have the setting, that of the recipe's own kind is taken first.
    """
    section, _, rest = key.partition(".")
    if section == "augment" or rest in ("", "kind"):
        return _KINDS.get(section)
    for settings in (type(getattr(recipe, section, None)), *_members(section)):
        found: Mapping[str, str] = getattr(settings, "introductions", {})
        if rest in found:
            return found[rest]
    return None


def _members(section: str) -> list[Any]:
    """The kinds that the recipe's section may be of."""
    field = Recipe.model_fields.get(section)
    return list(kinds(field.rebuild_annotation()).values()) if field and section in _KINDS else []
