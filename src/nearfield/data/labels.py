"""Parsing of labels and tags: one label and any number of tags per clip; ambiguous cells raise an error."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.data.listing import Listing
from nearfield.data.settings import SEPARATORS
from nearfield.data.tables import cell_text, texts

_LONGEST = 20_000  # largest number of characters of a list written as text


def read_labels(listing: Listing, column: str | None, rows: Sequence[int]) -> list[str]:
    """Reads the labels of some rows; a list with one label, also as text, counts as the label.

    Raises DataError if a cell has several labels.
    """
    if column is None:
        return [""] * len(rows)
    source = listing.table.iloc[list(rows)].reset_index(drop=True)
    lists = {at: listed for at, cell in enumerate(source[column]) if (listed := _as_list(cell)) is not None}
    for at, cell in lists.items():
        if len(cell) > 1:
            raise DataError(
                f"{place_of(listing, rows[at])}: the column {column!r} has several labels: {cell}. "
                f"A clip has one label; if they are tags: data.tags={column} and data.label=false."
            )
    if not lists:
        return texts(source, column)
    plain = [lists.get(at, [cell]) for at, cell in enumerate(source[column])]
    return [cell_text(cell[0]) if cell else "" for cell in plain]


def read_tags(listing: Listing, column: str | None, rows: Sequence[int], separator: str | None) -> pd.Series:
    """Reads the tags of some rows; `separator` is a key of `SEPARATORS`, None means the bar.

    Raises DataError if no separator was chosen, no cell has a bar, and some have a comma or a semicolon.
    """
    if column is None:
        return tag_tuples([""] * len(rows))
    cells = list(listing.table[column].iloc[list(rows)])
    if separator is None:
        _refuse_other_separators(listing, column, rows, cells)
    return tag_tuples(cells, SEPARATORS[separator or "bar"])


def tag_tuples(cells: Iterable[Any], separator: str = "|") -> pd.Series:
    """Parses cells to tuples of distinct tags, from `a|b` or from a list, also as text (`['a', 'b']`)."""
    found = []
    for cell in cells:
        listed = _as_list(cell)
        if listed is None:
            listed = cell_text(cell).split(separator)
        found.append(tuple(dict.fromkeys(filter(None, map(cell_text, listed)))))
    return pd.Series(found, dtype=object)


def parted(listing: Listing, column: str) -> tuple[int, str, str] | None:
    """Finds the first cell that may have several labels or tags.

    Returns its row, its text and the name of the separator, or None if there is no such cell.
    """
    cells = [(row, cell_text(cell)) for row, cell in enumerate(listing.table[column]) if not _is_list(cell)]
    for word in ("bar", "semicolon", "comma"):
        for row, text in _with(cells, SEPARATORS[word]):
            if sum(bool(part.strip()) for part in text.split(SEPARATORS[word])) > 1:
                return row, text, word
    return None


def recurring(listing: Listing, column: str) -> tuple[int, str, str] | None:
    """Like `parted` for bar and semicolon, if a part also occurs in another cell; this is typical of tags and
    rare for class names."""
    cells = [(row, cell_text(cell)) for row, cell in enumerate(listing.table[column]) if not _is_list(cell)]
    for word in ("bar", "semicolon"):
        parts = {text: set(filter(None, map(str.strip, text.split(SEPARATORS[word])))) for _, text in cells}
        stands = Counter(part for each in parts.values() for part in each)
        for row, text in cells:
            if len(parts[text]) > 1 and any(stands[part] > 1 for part in parts[text]):
                return row, text, word
    return None


def as_tags(column: str, word: str) -> str:
    """Returns the settings that read a column as tags with a separator."""
    parts = "" if word == "bar" else f" and data.tag_separator={word}"
    return f"data.tags={column} and data.label=false{parts}"


def _refuse_other_separators(
    listing: Listing, column: str, rows: Sequence[int], cells: Sequence[Any]
) -> None:
    plain = [(row, cell_text(cell)) for row, cell in zip(rows, cells, strict=True) if not _is_list(cell)]
    plain = [(row, text) for row, text in plain if _written_list(text) is None]
    if any("|" in text for _, text in plain):
        _refuse_both(listing, column, plain)
        return
    for word in ("semicolon", "comma"):
        row, text = next(_with(plain, SEPARATORS[word]), (None, ""))
        if row is not None:
            raise DataError(
                f"{place_of(listing, row)}: the tags in the column {column!r} have no | between them, but a "
                f"{word}: {text!r}. If it separates tags: data.tag_separator={word}. If each cell is one "
                "tag: data.tag_separator=bar."
            )


def _refuse_both(listing: Listing, column: str, plain: Sequence[tuple[int, str]]) -> None:
    """Raises DataError for semicolons in cells with bars; commas may belong to names of tags."""
    row, text = next(_with(plain, ";"), (None, ""))
    if row is not None:
        raise DataError(
            f"{place_of(listing, row)}: some tags in the column {column!r} have a | between them and some "
            f"a ;: {text!r}. Write | in place of ; if it separates tags. If it belongs to the name of a tag: "
            "data.tag_separator=bar."
        )


def _with(plain: Iterable[tuple[int, str]], sign: str) -> Iterator[tuple[int, str]]:
    return ((row, text) for row, text in plain if sign in text)


def place_of(listing: Listing, row: int) -> str:
    """Returns the table and its line, for messages."""
    line = listing.lines[row]
    return listing.source if line is None else f"{listing.source}: row {line}"


def _is_list(cell: object) -> bool:
    return isinstance(cell, Iterable) and not isinstance(cell, str | bytes | dict)


def _as_list(cell: object) -> list[Any] | None:
    """The elements of a list, also one written as text; None if the cell is not a list."""
    return list(cell) if isinstance(cell, Iterable) and _is_list(cell) else _written_list(cell_text(cell))


def _written_list(text: str) -> list[Any] | None:
    """The elements of a list written as text in Python or JSON; None for other text."""
    if not (text.startswith("[") and text.endswith("]") and len(text) < _LONGEST):
        return None
    is_plain = not any(sign in text for sign in ('"', "\\"))
    for form in (text, text.replace("'", '"')) if is_plain else (text,):
        try:
            listed = json.loads(form)
        except (ValueError, RecursionError):
            continue
        if isinstance(listed, list) and not any(isinstance(each, list | dict) for each in listed):
            return listed
    return None
