"""Plugins: settings classes and metrics of other packages, and those of `replication`.

A package adds a kind to a family by an entry point. Its name is the kind, its value the settings class.

    [project.entry-points."nearfield.losses"]
    lifted = "my_package:Lifted"

For metrics the group is `nearfield.metrics`, and the value a `metrics.registry.MetricPlugin`.

Kinds needed only for the replication of published work are listed in `replication/kinds.toml` in the same
way, because a checkout on the path has no entry points. A plugin is imported when the members of its family
are first used.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "replication" / "kinds.toml"
GROUP = "nearfield."
"""Prefix of the groups of entry points; there is one group per family."""
REPLICATION = "replication"
"""The source of the kinds of that table."""


class PluginWarning(UserWarning):
    """A kind of another package cannot be used; everything else works."""


@dataclass(frozen=True)
class Plugin:
    """A settings class, or metrics, that a package adds to a family, not imported yet."""

    kind: str
    value: str
    """Location as module:class."""
    source: str
    """The package that adds it, with its version."""

    def load(self) -> Any:
        """Imports and returns the object. Raises whatever its import raises."""
        module, _, name = self.value.partition(":")
        return getattr(import_module(module), name)


def plugins(family: str) -> tuple[Plugin, ...]:
    """Returns the plugins of a family: first those of the table, then those of other packages by name."""
    shipped = tuple(Plugin(kind, value, REPLICATION) for kind, value in _table().get(family, {}).items())
    found = [
        Plugin(each.name, each.value, f"{each.dist.name} {each.dist.version}" if each.dist else "unknown")
        for each in _installed()
        if each.group == f"{GROUP}{family}"
    ]
    unique = dict.fromkeys(sorted(found, key=lambda each: (each.source.lower(), each.kind)))
    return (*shipped, *unique)


@cache
def _table() -> dict[str, dict[str, str]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """The entry points for Nearfield of all packages; the search takes a few milliseconds."""
    found = (each for package in distributions() for each in package.entry_points)
    return tuple(each for each in found if each.group.startswith(GROUP))
