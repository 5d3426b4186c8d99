"""Problems of clips: `Problem`, an entry of a report, and `Fault`, the same as an error."""

import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nearfield.core.errors import DataError

AGAIN = "Copy or download it again, or remove it."


@dataclass(frozen=True)
class Problem:
    """A problem of a clip, table, label or group, with its reason and remedy."""

    kind: str
    """Identifier of the kind of problem: `missing`, `silent`, `nan_samples`, ..."""
    path: str
    """The file as the table names it, or the table, label or group with the problem."""
    row: int | None
    """Line of the table, where the header is line 1; None if the problem is not in one line."""
    reason: str
    cure: str
    severity: Literal["left out", "warning"] = "left out"
    """`left out`: the clip is not used. `warning`: it is used, but should be checked."""

    def __str__(self) -> str:
        place = self.path if self.row is None else f"{self.path} (row {self.row})"
        return f"{place}: {self.reason} {self.cure}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return asdict(self)


class Fault(DataError):  # noqa: N818  (faults are more often listed than raised)
    """The error for an unusable clip; kind, reason and cure are attributes, so that a report can list it."""

    def __init__(self, kind: str, reason: str, cure: str = AGAIN, path: Path | str | None = None) -> None:
        super().__init__(f"{path}: {reason} {cure}" if path else f"{reason} {cure}")
        self.kind, self.reason, self.cure = kind, reason, cure

    def problem(self, path: str, row: int | None = None) -> Problem:
        """Returns the fault as a `Problem` of the file `path`, named as in the table."""
        return Problem(self.kind, path, row, self.reason, self.cure)


def check_file(path: Path | str) -> os.stat_result:
    """Returns the status of a regular, non-empty file or link to one. Raises Fault for anything else."""
    try:
        status = os.stat(path)
    except PermissionError:
        raise _forbidden(path) from None
    except (OSError, ValueError):
        cure = "Correct the path or restore the file."
        raise Fault("missing", "there is no such file.", cure, path) from None
    if not stat.S_ISREG(status.st_mode):
        raise Fault("not_a_file", "it is a folder, pipe or device.", "Name a file.", path)
    if not status.st_size:
        raise Fault("empty", "the file is empty: 0 bytes.", path=path)
    if not os.access(path, os.R_OK):
        raise _forbidden(path)
    return status


def _forbidden(path: Path | str) -> Fault:
    return Fault("forbidden", "there is no permission to read it.", "Change its permissions.", path)
