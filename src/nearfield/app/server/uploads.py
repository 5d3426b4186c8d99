"""A sound or picture that a client sends: kept as a file while needed, looked at before it is decoded."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nearfield.app.server.limits import Limits
from nearfield.core.errors import DataError, RequestError
from nearfield.data import pictures
from nearfield.data.audio import SUFFIXES, describe


@contextlib.contextmanager
def kept(sent: BinaryIO, name: str, kind: str = "sound") -> Iterator[Path]:
    """The bytes as a file of our own naming, gone after the block; of the client's name only a known ending.

    What cannot be read is raised as RequestError, which speaks of "the sound", or what else `kind` is.
    """
    ending = Path(name).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="nearfield-") as folder:
        path = Path(folder) / f"{kind}{ending if ending in SUFFIXES | pictures.SUFFIXES else ''}"
        with path.open("wb") as file:
            shutil.copyfileobj(sent, file, 2**18)
        try:
            yield path
        except DataError as error:
            raise RequestError(str(error).replace(str(path), f"the {kind}")) from None


def check_picture(path: Path) -> None:
    """Raises DataError where the file is no picture, or one of too many pixels; only the header is read."""
    pictures.size(path)


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
