"""The families of kinds, read off their settings: what `nearfield list` shows.

A recipe may name the kinds of all but layouts, which are named with the data.
"""

import shutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from nearfield.cli import reference
from nearfield.cli.reference import key_lines, wrapped
from nearfield.core.errors import RequestError, choose
from nearfield.core.keys import Key, keys
from nearfield.core.plugins import REPLICATION
from nearfield.core.settings import Settings, family_of, kinds
from nearfield.core.shipped import Sort, shipped, summary
from nearfield.core.text import first_paragraph

SHIPPED: dict[str, Sort] = {"recipes": "recipes", "studies": "studies"}
WRITTEN = {
    "recipes": ", named in `nearfield train NAME`; `nearfield recipe NAME` prints one",
    "studies": ", named in `nearfield study run NAME`; `nearfield study print NAME` prints one",
    "layouts": ", recognised or named in DATA: KIND:PATH?setting=value&setting=value",
}
"""How a family is written that no recipe names."""


HOMES = {
    "layouts": ("nearfield.data.layouts", "Layout"),
    "features": ("nearfield.models.features", "FeatureSettings"),
    "normalizations": ("nearfield.models.normalization", "NormalizationSettings"),
    "augmentations": ("nearfield.models.augmentations", "AugmentationSettings"),
    "backbones": ("nearfield.models.backbones", "BackboneSettings"),
    "relations": ("nearfield.learning.relations", "RelationSettings"),
    "samplers": ("nearfield.learning.samplers", "SamplerSettings"),
    "miners": ("nearfield.learning.miners", "MinerSettings"),
    "losses": ("nearfield.learning.losses", "LossSettings"),
    "optimizers": ("nearfield.learning.optimizers", "OptimizerSettings"),
    "schedules": ("nearfield.learning.optimizers", "ScheduleSettings"),
}
"""Every family by its plural name, and where its union stands; imported when it is asked for."""


def families() -> dict[str, Any]:
    """Every family by its plural name; the values are unions of settings."""
    return {name: members_of(name) for name in HOMES}


def members_of(family: str) -> Any:
    """The union of settings of one family."""
    module, union = HOMES[family]
    return getattr(import_module(module), union)


def as_plain(family: str | None = None) -> dict[str, dict[str, Any]]:
    """{family: {kind: {"about": sentence, "settings": {key: {"type", "range", "default", "about"}}}}}; of the
    shipped recipes or studies, if they are asked for by name, likewise, without settings. Keys of a section
    and metrics: see `reference.plain`.

    Raises RequestError for an unknown family.
    """
    if family is not None and family in SHIPPED:
        files = shipped(SHIPPED[family])
        return {family: {name: {"about": summary(path), "settings": {}} for name, path in files.items()}}
    if family is not None and family not in HOMES:
        if family in reference.listed():
            return {family: reference.plain(family)}
        every = [*HOMES, *SHIPPED, *reference.listed()]
        raise RequestError(f"There is no family {family!r}. {choose(family, every)}")
    return {
        name: {kind: _about(settings) for kind, settings in kinds(members_of(name)).items()}
        for name in ([family] if family else HOMES)
    }


def as_text(family: str | None = None, width: int | None = None) -> str:
    """The same, to read; lines are wrapped at `width` characters, by default that of the terminal."""
    width = width or shutil.get_terminal_size((110, 24)).columns
    if family is not None and family not in (*HOMES, *SHIPPED) and family in reference.listed():
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
        for sentence in from_elsewhere(name) if name in HOMES else ():
            lines += wrapped("  ", sentence, width)
        lines.append("")
    if family is None:
        lines += wrapped("further: ", f"nearfield list {'|'.join((*SHIPPED, *reference.listed()))}", width)
    return "\n".join(lines).rstrip()


def from_elsewhere(family: str) -> Iterator[str]:
    """Sentences on the kinds of a family that are for replication, of other packages, or cannot be used."""
    found = family_of(members_of(family))
    if found is None:
        return
    found.kinds()
    by_source: dict[str, list[str]] = {}
    for kind, source in found.sources.items():
        by_source.setdefault(source, []).append(kind)
    for source, listed in by_source.items():
        what = "Of published work, for its replication" if source == REPLICATION else f"Of {source}"
        yield f"{what}: {', '.join(listed)}."
    yield from found.faults.values()


def of_the_library() -> str:
    """The sentence on the losses of pytorch-metric-learning."""
    from nearfield.learning.losses.library import READS

    return (
        "Further losses by their class name in pytorch-metric-learning, with its settings "
        f"({{kind: NCALoss, softmax_scale: 2}}): {', '.join(READS)}."
    )


def _about(settings: type[Settings]) -> dict[str, Any]:
    return {
        "about": first_paragraph(settings.__doc__),
        "settings": {key.name: key.plain() for key in keys(settings, inner=False)},
    }
