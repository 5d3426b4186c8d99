"""Requests of clients: messages for invalid bodies, checks of uploads, and queries of a space."""

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
from nearfield.data.audio import SUFFIXES, describe
from nearfield.server.state import AppState, Limits, LoadedSpace, SpaceClip
from nearfield.space.query import Aim, Resolved, direction
from nearfield.training.tagging import tag_clips
from nearfield.training.windows import FileClip

# Messages for bodies that cannot be parsed.


class Refusal(BaseModel):
    """The body of every error response."""

    detail: str


REFUSED: dict[int | str, dict[str, Any]] = {422: {"model": Refusal, "description": "A field is invalid"}}
NOT_A_FORM: dict[int | str, dict[str, Any]] = {
    415: {"model": Refusal, "description": "The body is not a form"}
}

_SHOWN = 100  # characters of the input that a message repeats
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


def check_form(request: Request) -> None:
    """Raises a response 415 if the body is not a form; a request without a body has no type, and passes."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in _FORMS:
        raise HTTPException(
            415,
            f"{request.url.path} reads a form ({' or '.join(_FORMS)}). Given: {kind[:100]}. "
            f"Send the same fields as a form, as by curl -F clip=ID {request.url.path}",
        )


def sentences(complaints: Sequence[Mapping[str, Any]]) -> str:
    """Converts the errors of pydantic to text, a line for each, with the name of the field."""
    return "\n".join(map(_sentence, complaints))


def _sentence(item: Mapping[str, Any]) -> str:
    place = [step if isinstance(step, int) else str(step)[:_SHOWN] for step in item["loc"][1:]]
    if item["type"] == "json_invalid" or not place:
        return "The body is not the JSON object that this address expects; /openapi.json describes it."
    if item["type"] == "extra_forbidden":
        return f"{place[-1]}: there is no such field. /openapi.json lists the fields."
    given = _short(item.get("input"))
    if "Expected UploadFile" in item["msg"]:
        return f"{place[-1]}: a file is expected, as by curl -F {place[-1]}=@FILE. Given: {given!r}."
    return complaint({**item, "loc": place, "input": given}, "")


class _Verbatim(str):
    """Text whose repr has no quotation marks."""

    __slots__ = ()
    __repr__ = str.__str__


def _short(given: Any) -> str:
    """The input, shortened: a client may send bodies of any length and depth."""
    return given[:_SHOWN] if isinstance(given, str) else _Verbatim(reprlib.repr(given)[:_SHOWN])


# Uploads, and limits that are checked before decoding.


@contextlib.contextmanager
def temporary_file(upload: BinaryIO, name: str, kind: str = "sound") -> Iterator[Path]:
    """Writes an upload to a temporary file during the block.

    Of the client's name, only a supported suffix is used. DataError in the block becomes RequestError, with
    "the sound" (or `kind`) instead of the path.
    """
    suffix = Path(name).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="nearfield-") as folder:
        path = Path(folder) / f"{kind}{suffix if suffix in SUFFIXES | images.SUFFIXES else ''}"
        with path.open("wb") as file:
            shutil.copyfileobj(upload, file, 2**18)
        try:
            yield path
        except DataError as error:
            raise RequestError(str(error).replace(str(path), f"the {kind}")) from None


def check_picture(path: Path) -> None:
    """Raises DataError if the file is not an image or has too many pixels; only the header is read."""
    images.size(path)


def check_upload(path: Path, start: float, seconds: float | None, limits: Limits) -> None:
    """Checks the span of an uploaded sound like `check_span`, and its start.

    Everything before the span has to be decoded, and a small upload can contain hours of sound.
    """
    check_span(path, start, seconds, limits)
    if start + min(seconds or 0.0, limits.seconds) > limits.reach:
        raise RequestError(
            f"start: {start:g} s; of an uploaded sound, at most the first {limits.reach:g} s are decoded. "
            "Cut the part out and send only that."
        )


def check_span(path: Path, start: float, seconds: float | None, limits: Limits) -> None:
    """Checks that a span of a sound is within the limits of decoding; only the header is read.

    Parameters
    ----------
    path
        A sound file.
    start
        Start of the span, in seconds.
    seconds
        Length of the span; None: to the end of the file.
    limits
        Largest numbers of channels, seconds and samples.

    Raises
    ------
    RequestError
        If the span begins after the end of the file, or exceeds a limit.
    DataError
        If the file is not a sound.
    """
    facts = describe(path)
    if facts.channels > limits.channels:
        raise RequestError(
            f"The sound has {facts.channels} channels; at most {limits.channels} are allowed. Mix it first."
        )
    rest = facts.seconds - start
    if rest <= 0:
        raise RequestError(f"start: {start:g} s is after the end of the sound at {facts.seconds:g} s.")
    asked = rest if seconds is None else min(rest, seconds)
    most = min(limits.seconds, limits.samples / (facts.rate * facts.channels))
    if asked > most:
        raise RequestError(
            f"The sound has {asked:.0f} s; with its rate and channels, at most {most:.0f} s are allowed. "
            "Give start and seconds of a part."
        )


# Queries: from a clip of the space or an upload to its vector or tags.

Found = TypeVar("Found")


@dataclass(frozen=True)
class QueryRequest:
    """A clip of the space or an upload, and the part of it that is meant."""

    clip: str | None
    file: UploadFile | None
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and self.file is not None:
            raise RequestError("Give a clip or a file, not both.")

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a clip nor an upload."""
        return self.clip is None and self.file is None

    @property
    def is_part(self) -> bool:
        """Whether only a part is meant."""
        return self.start > 0 or self.seconds is not None


