"""The base of all settings classes, families of settings, and messages for invalid values.

The settings of a component are a frozen pydantic class next to the component, with `kind`, a range and a
sentence for each field, and `build()`. A family is a union of such classes, to which installed packages can
add classes (`core.plugins`); it is the only registry."""

import ast
import inspect
import textwrap
import warnings
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from nearfield.core.errors import RequestError, choose
from nearfield.core.plugins import Plugin, PluginWarning, plugins
from nearfield.core.text import count, shortened


class Settings(BaseModel):
    """Base of settings: frozen and typed; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def sentences(settings: type[Settings]) -> dict[str, str]:
    """Returns the docstring of each field of a settings class and its base classes, by key.

    They are read from the source when needed, because pydantic would parse it at the start of every command.
    A class
    without source has none.
    """
    found: dict[str, str] = {}
    for each in reversed(settings.__mro__):
        if issubclass(each, Settings):
            found |= _written(each)
    return found


@cache
def _written(settings: type[Settings]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(settings))
    except (OSError, TypeError):  # defined at run time, or at a prompt
        return {}
    (definition,) = ast.parse(source).body
    found: dict[str, str] = {}
    for key, below in pairwise(definition.body if isinstance(definition, ast.ClassDef) else []):
        match key, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found


Member = TypeVar("Member", bound=Settings)


class Family(Generic[Member]):
    """The kinds that are possible in one place of a recipe: a union of settings classes, and plug-ins.

    It annotates the union, `Annotated[One | Other, Family("losses", Base)]`. Type checkers use the union;
    pydantic uses the union and the classes of other packages. A member whose `kind` has no default represents
    every kind that no other member has.

    Parameters
    ----------
    name : str
        Name of the family in the plural; entry points of the group `nearfield.NAME` add members.
    base : type
        Base class of all members.
    """

    def __init__(self, name: str, base: type[Member]) -> None:
        self.name, self.base = name, base
        self.sources: dict[str, str] = {}
        """Origin of kinds that are not in the union: "replication", or a package and its version."""
        self.faults: dict[str, str] = {}
        """Faults of plug-ins that cannot be used, as sentences by kind."""
        self.other: type[Member] | None = None
        """The member that represents every other kind."""
        self._union: tuple[type[Member], ...] | None = None
        self._kinds: dict[str, type[Member]] | None = None

    def bind(self, union: Any) -> None:
        """Sets the union, so that modules that the union imports can use its kinds."""
        self._union = _listed(union)

    def kinds(self) -> dict[str, type[Member]]:
        """Returns the members by `kind`, those of the union first; plug-ins are imported at the first
        call."""
        if self._kinds is None:
            if self._union is None:
                raise RuntimeError(f"The family {self.name} has no union yet. Call bind first.")
            self._kinds = {}  # set before plug-ins are imported, because they may use the family
            for member in self._union:
                kind = member.model_fields["kind"].default
                if isinstance(kind, str):
                    self._kinds[kind] = member
                else:
                    self.other = member
            for plugin in plugins(self.name):
                self._add(plugin, self._kinds)
        return self._kinds

    def _add(self, plugin: Plugin, members: dict[str, type[Member]]) -> None:
        fault = None
        try:
            member = plugin.load()
        except Exception as error:  # a faulty plug-in must not affect other kinds
            fault = f"cannot be loaded: {type(error).__name__}: {str(error).rstrip('.')}."
        else:
            fault = self._unfit(plugin, member) or self._clash(plugin, member, members)
            if fault is None and members.get(plugin.kind) is not member:
                members[plugin.kind] = member
                self.sources[plugin.kind] = plugin.source
        if fault is not None:
            text = f"The plug-in {plugin.kind!r} of {plugin.source} ({plugin.value}) {fault}"
            self.faults.setdefault(plugin.kind, text)
            warnings.warn(f"{self.name}: {text}", PluginWarning, stacklevel=4)

    def _unfit(self, plugin: Plugin, member: Any) -> str | None:
        if not (isinstance(member, type) and issubclass(member, self.base)):
            return f"is no {self.base.__module__}.{self.base.__name__}, which its class must extend."
        kind = member.model_fields["kind"].default if "kind" in member.model_fields else None
        if kind != plugin.kind:
            return f"calls itself {kind!r}: the entry point and the default of `kind` must be the same."
        return None

    def _clash(self, plugin: Plugin, member: Any, members: dict[str, type[Member]]) -> str | None:
        if members.get(plugin.kind) in (None, member):
            return None
        owner = self.sources.get(plugin.kind, "nearfield")
        return f"is left out: {owner} has a kind of that name. It needs another name."

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Creates the schema of a union that is discriminated by `kind`."""
        if self._union is None:
            self.bind(source)
        members = self.kinds()
        choices: dict[Any, CoreSchema] = {
            kind: handler.generate_schema(each) for kind, each in members.items()
        }
        if self.other is None:
            return core_schema.tagged_union_schema(choices, "kind")
        further = self.other.__name__
        choices[further] = handler.generate_schema(self.other)

        def member(given: Any) -> Any:
            kind = given.get("kind") if isinstance(given, Mapping) else getattr(given, "kind", None)
            known = kind is None or (isinstance(kind, str) and kind in members)
            return kind if known else further

        return core_schema.tagged_union_schema(choices, member)


