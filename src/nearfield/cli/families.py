"""The families of kinds, read off their settings: what `nearfield list` shows.

A recipe may name the kinds of all but layouts, which are named with the data.
"""

import shutil
from typing import Any

from nearfield.cli import reference
from nearfield.cli.reference import key_lines, wrapped
from nearfield.core.errors import RequestError, choose
from nearfield.core.keys import Key, keys
from nearfield.core.settings import Settings, kinds
from nearfield.core.shipped import Sort, shipped, summary

SHIPPED: dict[str, Sort] = {"recipes": "recipes", "studies": "studies"}
WRITTEN = {
    "recipes": ", named in `nearfield train NAME`; `nearfield recipe NAME` prints one",
    "studies": ", named in `nearfield study run NAME`; `nearfield study print NAME` prints one",
    "layouts": ", recognised or named in DATA: KIND:PATH?setting=value&setting=value",
}
"""How a family is written that no recipe names."""


def families() -> dict[str, Any]:
    """Every family by its plural name; the values are unions of settings."""
    from nearfield.data.layouts import Layout
    from nearfield.learning.losses import LossSettings
    from nearfield.learning.miners import MinerSettings
    from nearfield.learning.optimizers import OptimizerSettings, ScheduleSettings
    from nearfield.learning.relations import RelationSettings
    from nearfield.learning.samplers import SamplerSettings
    from nearfield.models.augmentations import AugmentationSettings
    from nearfield.models.backbones import BackboneSettings
    from nearfield.models.features import FeatureSettings
    from nearfield.models.normalization import NormalizationSettings

    return {
        "layouts": Layout,
        "features": FeatureSettings,
        "normalizations": NormalizationSettings,
        "augmentations": AugmentationSettings,
        "backbones": BackboneSettings,
        "relations": RelationSettings,
        "samplers": SamplerSettings,
        "miners": MinerSettings,
        "losses": LossSettings,
        "optimizers": OptimizerSettings,
        "schedules": ScheduleSettings,
    }


def as_plain(family: str | None = None) -> dict[str, dict[str, Any]]:
    """{family: {kind: {"about": sentence, "settings": {key: {"type", "range", "default", "about"}}}}}; of the
    shipped recipes or studies, if they are asked for by name, likewise, without settings. Keys of a section
    and metrics: see `reference.plain`.

    Raises RequestError for an unknown family.
    """
    if family is not None and family in SHIPPED:
        files = shipped(SHIPPED[family])
        return {family: {name: {"about": summary(path), "settings": {}} for name, path in files.items()}}
    known = families()
    if family is not None and family in reference.listed():
        return {family: reference.plain(family)}
    if family is not None and family not in known:
        every = [*known, *SHIPPED, *reference.listed()]
        raise RequestError(f"There is no family {family!r}. {choose(family, every)}")
    chosen = {family: known[family]} if family else known
    return {
        name: {kind: _about(settings) for kind, settings in kinds(members).items()}
        for name, members in chosen.items()
    }


def as_text(family: str | None = None, width: int | None = None) -> str:
    """The same, to read; lines are wrapped at `width` characters, by default that of the terminal."""
    width = width or shutil.get_terminal_size((110, 24)).columns
    if family is not None and family in reference.listed():
        return "\n".join(reference.text(family, width))
    lines: list[str] = []
    for name, members in as_plain(family).items():
        lines.append(f"{name}{WRITTEN.get(name, '')}:")
        column = max(map(len, members)) + 2
        for kind, about in members.items():
            lines += wrapped(f"  {kind:<{column}}", about["about"], width)
            if family and about["settings"]:
                lines += key_lines([Key(key, **each) for key, each in about["settings"].items()], width, 6)
        if name == "losses":
            lines += wrapped("  ", of_the_library(), width)
        lines.append("")
    if family is None:
        lines += wrapped("further: ", f"nearfield list {'|'.join((*SHIPPED, *reference.listed()))}", width)
    return "\n".join(lines).rstrip()


def of_the_library() -> str:
    """The sentence on the losses of pytorch-metric-learning."""
    from nearfield.learning.losses.library import READS

    return (
        "Further losses by their class name in pytorch-metric-learning, with its settings "
        f"({{kind: NCALoss, softmax_scale: 2}}): {', '.join(READS)}."
    )


def _about(settings: type[Settings]) -> dict[str, Any]:
    sentence = " ".join((settings.__doc__ or "").split("\n\n")[0].split())
    return {"about": sentence, "settings": {key.name: key.plain() for key in keys(settings, inner=False)}}
