"""What a server shows: one space or two, suspects and what was decided about them, runs being trained."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import HTTPException

from nearfield.app.server.curves import Runs
from nearfield.app.server.decisions import Decisions
from nearfield.app.server.limits import Limits
from nearfield.app.server.shown import Clip, Shown


@dataclass(frozen=True)
class Exhibition:
    """All that requests may reach."""

    spaces: tuple[Shown, ...] = ()
    """The space, and the one beside it; clips are told by their ids in both."""
    suspects: Sequence[Mapping[str, Any]] = ()
    """id, kind, score, reason, suggestion, proposed, other; the most suspicious first."""
    decisions: Decisions | None = None
    runs: Runs | None = None
    limits: Limits = field(default_factory=Limits)

    def shown(self, number: int) -> Shown:
        """A space by its number. Raises 404."""
        if not 0 <= number < len(self.spaces):
            raise HTTPException(404, f"There is no space number {number} here.")
        return self.spaces[number]

    def without_places(self, text: str) -> str:
        """What a client may read of a message: of all that is shown the names, not the folders it lies in."""
        folders = {str(place.parent) for place in self._places()} - {".", os.sep}
        for folder in sorted(folders, key=len, reverse=True):
            text = text.replace(folder + os.sep, "")
        return text

    def _places(self) -> Iterator[Path]:
        for shown in self.spaces:
            yield from shown.places()
        if self.decisions is not None:
            yield self.decisions.path
        if self.runs is not None:
            yield self.runs.folder

    def clip(self, name: str, number: int = 0) -> tuple[Shown, Clip]:
        """A clip by its id. Raises 404: no other name reaches a file."""
        shown = self.shown(number)
        try:
            return shown, shown.clip(name)
        except KeyError:
            raise HTTPException(404, "There is no clip of this id in the space.") from None
