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
    if section == "augment" or rest == "" or rest.split(".")[-1] == "kind":
        return _KINDS.get(section)
    *within, name = rest.split(".")
    texts: list[Mapping[str, str]] = []
    for recipe in arms:
        settings = getattr(recipe, section, None)
        for part in within:  # a part within a part, as the front of a stacked backbone
            settings = getattr(settings, part, None)
        texts.append(getattr(settings, "introductions", {}))
    return " ".join(dict.fromkeys(found[name] for found in texts if name in found)) or None
