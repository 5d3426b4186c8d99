"""The families of kinds, read off their settings: what `nearfield list` shows.

A recipe may name the kinds of all but layouts, which are named with the data.
"""

from typing import Any

from pydantic_core import PydanticUndefined

from nearfield.core.errors import RequestError, choose
from nearfield.core.settings import Settings, kinds, sentences

WRITTEN = {"layouts": ", recognised or named in DATA: KIND:PATH?setting=value&setting=value"}
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
    from nearfield.models.normalisation import NormalisationSettings

    return {
        "layouts": Layout,
        "features": FeatureSettings,
        "normalisations": NormalisationSettings,
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
    """{family: {kind: {"about": sentence, "settings": {key: {"default", "about"}}}}}

    Raises RequestError for an unknown family.
    """
    known = families()
    if family is not None and family not in known:
        raise RequestError(f"There is no family {family!r}. {choose(family, known)}")
    chosen = {family: known[family]} if family else known
    return {
        name: {kind: _about(settings) for kind, settings in kinds(members).items()}
        for name, members in chosen.items()
    }


def as_text(family: str | None = None) -> str:
    """The same, to read."""
    lines: list[str] = []
    for name, members in as_plain(family).items():
        lines.append(f"{name}{WRITTEN.get(name, '')}:")
        for kind, about in members.items():
            lines.append(f"  {kind:<22} {about['about']}")
            if family:
                lines += [
                    f"      {key:<20} {setting['default']!s:<12} {setting['about']}"
                    for key, setting in about["settings"].items()
                ]
        lines.append("")
    return "\n".join(lines).rstrip()


def _about(settings: type[Settings]) -> dict[str, Any]:
    sentence = " ".join((settings.__doc__ or "").split("\n\n")[0].split())
    fields = {name: field for name, field in settings.model_fields.items() if name != "kind"}
    said = sentences(settings)
    return {
        "about": sentence,
        "settings": {
            name: {
                "default": None if field.default is PydanticUndefined else field.default,
                "about": " ".join(said.get(name, "").split()),
            }
            for name, field in fields.items()
        },
    }
