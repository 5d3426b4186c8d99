"""Settings classes that stand in no union of ours: those for replication, and those of other packages.

A package adds a kind to a family by an entry point: its name is the kind, its value the settings class.

    [project.entry-points."nearfield.losses"]
    lifted = "my_package:Lifted"

Kinds that only the repetition of published work needs are named in the same way by a table of this package,
`replication/kinds.toml`, because a checkout on the path has no entry points. Nothing is imported before the
members of its family are asked for.
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
"""Begins the names of groups of entry points, one a family."""
REPLICATION = "replication"
"""The source of the kinds of that table."""


class PluginWarning(UserWarning):
    """A kind that another package adds cannot be used; everything else works."""


@dataclass(frozen=True)
class Plugin:
    """A settings class that is offered to a family, not imported yet."""

    kind: str
    value: str
    """Where it is: module:class."""
    source: str
    """The package that offers it, with its version."""

    def load(self) -> Any:
        """The class. Raises whatever its import raises."""
        module, _, name = self.value.partition(":")
        return getattr(import_module(module), name)


def plugins(family: str) -> tuple[Plugin, ...]:
    """What is offered to a family: first that of the table, then that of other packages by their names."""
    shipped = tuple(Plugin(kind, value, REPLICATION) for kind, value in _table().get(family, {}).items())
    found = [
        Plugin(each.name, each.value, f"{each.dist.name} {each.dist.version}" if each.dist else "unknown")
        for each in _installed()
        if each.group == f"{GROUP}{family}"
    ]
    negative = dict.fromkeys(sorted(found, key=lambda each: (each.source.lower(), each.kind)))
    return (*shipped, *negative)


@cache
def _table() -> dict[str, dict[str, str]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """The entry points of all packages that are ours to read; a search takes a few milliseconds."""
    found = (each for package in distributions() for each in package.entry_points)
    return tuple(each for each in found if each.group.startswith(GROUP))
