"""What a client sent and cannot be read, said in sentences: a body of another sort, a field out of range."""

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException, Request
from pydantic import BaseModel

from nearfield.core.settings import complaint


class Refusal(BaseModel):
    """The body of every refusal."""

    detail: str


REFUSED: dict[int | str, dict[str, Any]] = {422: {"model": Refusal, "description": "A field cannot be that"}}
NOT_A_FORM: dict[int | str, dict[str, Any]] = {415: {"model": Refusal, "description": "The body is no form"}}

_SHOWN = 100  # signs of what was sent that are sent back
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


def check_form(request: Request) -> None:
    """Raises 415 where the body is none of the forms that are read; one without a body has no type."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in _FORMS:
        raise HTTPException(
            415,
            f"{request.url.path} reads a form ({' or '.join(_FORMS)}). Given: {kind[:100]}. "
            f"Send the same fields as a form, as by curl -F clip=ID {request.url.path}",
        )


def sentences(complaints: Sequence[Mapping[str, Any]]) -> str:
    """What pydantic complains of, a line each, under the names of the fields without where they stood."""
    return "\n".join(map(_sentence, complaints))


def _sentence(item: Mapping[str, Any]) -> str:
    place = [step if isinstance(step, int) else str(step)[:_SHOWN] for step in item["loc"][1:]]
    if item["type"] == "json_invalid" or not place:
        return "The body is not the JSON object that is wanted here; /openapi.json describes it."
    if item["type"] == "extra_forbidden":
        return f"{place[-1]}: there is no such field. /openapi.json lists those that there are."
    given = _short(item.get("input"))
    if "Expected UploadFile" in item["msg"]:
        return f"{place[-1]}: a file is wanted, as by curl -F {place[-1]}=@FILE. Given: {given!r}."
    return complaint({**item, "loc": place, "input": given}, "")


class _Shown(str):
    """A value as it was written, which is put into sentences without quotation marks."""

    __slots__ = ()
    __repr__ = str.__str__


def _short(given: Any) -> str:
    """What was sent, cut: a body may be as long, and nested as deeply, as its sender likes."""
    return given[:_SHOWN] if isinstance(given, str) else _Shown(reprlib.repr(given)[:_SHOWN])
