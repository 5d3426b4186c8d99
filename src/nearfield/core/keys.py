"""Descriptions of the keys of settings classes: type, range, default and sentence."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from nearfield.core.settings import Family, Settings, sentences
from nearfield.core.text import enumerated

REQUIRED = "required"
"""Default of a key without one."""
_PLAIN: dict[Any, str] = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    Any: "any value",
}

_SEVERAL = {"choice": "choices", "number": "numbers", "whole number": "whole numbers", "any value": "values"}


@dataclass(frozen=True)
class Key:
    """One key of a settings class."""

    name: str
    """Name with the keys of enclosing settings: "fold.of"."""
    type: str
    """"whole number", "number or none", "list of text"."""
    range: str
    """"1 to 100", or the choices; empty if all values of the type are allowed."""
    default: Any
    """A plain value, or `REQUIRED`."""
    about: str

    @property
    def allowed(self) -> str:
        """Type and range in one text."""
        return f"{self.type}: {self.range}" if self.range else self.type

    def plain(self) -> dict[str, Any]:
        """Returns JSON values, without the name."""
        return {"type": self.type, "range": self.range, "default": self.default, "about": self.about}


def keys(settings: type[Settings], inner: bool = True) -> Iterator[Key]:
    """Yields the keys of a settings class in order; with `inner`, each key is followed by its nested keys."""
    written = _sentences(settings)
    for name, field in settings.model_fields.items():
        if name == "kind":
            continue
        found, allowed = _described(field.annotation, field.metadata)
        about = " ".join(written.get(name, "").split())
        yield Key(name, found, allowed, _default(field), about)
        if inner:
            for prefix, held in _held(field.annotation):
                yield from (
                    Key(f"{name}{prefix}.{each.name}", each.type, each.range, each.default, each.about)
                    for each in keys(held)
                )


_sentences = cache(sentences)  # parsing the source is slow


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return REQUIRED
    return plain(field.get_default(call_default_factory=True))


def plain(value: Any) -> Any:
    """Converts a default to a JSON value."""
    if isinstance(value, Settings):
        return value.model_dump(mode="json")
    return None if value is PydanticUndefined else value


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _described(annotation: Any, marks: Any = ()) -> tuple[str, str]:
    """The type and the range of a value, in words."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _described(inner, (*marks, *more))
    members = [each for each in _members(annotation) if each is not types.NoneType]
    is_family = any(isinstance(mark, Family) for mark in marks)
    if is_family or (len(members) > 1 and all(_is_kind(each) for each in members)):
        return enumerated(["kind", *(["none"] if types.NoneType in _members(annotation) else [])], "or"), ""
    found = [_single(each, marks) for each in members]
    names = list(dict.fromkeys(name for name, _ in found))
    if types.NoneType in _members(annotation):
        names.append("none")
    return enumerated(names, "or"), "; ".join(allowed for _, allowed in found if allowed)


def _single(annotation: Any, marks: Any) -> tuple[str, str]:
    """The type and the range of a value that is not a union, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _described(annotation, marks)
    if origin is Literal:
        values = [_value(value) for value in inner]
        return (values[0], "") if len(values) == 1 else ("choice", ", ".join(values))
    if origin in (tuple, list):
        name, allowed = _described(inner[0])
        return f"list of {_SEVERAL.get(name, name)}", allowed
    if origin is dict:
        return "keys and values", ""
    if _is_kind(annotation):
        return "keys", ""
    return _PLAIN.get(annotation, "text"), _bounds(marks) if annotation in (int, float) else ""


def _is_kind(annotation: Any) -> bool:
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return isinstance(inner, type) and issubclass(inner, Settings)


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(marks: Any) -> str:
    """ "1 to 100", "above 0", "0 or more, below 1"."""
    every = [each for mark in marks for each in (mark.metadata if isinstance(mark, FieldInfo) else (mark,))]
    ends = {
        name: f"{getattr(mark, name):,}".removesuffix(".0")
        for mark in every
        for name in ("ge", "gt", "le", "lt")
        if hasattr(mark, name)
    }
    if {"ge", "le"} <= set(ends):
        return f"{ends['ge']} to {ends['le']}"
    words = {"ge": "{} or more", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
    return ", ".join(text.format(ends[name]) for name, text in words.items() if name in ends)


def _held(annotation: Any) -> Iterator[tuple[str, type[Settings]]]:
    """Nested settings classes without kinds, with the prefix of their keys."""
    if get_origin(annotation) is Annotated:
        yield from _held(get_args(annotation)[0])
        return
    for each in _members(annotation):
        if get_origin(each) is dict:
            yield from ((f".KEY{prefix}", held) for prefix, held in _held(get_args(each)[1]))
        elif get_origin(each) in (tuple, list):
            yield from ((f"[]{prefix}", held) for prefix, held in _held(get_args(each)[0]))
        elif _is_kind(each) and "kind" not in each.model_fields:
            yield "", each
