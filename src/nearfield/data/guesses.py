"""Guesses which file a missing one was meant to be: another ending, another case, a slip of the hand."""

import difflib
import os
from pathlib import Path

from nearfield.data.names import is_text

_MANY = 5000
"""Files in a folder beyond which only other endings are looked for."""
_SLIPS = 20
"""Missing files for which a like name is looked for; the search is slow."""


class Guesses:
    """Remembers each folder it has looked at, so that many missing files cost one look."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}
        self._slips = 0

    def near(self, path: Path) -> str | None:
        """Name of the file in the same folder that was most likely meant, or None."""
        stems = self._stems(path.parent)
        if path.stem.lower() in stems:
            return stems[path.stem.lower()]
        self._slips += 1
        if self._slips > _SLIPS or len(stems) > _MANY:
            return None
        close = difflib.get_close_matches(path.stem.lower(), stems, n=1, cutoff=0.8)
        return stems[close[0]] if close else None

    def _stems(self, folder: Path) -> dict[str, str]:
        if folder not in self._folders:
            try:
                names = sorted(filter(is_text, os.listdir(folder)), reverse=True)
            except (OSError, ValueError):
                names = []
            self._folders[folder] = {Path(name).stem.lower(): name for name in names}
        return self._folders[folder]
