"""The families of kinds, read off their settings: what `nearfield list` shows.

A recipe may name the kinds of all but layouts, which are named with the data.
"""

import shutil
import textwrap
from typing import Any

from pydantic_core import PydanticUndefined

from nearfield.core.errors import RequestError, choose
from nearfield.core.settings import Settings, kinds, sentences
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
    """{family: {kind: {"about": sentence, "settings": {key: {"default", "about"}}}}}; of the shipped recipes
    or studies, if they are asked for by name, likewise, without settings.

    Raises RequestError for an unknown family.
    """
    if family is not None and family in SHIPPED:
        files = shipped(SHIPPED[family])
        return {family: {name: {"about": summary(path), "settings": {}} for name, path in files.items()}}
    known = families()
    if family is not None and family not in known:
        raise RequestError(f"There is no family {family!r}. {choose(family, [*known, *SHIPPED])}")
    chosen = {family: known[family]} if family else known
    return {
        name: {kind: _about(settings) for kind, settings in kinds(members).items()}
        for name, members in chosen.items()
    }


def as_text(family: str | None = None, width: int | None = None) -> str:
    """The same, to read; lines are wrapped at `width` characters, by default that of the terminal."""
    width = width or shutil.get_terminal_size((110, 24)).columns
    lines: list[str] = []
    for name, members in as_plain(family).items():
        lines.append(f"{name}{WRITTEN.get(name, '')}:")
        column = max(map(len, members)) + 2
        for kind, about in members.items():
            lines += _wrapped(f"  {kind:<{column}}", about["about"], width)
            if family and about["settings"]:
                lines += _settings(about["settings"], width)
        if name == "losses":
            lines += _wrapped("  ", _of_the_library(), width)
        lines.append("")
    return "\n".join(lines).rstrip()


def _settings(settings: dict[str, dict[str, Any]], width: int) -> list[str]:
    """A line each: its key, its default, its sentence, in columns."""
    shown = {key: _shown(each["default"]) for key, each in settings.items()}
    keys, defaults = max(map(len, shown)), max(map(len, shown.values()))
    return [
        line
        for key, each in settings.items()
        for line in _wrapped(f"      {key:<{keys}}  {shown[key]:<{defaults}}  ", each["about"], width)
    ]


def _shown(default: Any) -> str:
    """A default in a column: of a part that has settings itself, its kind."""
    return str(default["kind"] if isinstance(default, dict) and "kind" in default else default)


def _wrapped(head: str, text: str, width: int) -> list[str]:
    """`text` behind `head`, further lines under its first word."""
    return textwrap.wrap(
        text,
        max(width, len(head) + 30),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    ) or [head.rstrip()]


def _of_the_library() -> str:
    from nearfield.learning.losses.library import READS

    return (
        "Further losses by their class name in pytorch-metric-learning, with its settings "
        f"({{kind: NCALoss, softmax_scale: 2}}): {', '.join(READS)}."
    )


def _about(settings: type[Settings]) -> dict[str, Any]:
    sentence = " ".join((settings.__doc__ or "").split("\n\n")[0].split())
    fields = {name: field for name, field in settings.model_fields.items() if name != "kind"}
    said = sentences(settings)
    return {
        "about": sentence,
        "settings": {
            name: {
                "default": _plain(field.default),
                "about": " ".join(said.get(name, "").split()),
            }
            for name, field in fields.items()
        },
    }


def _plain(default: Any) -> Any:
    if isinstance(default, Settings):  # a part that has parts, such as a stacked backbone
        return default.model_dump(mode="json")
    return None if default is PydanticUndefined else default
