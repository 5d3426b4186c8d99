"""Requests: uploads checked before decoding, bodies that cannot be read told in sentences."""

import contextlib
import reprlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from fastapi import HTTPException, Request, UploadFile
from pydantic import BaseModel

from nearfield.core.errors import DataError, RequestError
from nearfield.core.settings import complaint
from nearfield.core.types import Floats
from nearfield.data import images
from nearfield.data.audio import SUFFIXES, Waves, decode, describe, mix, resample
from nearfield.server.state import AppState, Limits, LoadedSpace, SpaceClip
from nearfield.space.query import Aim, Resolved, direction
from nearfield.training.tagging import tag

# What a client sent and cannot be read, said in sentences: a body of another sort, a field out of range.


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


# A sound or picture that a client sends: kept as a file while needed, looked at before it is decoded.


@contextlib.contextmanager
def kept(sent: BinaryIO, name: str, kind: str = "sound") -> Iterator[Path]:
    """The bytes as a file of our own naming, gone after the block; of the client's name only a known ending.

    What cannot be read is raised as RequestError, which speaks of "the sound", or what else `kind` is.
    """
    ending = Path(name).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="nearfield-") as folder:
        path = Path(folder) / f"{kind}{ending if ending in SUFFIXES | images.SUFFIXES else ''}"
        with path.open("wb") as file:
            shutil.copyfileobj(sent, file, 2**18)
        try:
            yield path
        except DataError as error:
            raise RequestError(str(error).replace(str(path), f"the {kind}")) from None


def check_picture(path: Path) -> None:
    """Raises DataError where the file is no picture, or one of too many pixels; only the header is read."""
    images.size(path)


def check_upload(path: Path, start: float, seconds: float | None, limits: Limits) -> None:
    """`check_span` for a sound that was sent: a few bytes may hold hours before that span."""
    check_span(path, start, seconds, limits)
    if start + min(seconds or 0.0, limits.seconds) > limits.reach:
        raise RequestError(
            f"start: {start:g} s; of a sound that is sent the first {limits.reach:g} s are decoded at most. "
            "Cut the part out, and send that."
        )


def check_span(path: Path, start: float, seconds: float | None, limits: Limits) -> None:
    """Raises RequestError where the span of a sound is more than may be decoded, DataError where it is none.

    Only the header is read.
    """
    facts = describe(path)
    if facts.channels > limits.channels:
        raise RequestError(
            f"The sound has {facts.channels} channels; {limits.channels} is the most. Mix it first."
        )
    rest = facts.seconds - start
    if rest <= 0:
        raise RequestError(f"start: {start:g} s lies beyond the sound's end at {facts.seconds:g} s.")
    asked = rest if seconds is None else min(rest, seconds)
    most = min(limits.seconds, limits.samples / (facts.rate * facts.channels))
    if asked > most:
        raise RequestError(
            f"The sound has {asked:.0f} s; {most:.0f} s of its kind is the most. "
            "Give start and seconds of a part."
        )


# From what a client points at to a vector or a wave; the one place where the network and clients meet.

Found = TypeVar("Found")
Piece = tuple[Path, float, float | None]
"""A file, seconds from its beginning, how many seconds; None: to its end."""


@dataclass(frozen=True)
class QueryRequest:
    """A clip of the space or a file that was sent, and which part of it."""

    clip: str | None
    file: UploadFile | None
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and self.file is not None:
            raise RequestError("Give a clip or a file, not both.")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is pointed at."""
        return self.clip is None and self.file is None

    @property
    def is_part(self) -> bool:
        """Whether it is less than all of it."""
        return self.start > 0 or self.seconds is not None


@dataclass(frozen=True)
class QueryService:
    """Takes what clients ask of one space; its network works for one at a time, to bound memory."""

    shows: AppState
    number: int

    @property
    def shown(self) -> LoadedSpace:
        """The space. Raises 404 where there is none of this number."""
        return self.shows.shown(self.number)

    def resolve(self, asked: QueryRequest) -> Resolved:
        """What it is in the space; the vector of unit length. Raises RequestError, DataError; 404."""
        shown = self.shown
        if asked.clip is not None and not asked.is_part:
            return self._row(asked.clip)

        def heard(piece: Piece, channel: int | None) -> Resolved:
            path, start, seconds = piece
            return shown.space.resolve((path, start, seconds or 0.0, channel))

        found = self._with_piece(asked, heard)
        own = [] if asked.clip is None else [self._clip(asked.clip).row]
        return Resolved(direction([found.vector], []), np.array(own, np.int64), found.copies)

    def aim(self, asked: QueryRequest, plus: list[str], minus: list[str]) -> Aim:
        """What a search is for: the query and `plus` less `minus`; none of them is an answer."""
        near, far = [self._row(each) for each in plus], [self._row(each) for each in minus]
        if not asked.is_empty:
            near = [self.resolve(asked), *near]
        if not near and not far:
            raise RequestError("A search needs a query: a clip, a file, or clips as plus or minus.")
        return Aim.of(near, far)

    def tags(self, asked: QueryRequest) -> tuple[list[str], Floats]:
        """Names of tags, and what the run says of each, 0..1. Raises RequestError where it knows none."""
        run, is_image = self.shown.tagger(), self.shown.kind == "picture"

        def said(piece: Piece, channel: int | None) -> tuple[list[str], Floats]:
            names, rows = tag(run, [piece[0] if is_image else self._wave(piece, channel)])
            return list(names), rows[0]

        return self._with_piece(asked, said)

    def _wave(self, piece: Piece, channel: int | None) -> Waves:
        """(C, T) at the run's rate."""
        data = self.shown.space.run.recipe.data
        waves, rate = decode(*piece)
        if channel is not None:
            waves = waves[channel : channel + 1]
        mixed = mix(waves, "mean" if data.channels == "views" else data.channels)
        return resample(mixed, rate, data.sample_rate)

    def _row(self, name: str) -> Resolved:
        row = self._clip(name).row
        none = np.empty(0, np.int64)
        return Resolved(direction([self.shown.space.vectors[row]], []), np.array([row], np.int64), none)

    def _clip(self, name: str) -> SpaceClip:
        return self.shows.clip(name, self.number)[1]

    def _with_piece(self, asked: QueryRequest, use: Callable[[Piece, int | None], Found]) -> Found:
        """What `use` makes of the sound or picture that is pointed at, one client at a time."""
        is_image = self.shown.kind == "picture"
        if is_image and asked.is_part:
            raise RequestError("start, seconds: a picture has no parts in time. Leave them out.")
        if asked.file is not None:
            with kept(asked.file.file, asked.file.filename or "", self.shown.kind) as path:
                if is_image:
                    check_picture(path)
                else:
                    check_upload(path, asked.start, asked.seconds, self.shows.limits)
                with self.shown.network:
                    return use((path, asked.start, asked.seconds), None)
        if asked.clip is None:
            raise RequestError("Give a clip of the space, or send a file.")
        clip = self._clip(asked.clip)
        path = self.shown.file(clip)
        if is_image:
            with self.shown.network:
                return use((path, 0.0, None), None)
        if asked.start >= clip.seconds:
            raise RequestError(f"start: the clip has {clip.seconds:g} s. Given: {asked.start:g}.")
        rest = clip.seconds - asked.start
        seconds = rest if asked.seconds is None else min(rest, asked.seconds)
        check_span(path, clip.start + asked.start, seconds, self.shows.limits)
        with self.shown.network:
            return use((path, clip.start + asked.start, seconds), clip.channel)
