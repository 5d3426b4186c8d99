"""From what a client points at to a vector or a wave; the one place where the network and clients meet."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from fastapi import UploadFile

from nearfield.app.server.exhibition import Exhibition
from nearfield.app.server.shown import Clip, Shown
from nearfield.app.server.uploads import check_picture, check_span, check_upload, kept
from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats
from nearfield.data.audio import Waves, decode, mix, resample
from nearfield.runs.tagging import tag
from nearfield.space.answers import Aim
from nearfield.space.query import Resolved, direction

Found = TypeVar("Found")
Piece = tuple[Path, float, float | None]
"""A file, seconds from its beginning, how many seconds; None: to its end."""


@dataclass(frozen=True)
class Asked:
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
class Desk:
    """Takes what clients ask of one space; its network works for one at a time, to bound memory."""

    shows: Exhibition
    number: int

    @property
    def shown(self) -> Shown:
        """The space. Raises 404 where there is none of this number."""
        return self.shows.shown(self.number)

    def resolve(self, asked: Asked) -> Resolved:
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

    def aim(self, asked: Asked, plus: list[str], minus: list[str]) -> Aim:
        """What a search is for: the query and `plus` less `minus`; none of them is an answer."""
        near, far = [self._row(each) for each in plus], [self._row(each) for each in minus]
        if not asked.is_empty:
            near = [self.resolve(asked), *near]
        if not near and not far:
            raise RequestError("A search needs a query: a clip, a file, or clips as plus or minus.")
        return Aim.of(near, far)

    def tags(self, asked: Asked) -> tuple[list[str], Floats]:
        """Names of tags, and what the run says of each, 0..1. Raises RequestError where it knows none."""
        run, is_picture = self.shown.tagger(), self.shown.kind == "picture"

        def said(piece: Piece, channel: int | None) -> tuple[list[str], Floats]:
            names, rows = tag(run, [piece[0] if is_picture else self._wave(piece, channel)])
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

    def _clip(self, name: str) -> Clip:
        return self.shows.clip(name, self.number)[1]

    def _with_piece(self, asked: Asked, use: Callable[[Piece, int | None], Found]) -> Found:
        """What `use` makes of the sound or picture that is pointed at, one client at a time."""
        is_picture = self.shown.kind == "picture"
        if is_picture and asked.is_part:
            raise RequestError("start, seconds: a picture has no parts in time. Leave them out.")
        if asked.file is not None:
            with kept(asked.file.file, asked.file.filename or "", self.shown.kind) as path:
                if is_picture:
                    check_picture(path)
                else:
                    check_upload(path, asked.start, asked.seconds, self.shows.limits)
                with self.shown.network:
                    return use((path, asked.start, asked.seconds), None)
        if asked.clip is None:
            raise RequestError("Give a clip of the space, or send a file.")
        clip = self._clip(asked.clip)
        path = self.shown.file(clip)
        if is_picture:
            with self.shown.network:
                return use((path, 0.0, None), None)
        if asked.start >= clip.seconds:
            raise RequestError(f"start: the clip has {clip.seconds:g} s. Given: {asked.start:g}.")
        rest = clip.seconds - asked.start
        seconds = rest if asked.seconds is None else min(rest, asked.seconds)
        check_span(path, clip.start + asked.start, seconds, self.shows.limits)
        with self.shown.network:
            return use((path, clip.start + asked.start, seconds), clip.channel)
