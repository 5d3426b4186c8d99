"""What can be wrong with a clip: `Problem`, a line of a report, and `Fault`, the same as an error."""

import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nearfield.core.errors import DataError

AGAIN = "Copy or download it again, or remove it."


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, why, and what to do about it."""

    kind: str
    """What sort of problem, in one word or two with an underscore: `missing`, `silent`, ..."""
    path: str
    """The file as the table names it, or the table, label or group that the problem is about."""
    row: int | None
    """Line of the table, the header being line 1; None where no one line is meant."""
    reason: str
    cure: str
    severity: Literal["left out", "warning"] = "left out"
    """`left out`: the clip takes no part. `warning`: it does, and somebody should look."""

    def __str__(self) -> str:
        place = self.path if self.row is None else f"{self.path} (row {self.row})"
        return f"{place}: {self.reason} {self.cure}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


class Fault(DataError):  # noqa: N818  (a fault is what it is about; it is listed more often than raised)
    """A clip that cannot be used, with kind, reason and cure apart so that a report can list it."""

    def __init__(self, kind: str, reason: str, cure: str = AGAIN, path: Path | str | None = None) -> None:
        super().__init__(f"{path}: {reason} {cure}" if path else f"{reason} {cure}")
        self.kind, self.reason, self.cure = kind, reason, cure

    def problem(self, path: str, row: int | None = None) -> Problem:
        """The same as a line of a report, under the name that the table gives the file."""
        return Problem(self.kind, path, row, self.reason, self.cure)


def check_file(path: Path | str) -> os.stat_result:
    """The status of a regular file (or of one that `path` links to) with something in it.

    Raises Fault for anything else.
    """
    try:
        status = os.stat(path)
    except PermissionError:
        raise _forbidden(path) from None
    except (OSError, ValueError):
        cure = "Correct the path or bring the file back."
        raise Fault("missing", "there is no such file.", cure, path) from None
    if not stat.S_ISREG(status.st_mode):
        raise Fault("not_a_file", "it is a folder, pipe or device.", "Name a file.", path)
    if not status.st_size:
        raise Fault("empty", "the file is empty: 0 bytes.", path=path)
    if not os.access(path, os.R_OK):
        raise _forbidden(path)
    return status


def _forbidden(path: Path | str) -> Fault:
    return Fault("forbidden", "it may not be read.", "Allow yourself to read it.", path)
