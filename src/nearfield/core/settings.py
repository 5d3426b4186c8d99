"""The base of every settings class, and the turning of a refused value into a sentence a person can use.

A component's settings are one frozen pydantic class beside the component, with `kind`, a range and a
sentence for each field, and `build()`. A family's list is a union of such classes: the only registry.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from nearfield.core.errors import RequestError, choose
from nearfield.core.text import count, shortened


class Settings(BaseModel):
    """Frozen, typed settings; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def sentences(settings: type[Settings]) -> dict[str, str]:
    """What is written under each key of a settings class and of those that it extends.

    Read from the source when it is asked for: pydantic would parse it at every start of every command. A
    class without source adds none.
    """
    found: dict[str, str] = {}
    for each in reversed(settings.__mro__):
        if issubclass(each, Settings):
            found |= _written(each)
    return found


def _written(settings: type[Settings]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(settings))
    except (OSError, TypeError):  # made at run time, or at a prompt
        return {}
    (definition,) = ast.parse(source).body
    found: dict[str, str] = {}
    for key, below in pairwise(definition.body if isinstance(definition, ast.ClassDef) else []):
        match key, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found


def kinds(family: Any) -> dict[str, type[Settings]]:
    """The members of a family (a union of settings classes, annotated or not), by their `kind`.

    A member that stands for many kinds (its `kind` has no default) is left out.
    """
    union = get_args(family)[0] if get_origin(family) is Annotated else family
    members = [get_args(m)[0] if get_origin(m) is Annotated else m for m in (get_args(union) or (union,))]
    by_kind = {member.model_fields["kind"].default: member for member in members}
    return {kind: member for kind, member in by_kind.items() if isinstance(kind, str)}


def make(family: Any, where: str, given: Mapping[str, Any]) -> Any:
    """Settings of `family` from plain values; `where` names the place in errors ("loss", "recipe.yaml").

    Raises RequestError with the key, what was given, what is allowed and the nearest right spelling.
    """
    try:
        return TypeAdapter(family).validate_python(dict(given))
    except ValidationError as error:
        raise RequestError(explain(error, where, family)) from None


COMPLAINTS = 20
"""Complaints of one file that are told."""
_WANTED = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
}
"""What pydantic's complaints about a value of another sort mean."""


def explain(error: ValidationError, where: str, family: Any = None) -> str:
    """The complaints of a ValidationError, one line each; of very many the first."""
    found = error.errors()
    lines = [complaint(item, where, family) for item in found[:COMPLAINTS]]
    more = len(found) - COMPLAINTS
    return "\n".join([*lines, *([f"and {count(more, 'more complaint')}."] if more > 0 else [])])


def complaint(item: Mapping[str, Any], where: str, family: Any = None) -> str:
    """One complaint of pydantic, as a ValidationError lists them, as a sentence."""
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
        return f"{place}: unknown kind {shortened(str(kind))!r}. {choose(str(kind)[:120], tags)}"
    if item["type"] == "missing":
        return f"{place}: missing. It has no default; give a value."
    if item["type"] in _WANTED:
        return f"{place}: {_WANTED[item['type']]} is wanted. Given: {shortened(repr(given))}."
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{place}: {message}"
    return f"{place}: {message[0].lower()}{message[1:]}. Given: {shortened(repr(given))}."


def _member(family: Any, steps: list[str]) -> Any:
    """The type at the end of a path of keys, kinds and list positions, or None where it cannot be told."""
    here = family
    for step in steps:
        if get_origin(here) is Annotated:
            here = get_args(here)[0]
        if step.isdigit():
            inner = [a for a in get_args(here) if a is not Ellipsis and a is not type(None)]
            here = inner[0] if inner else None
            continue
        fields = getattr(here, "model_fields", None)
        if fields is not None and step in fields:
            here = fields[step].rebuild_annotation()
            continue
        by_kind = (
            kinds(here) if get_args(here) and all(hasattr(m, "model_fields") for m in _models(here)) else {}
        )
        here = by_kind.get(step, here if step not in by_kind else None)
    return here


def _models(union: Any) -> list[Any]:
    inner = get_args(union)[0] if get_origin(union) is Annotated else union
    return [get_args(m)[0] if get_origin(m) is Annotated else m for m in (get_args(inner) or (inner,))]


def _fields(family: Any, steps: list[str]) -> list[str]:
    here = _member(family, steps)
    found: list[str] = []
    for model in _models(here):
        for name in getattr(model, "model_fields", {}):
            if name not in found and name != "kind":
                found.append(name)
    return found


def _key(where: str, steps: list[str], family: Any) -> str:
    """`loss.triplet.margin` as pydantic has it, written `loss.margin` as the recipe has it."""
    shown: list[str] = []
    for position, step in enumerate(steps):
        before = _member(family, steps[:position])
        is_tag = (
            not step.isdigit()
            and not hasattr(before, "model_fields")
            and all(hasattr(m, "model_fields") for m in _models(before))
        )
        if not is_tag:
            shown.append(f"[{step}]" if step.isdigit() else f".{step}")
    path = "".join(shown).lstrip(".")
    return f"{where}: {path}" if path and where else path or where
