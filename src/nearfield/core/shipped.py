"""Recipes and studies that come with the package, found by their names."""

import itertools
import re
from pathlib import Path
from typing import Literal

from nearfield.core.errors import RequestError, choose

Sort = Literal["recipes", "studies"]

HOME = Path(__file__).parents[1]


def shipped(sort: Sort) -> dict[str, Path]:
    """Files by name: "labels", "margin", "questions/Q13_neighbour_range"."""
    folder = HOME / sort
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))
    }


def located(given: str | Path, sort: Sort) -> Path:
    """The file at this path, else the shipped one of this name, else the path as given.

    A path such as labels.yaml never stands for a shipped file: in the wrong folder it would be another one.
    """
    path = Path(given).expanduser()
    return path if path.is_file() else shipped(sort).get(str(given), path)


def text_of(name: str, sort: Sort) -> str:
    """The text of a shipped file. Raises RequestError, naming those that there are."""
    known = shipped(sort)
    if name not in known:
        noun = {"recipes": "recipe", "studies": "study"}[sort]
        raise RequestError(f"No {noun} named {name!r} is shipped. {choose(name, known)}")
    return known[name].read_text(encoding="utf-8")


def summary(path: Path) -> str:
    """Of a shipped file: its title, if it has one, and what the comment at its head says first."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = itertools.takewhile(lambda line: line.startswith("#"), lines)
    first, *more = (line.removeprefix("#").strip() for line in head)
    words = first if first.endswith(".") else " ".join((first, *more))
    said = re.split(r"(?<=[a-z0-9)][.:]) (?=[A-Z])", words, maxsplit=1)[0].rstrip(".:")
    titles = [line.removeprefix("title:").strip() for line in lines if line.startswith("title:")]
    return f"{titles[0]} ({said})." if titles else f"{said}."
