"""Recipes and studies that are part of the package, by name."""

import itertools
import re
from pathlib import Path
from typing import Literal

from nearfield.core.errors import RequestError, choose

Sort = Literal["recipes", "studies"]

HOME = Path(__file__).parents[1]


def shipped(sort: Sort) -> dict[str, Path]:
    """Returns the files by name: "labels", "margin", "questions/Q13_neighbour_range"."""
    folder = HOME / sort
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))
    }


def located(given: str | Path, sort: Sort) -> Path:
    """Returns the file at this path, else the shipped file of this name, else the path as given.

    A path such as labels.yaml never means a shipped file: in a wrong folder, another file would be used.
    """
    path = Path(given).expanduser()
    return path if path.is_file() else shipped(sort).get(str(given), path)


def text_of(name: str, sort: Sort) -> str:
    """Reads a shipped file. Raises RequestError, with the known names, if there is none."""
    known = shipped(sort)
    if name not in known:
        noun = {"recipes": "recipe", "studies": "study"}[sort]
        raise RequestError(f"No {noun} named {name!r} is shipped. {choose(name, known)}")
    return known[name].read_text(encoding="utf-8")


def summary(path: Path) -> str:
    """Returns the title of a shipped file, if it has one, and the first sentence of its head comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = itertools.takewhile(lambda line: line.startswith("#"), lines)
    first, *more = (line.removeprefix("#").strip() for line in head)
    words = first if first.endswith(".") else " ".join((first, *more))
    sentence = re.split(r"(?<=[a-z0-9)][.:]) (?=[A-Z])", words, maxsplit=1)[0].rstrip(".:")
    titles = [line.removeprefix("title:").strip() for line in lines if line.startswith("title:")]
    return f"{titles[0]} ({sentence})." if titles else f"{sentence}."
