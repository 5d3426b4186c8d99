"""The curves of runs that are being trained: lines of metrics.jsonl from where a client has read to."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError
from nearfield.runs.folder import Folder

_DEPTHS = ("", "*/", "*/*/", "*/*/*/")  # a study's runs are in runs/ARM/SEED
_READ = 2**20  # bytes of one answer
_TAIL = 2**13


@dataclass(frozen=True)
class Runs:
    """The runs in a folder: a run's own, or any that holds some, as a study's."""

    folder: Path

    def found(self) -> dict[str, Folder]:
        """Runs by name, which is their place in the folder, or its own name where it is a run itself."""
        places = [place.parent for depth in _DEPTHS for place in self.folder.glob(f"{depth}metrics.jsonl")]
        named = {place.relative_to(self.folder).as_posix(): place for place in places}
        if "." in named:  # which browsers would take out of an address
            named[self.folder.resolve().name] = named.pop(".")
        return {name: Folder(named[name]) for name in sorted(named)}

    def plain(self) -> list[dict[str, Any]]:
        """For each run its name, last line, kind of loss, number of updates, and how far it is."""
        return [_plain(name, run) for name, run in self.found().items()]

    def lines(self, name: str, after: int) -> tuple[list[dict[str, Any]], int]:
        """Whole lines from byte `after` on, at most a megabyte, and the byte to ask from next.

        A file that has become shorter was taken back to a checkpoint: its lines come from the start, and
        updates that a client knows already come again. Damaged lines are passed over. Raises RequestError
        for a name that is not a run.
        """
        runs = self.found()
        if name not in runs:
            raise RequestError(f"There is no run {name!r} in {self.folder.name}.")
        path = runs[name].metrics
        begin = after if 0 <= after <= path.stat().st_size else 0
        with path.open("rb") as file:
            file.seek(begin)
            read = file.read(_READ)
        whole = read[: read.rfind(b"\n") + 1]
        return [*filter(None, map(_read, whole.split(b"\n")))], begin + len(whole)


def _plain(name: str, run: Folder) -> dict[str, Any]:
    last = _last(run.metrics)
    try:
        recipe = run.recipe()
        facts: dict[str, Any] = {"updates": recipe.train.updates, "loss": recipe.loss.kind}
    except (RequestError, OSError):
        facts = {"updates": None, "loss": None}
    state = "judged" if run.is_judged else "trained" if run.is_trained else "training"
    return {"name": name, "state": state, **facts, "last": last}


def _last(path: Path) -> dict[str, Any] | None:
    """The last whole line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        lines = file.read().split(b"\n")[:-1]
    return next(filter(None, map(_read, reversed(lines))), None)


def _read(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is damaged, as a full disk leaves it."""
    try:
        found = json.loads(line, parse_constant=lambda _: None)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