def kinds(family: Any) -> dict[str, type[Settings]]:
    """Returns the members of a family (a union of settings classes, annotated or not) by `kind`.

    A member whose `kind` has no default is left out.
    """
    found = family_of(family)
    if found is not None:
        return dict(found.kinds())
    by_kind = {member.model_fields["kind"].default: member for member in _listed(family)}
    return {kind: member for kind, member in by_kind.items() if isinstance(kind, str)}


def family_of(annotated: Any) -> Family[Any] | None:
    """Returns the `Family` that annotates a union, bound to the union; None if there is none."""
    for mark in get_args(annotated)[1:] if get_origin(annotated) is Annotated else ():
        if isinstance(mark, Family):
            if mark._union is None:
                mark.bind(annotated)
            return mark
    return None


def make(family: Any, where: str, given: Mapping[str, Any]) -> Any:
    """Creates settings of `family` from plain values.

    Parameters
    ----------
    family
        A settings class, or a union of settings classes.
    where
        Place named in errors ("loss", "recipe.yaml").
    given
        Values by key.

    Raises
    ------
    RequestError
        If a key or value is invalid; the message names the key, what was given, what is allowed and the most
        similar
        valid name.
    """
    try:
        return TypeAdapter(family).validate_python(dict(given))
    except ValidationError as error:
        raise RequestError(explain(error, where, family)) from None


COMPLAINTS = 20
"""Largest number of errors in a message."""
_WANTED = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
}
"""Expected values by type of pydantic's error."""


def explain(error: ValidationError, where: str, family: Any = None) -> str:
    """Formats the errors of a ValidationError, one per line, at most `COMPLAINTS`."""
    found = error.errors()
    lines = [complaint(item, where, family) for item in found[:COMPLAINTS]]
    more = len(found) - COMPLAINTS
    return "\n".join([*lines, *([f"and {count(more, 'more complaint')}."] if more > 0 else [])])


def complaint(item: Mapping[str, Any], where: str, family: Any = None) -> str:
    """Formats one error of pydantic, an item of `ValidationError.errors()`, as a sentence."""
    steps = [str(step) for step in item["loc"]]
    given = item.get("input")
    if item["type"] == "extra_forbidden":
        allowed = _fields(family, steps[:-1])
        place = _key(where, steps[:-1], family)
        return f"{place}: unknown key {shortened(steps[-1])!r}. {choose(steps[-1][:120], allowed)}"
    place = _key(where, steps, family)
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tags = [
            tag.strip().strip("'") for tag in item["ctx"].get("expected_tags", "").split(",") if tag.strip()
        ]
        tags = tags or list(kinds(_member(family, steps)))
        kind = given.get("kind") if isinstance(given, Mapping) else given
        if kind is None:
            return f"{place}: no kind given. {choose('', tags)}"
        union = family_of(_member(family, steps))
        fault = union.faults.get(str(kind)) if union else None
        text = f"{place}: unknown kind {shortened(str(kind))!r}. {choose(str(kind)[:120], tags)}"
        return f"{text} {fault}" if fault else text
    if item["type"] == "missing":
        return f"{place}: missing. It has no default; give a value."
    if item["type"] in _WANTED:
        return f"{place}: {_WANTED[item['type']]} is wanted. Given: {shortened(repr(given))}."
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{place}: {message}"
    return f"{place}: {message[0].lower()}{message[1:]}. Given: {shortened(repr(given))}."


def _member(family: Any, steps: list[str]) -> Any:
    """Returns the type at a path of keys, kinds and list positions, or None if it is unknown."""
    here = family
    for step in steps:
        bare = get_args(here)[0] if get_origin(here) is Annotated else here
        if step.isdigit():
            inner = [a for a in get_args(bare) if a is not Ellipsis and a is not type(None)]
            here = inner[0] if inner else None
            continue
        fields = getattr(bare, "model_fields", None)
        if fields is not None and step in fields:
            here = fields[step].rebuild_annotation()
            continue
        here = kinds(here).get(step, here) if _is_family(here) else here
    return here


def _is_family(union: Any) -> bool:
    """Returns whether it is a union of settings classes, or a `Family`."""
    members = _listed(union)
    is_many = len(members) > 1 or family_of(union) is not None
    return is_many and all(hasattr(member, "model_fields") for member in members)


def _models(union: Any) -> tuple[Any, ...]:
    """Returns the members of a union, annotated or not, with those of other packages."""
    found = family_of(union)
    if found is None:
        return _listed(union)
    return (*found.kinds().values(), *([found.other] if found.other else []))


def _listed(union: Any) -> tuple[Any, ...]:
    """Returns the members of a union as written."""
    inner = get_args(union)[0] if get_origin(union) is Annotated else union
    return tuple(get_args(m)[0] if get_origin(m) is Annotated else m for m in (get_args(inner) or (inner,)))


def _fields(family: Any, steps: list[str]) -> list[str]:
    here = _member(family, steps)
    found: list[str] = []
    for model in _models(here):
        for name in getattr(model, "model_fields", {}):
            if name not in found and name != "kind":
                found.append(name)
    return found


def _key(where: str, steps: list[str], family: Any) -> str:
    """Converts a path of pydantic, `loss.triplet.margin`, to that of the recipe, `loss.margin`."""
    shown: list[str] = []
    for position, step in enumerate(steps):
        before = _member(family, steps[:position])
        if step.isdigit() or not _is_family(before):
            shown.append(f"[{step}]" if step.isdigit() else f".{step}")
    path = "".join(shown).lstrip(".")
    return f"{where}: {path}" if path and where else path or where
