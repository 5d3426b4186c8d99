"""What a factor does and what fails at both ends: the texts that stand beside the settings, found by key.

A setting's text is in `introductions` of its class; that of a choice of kind is beside its family's list.
"""

from collections.abc import Iterable, Mapping

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


def introduction(key: str, arms: Iterable[Recipe]) -> str | None:
    """The text on a dotted key, or None where there is none: those of the kinds that the arms' recipes have,
    one after the other (circle's gamma is not focal's)."""
    section, _, rest = key.partition(".")
    if section == "augment" or rest in ("", "kind"):
        return _KINDS.get(section)
    texts: list[Mapping[str, str]] = [
        getattr(getattr(recipe, section, None), "introductions", {}) for recipe in arms
    ]
    return " ".join(dict.fromkeys(found[rest] for found in texts if rest in found)) or None
