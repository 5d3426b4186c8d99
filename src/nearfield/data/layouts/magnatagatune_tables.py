"""`annotations_final.csv` of MagnaTagATune: a column of 0 and 1 for each tag, tabs between, all quoted."""

from pathlib import Path

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.nouns import Bools
from nearfield.data.layouts.tagged import Tagged

ANNOTATIONS, TOP_TAGS = "annotations_final.csv", "top_tags.txt"
MOST_FREQUENT = 50
"""Tags that are taken where `top_tags.txt` does not name them."""


def read_annotations(path: Path) -> Tagged:
    """Every clip with those of its tags that are taken.

    Raises DataError where the table is missing, cannot be read, or has cells that are neither 0 nor 1, and
    where `top_tags.txt` names a tag that it does not have.
    """
    file = path / ANNOTATIONS
    if not file.is_file():
        raise DataError(f"{path}: there is no {ANNOTATIONS} in it. Give the folder that has it.")
    table = _read(file)
    names = [str(name) for name in table if name not in ("clip_id", "mp3_path")]
    marks = _marks(file, table[names])
    order = _order(path, names, marks)
    columns = [names.index(name) for name in order]
    return Tagged(
        clips=table["clip_id"].tolist(),
        paths=table["mp3_path"].tolist(),
        tags=named(marks[:, columns], order),
        lines=list(range(2, len(table) + 2)),
        order=order,
        source=ANNOTATIONS,
    )


def top_tags(path: Path) -> tuple[str, ...] | None:
    """The tags of `top_tags.txt`, one a line, or None where there is none."""
    file = path / TOP_TAGS
    if not file.is_file():
        return None
    return tuple(filter(None, map(str.strip, file.read_text(encoding="utf-8-sig").splitlines())))


def named(marks: Bools, order: tuple[str, ...]) -> list[tuple[str, ...]]:
    """(N, K) marks as the names of each row's tags, in the order given."""
    rows, columns = np.nonzero(marks)
    ends = np.searchsorted(rows, np.arange(1, len(marks)))
    words = np.array(order, dtype=object)[columns]
    return [tuple(own) for own in np.split(words, ends)]


def _read(file: Path) -> pd.DataFrame:
    text = {"clip_id": str, "mp3_path": str}
    try:
        table = pd.read_csv(file, sep="\t", dtype=text, encoding="utf-8-sig", keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{file}: it cannot be read as a table ({reason}). Download it again.") from None
    missing = [name for name in text if name not in table]
    if missing:
        raise DataError(f"{file}: there is no column {missing[0]!r}. Tabs must stand between its columns.")
    if not len(table):
        raise DataError(f"{file}: there are no rows in it. Download it again.")
    return table


def _marks(file: Path, cells: pd.DataFrame) -> Bools:
    """(N, K) which clip has which tag."""
    numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = np.argwhere((numbers != 0) & (numbers != 1))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise DataError(
            f"{file}: row {row + 2}: {cells.columns[column]!r} is {str(cells.iat[row, column])!r}, neither 0 "
            "nor 1. Download it again."
        )
    return np.asarray(numbers == 1)


def _order(path: Path, names: list[str], marks: Bools) -> tuple[str, ...]:
    """Tags taken: as `top_tags.txt` has them, or the most frequent first, where equal by name."""
    chosen = top_tags(path)
    if chosen is None:
        counts = dict(zip(names, marks.sum(axis=0).tolist(), strict=True))
        used = [name for name in names if counts[name]]
        return tuple(sorted(used, key=lambda name: (-counts[name], name))[:MOST_FREQUENT])
    strangers = [name for name in chosen if name not in names]
    if strangers:
        raise DataError(
            f"{path / TOP_TAGS}: {ANNOTATIONS} has no tag {strangers[0]!r}. Correct or remove it."
        )
    return chosen