@dataclass(frozen=True)
class QueryService:
    """Answers queries to one space; its network serves one client at a time, to bound memory."""

    app: AppState
    number: int

    @property
    def space(self) -> LoadedSpace:
        """The space. Raises 404 if there is none with this number."""
        return self.app.shown(self.number)

    def resolve(self, query: QueryRequest) -> Resolved:
        """Returns the unit vector of a query and its rows in the space.

        Raises RequestError or DataError for a part or an upload that cannot be used, 404 for an unknown clip.
        """
        if query.clip is not None and not query.is_part:
            return self._row(query.clip)

        def embed(clip: FileClip) -> Resolved:
            return self.space.space.resolve((clip.path, clip.start, clip.seconds, clip.channel))

        found = self._with_clip(query, embed)
        own = [] if query.clip is None else [self._clip(query.clip).row]
        return Resolved(direction([found.vector], []), np.array(own, np.int64), found.copies)

    def aim(self, query: QueryRequest, plus: list[str], minus: list[str]) -> Aim:
        """Returns the direction of a search: the query and the clips `plus`, minus the clips `minus`.

        None of these clips is an answer. Raises RequestError if there is nothing to search for.
        """
        near, far = [self._row(each) for each in plus], [self._row(each) for each in minus]
        if not query.is_empty:
            near = [self.resolve(query), *near]
        if not near and not far:
            raise RequestError("A search needs a query: a clip, a file, or clips as plus or minus.")
        return Aim.of(near, far)

    def tags(self, query: QueryRequest) -> tuple[list[str], Floats]:
        """Returns the names of K tags and (K,) their probabilities. Raises RequestError if there are none."""
        run = self.space.tagger()

        def tags(clip: FileClip) -> tuple[list[str], Floats]:
            names, rows = tag_clips(run, [clip])
            return list(names), rows[0]

        return self._with_clip(query, tags)

    def _row(self, name: str) -> Resolved:
        row = self._clip(name).row
        none = np.empty(0, np.int64)
        return Resolved(direction([self.space.space.vectors[row]], []), np.array([row], np.int64), none)

    def _clip(self, name: str) -> SpaceClip:
        return self.app.clip(name, self.number)[1]

    def _with_clip(self, query: QueryRequest, use: Callable[[FileClip], Found]) -> Found:
        """Returns what `use` makes of the part of a file that is meant, one client at a time."""
        is_image = self.space.kind == "picture"
        if is_image and query.is_part:
            raise RequestError("start, seconds: an image has no parts in time. Omit them.")
        if query.file is not None:
            with temporary_file(query.file.file, query.file.filename or "", self.space.kind) as path:
                if is_image:
                    check_picture(path)
                else:
                    check_upload(path, query.start, query.seconds, self.app.limits)
                with self.space.network:
                    return use(FileClip(path, query.start, query.seconds or 0.0))
        if query.clip is None:
            raise RequestError("Give a clip of the space, or send a file.")
        clip = self._clip(query.clip)
        path = self.space.file(clip)
        if is_image:
            with self.space.network:
                return use(FileClip(path))
        if query.start >= clip.seconds:
            raise RequestError(f"start: the clip has {clip.seconds:g} s. Given: {query.start:g}.")
        rest = clip.seconds - query.start
        seconds = rest if query.seconds is None else min(rest, query.seconds)
        check_span(path, clip.start + query.start, seconds, self.app.limits)
        with self.space.network:
            return use(FileClip(path, clip.start + query.start, seconds, clip.channel))
