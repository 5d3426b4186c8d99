"""Published lists of a split of MagnaTagATune: `index.tsv` (id, path), `train_gt.tsv` (id, [0.0, 1.0, ...]).

`index_mtt.tsv`, `train_gt_mtt.tsv` and the like are understood too.
"""

import json
from pathlib import Path

import numpy as np

from nearfield.core.errors import DataError
from nearfield.data.layouts.magnatagatune_tables import TOP_TAGS, named, top_tags
from nearfield.data.layouts.published import tab_lines
from nearfield.data.layouts.tagged import Tagged

_SIDES = ("train", "val", "test")


def has_lists(path: Path) -> bool:
    """True where there is an index and a list for each side."""
    return all(_find(path, name) for name in ("index", *(f"{side}_gt" for side in _SIDES)))


def read_index(path: Path) -> dict[str, str]:
    """Path of each clip by its id. Raises DataError where there is no index."""
    return {cells[0]: cells[1] for _, cells in tab_lines(_list(path, "index"), 2)}


def list_sides(path: Path) -> dict[str, str]:
    """Side of each clip by its id. Raises DataError where a list is missing or a clip is in two."""
    sides: dict[str, str] = {}
    for side in _SIDES:
        file = _list(path, f"{side}_gt")
        for number, (clip, _) in tab_lines(file, 2):
            if clip in sides:
                raise DataError(
                    f"{file}: line {number}: the clip {clip!r} is listed for {sides[clip]} already. "
                    "Copy the published lists again."
                )
            sides[clip] = side
    return sides


def read_lists(path: Path) -> tuple[Tagged, list[str]]:
    """Every listed clip with its tags, and the side of each, "" for one whose path is not in the index.

    Raises DataError where a file is missing, and where numbers and names of tags are not as many.
    """
    order = top_tags(path)
    if order is None:
        raise DataError(
            f"{path}: there is no {TOP_TAGS} in it, so the lists' numbers have no names. "
            "Write a tag a line, in the order of the numbers."
        )
    index, by_clip = read_index(path), list_sides(path)
    vectors: list[list[float]] = []
    lines: list[int] = []
    for side in _SIDES:
        file = _list(path, f"{side}_gt")
        for number, (_, cell) in tab_lines(file, 2):
            vectors.append(_vector(file, number, cell, len(order)))
            lines.append(number)
    clips = list(by_clip)
    if not clips:
        raise DataError(f"{path}: the published lists name no clip. Copy them again.")
    tags = named(np.array(vectors) > 0.5, order)
    found = Tagged(clips, [index.get(clip, "") for clip in clips], tags, lines, order, "the published lists")
    return found, [by_clip[clip] if clip in index else "" for clip in clips]


def _vector(file: Path, number: int, cell: str, tags: int) -> list[float]:
    try:
        vector = json.loads(cell)
    except (json.JSONDecodeError, RecursionError):
        vector = None
    if not isinstance(vector, list) or len(vector) != tags or not all(map(_is_number, vector)):
        raise DataError(
            f"{file}: line {number}: there must be {tags} numbers in brackets, one a tag of {TOP_TAGS}."
        )
    return vector


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(path: Path, name: str) -> Path:
    found = _find(path, name)
    if found is None:
        raise DataError(
            f"{path}: there is no {name}.tsv in it. Copy the published lists there, or give ?split=original."
        )
    return found


def _find(path: Path, name: str) -> Path | None:
    found = [path / f"{name}.tsv", *sorted(path.glob(f"{name}_*.tsv"))]
    return next((file for file in found if file.is_file()), None)
