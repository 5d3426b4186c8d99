"""What a folder is - a run, a space, a study, other things - and what to do where another was wanted."""

import json
import shlex
from pathlib import Path
from typing import Any, Literal

from nearfield.core.errors import RequestError

Place = Literal["run", "space", "study", "other things", "empty", "missing"]

_MARKS: dict[Literal["space", "study", "run"], str] = {
    "space": "space.json",
    "study": "plan.json",
    "run": "recipe.yaml",
}
_BEGINNINGS = {
    "run": (
        *("split.csv", "network.txt", "environment.json", "metrics.jsonl", "state", "tensorboard"),
        "lock",
    ),
    "study": (),
}
"""What each writes before its mark: one that was killed there may begin again."""


def place_of(path: str | Path) -> Place:
    """What lies at `path`; a file counts among other things."""
    folder = Path(path)
    for place, mark in _MARKS.items():
        if (folder / mark).is_file():
            return place
    if not folder.exists():
        return "missing"
    return "other things" if folder.is_file() or any(folder.iterdir()) else "empty"


def not_there(wanted: Literal["run", "space", "study"], path: str | Path) -> RequestError:
    """The error where `path` is no run, space or study: what it is instead, and the step that helps."""
    found = place_of(path)
    said = f"No {wanted} at {path}: it has no {_MARKS[wanted]}"
    if found in ("missing", "empty"):
        return RequestError(f"{said}. {_make(wanted, str(path))}")
    if found == "other things":
        return RequestError(
            f"{said}, and holds other things. Correct the path. {_make(wanted, f'NEW_{wanted.upper()}')}"
        )
    return RequestError(f"{said}; it is a {found}. {_step(wanted, found, Path(path))}")


def check_free(path: str | Path, wanted: Literal["run", "study"] = "run") -> None:
    """Raises RequestError where `path` is neither missing, nor empty, nor a run (or study) that was begun."""
    folder, found = Path(path), place_of(path)
    if found in (wanted, "missing", "empty"):
        return
    if found == "other things" and folder.is_dir():
        kept = [each.name for each in folder.iterdir() if each.suffix != ".part"]
        if all(name in _BEGINNINGS[wanted] for name in kept):
            return
    held = f"is a {found}" if found != "other things" else f"holds other things and no {_MARKS[wanted]}"
    raise RequestError(f"--out {path}: it {held}, and a {wanted} has a folder of its own. Give a new one.")


def _make(wanted: str, out: str) -> str:
    out = shlex.quote(out)
    if wanted == "run":
        return f"Train one: nearfield train RECIPE --data DATA --out {out}"
    if wanted == "space":
        return f"Make one: nearfield index RUN --data DATA --out {out}"
    return f"Run one: nearfield study run STUDY --data DATA --out {out}"


def _step(wanted: str, found: str, path: Path) -> str:
    """What helps somebody who gave a run, a space or a study for another of these."""
    given = shlex.quote(str(path))
    if wanted == "run" and found == "space":
        run = _read(path / _MARKS["space"]).get("run")
        return "Give the run that it was made by" + (f": {run}" if run else ".")
    if found == "study":
        runs = f"the folders {given}/runs/ARM/seed-N"
        if wanted == "run":
            return f"Give one of its runs, {runs}"
        return f"Its runs are {runs}. Make a space of one: nearfield index RUN --data DATA --out NEW_SPACE"
    if wanted == "space":
        data = _read(path / "environment.json").get("data", {}).get("given", "DATA")
        new = f"{str(path).rstrip('/')}-space"
        out = "NEW_SPACE" if Path(new).exists() else shlex.quote(new)
        return f"Make a space of it: nearfield index {given} --data {shlex.quote(data)} --out {out}"
    if found == "run":
        return f"A run is looked into by: nearfield explain {given}"
    return f"A space is looked at by: nearfield explore {given}"


def _read(file: Path) -> dict[str, Any]:
    """The values of a JSON file; none where it cannot be read: this is for advice alone."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
