"""The Hugging Face audiofolder and imagefolder: metadata beside the files, in one folder or one a split."""

from dataclasses import replace
from os.path import isabs
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.settings import Settings
from nearfield.data.columns import path_columns
from nearfield.data.faults import Problem
from nearfield.data.layouts.table import tables_in, unread_tables
from nearfield.data.listing import Listing
from nearfield.data.search import search
from nearfield.data.splits import side
from nearfield.data.tables import cell_text, read_table


class Audiofolder(Settings):
    """`metadata.csv`, `.jsonl` or `.parquet` with `file_name`, in one folder or one a side.

    https://huggingface.co/docs/datasets/audio_dataset
    """

    kind: Literal["audiofolder"] = "audiofolder"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Metadata in a folder, or in folders in it that are called train, test or the like."""
        if not path.is_dir():
            return False
        found = tables_in(path)
        return found[0].stem == "metadata" if found else bool(_parts(path))

    def read(self, path: Path) -> Listing:
        """One row a clip. Raises DataError where there is no metadata or it cannot be read."""
        found = tables_in(path)
        if found:
            listing = read_table(found[0])
            return _split_by_folder(replace(listing, problems=listing.problems + unread_tables(found)))
        parts = _parts(path)
        listings = [_read_part(part) for part in parts]
        if not listings:
            raise DataError(
                f"{path}: there is no metadata.csv, .jsonl or .parquet in it or in train/, test/, ..."
            )
        return Listing(
            pd.concat([listing.table for listing in listings], ignore_index=True),
            path,
            tuple(line for listing in listings for line in listing.lines),
            path.name,
            tuple(problem for listing in listings for problem in listing.problems) + _unread(path, parts),
        )


def _parts(folder: Path) -> list[Path]:
    """The folders that are a side of the split and have their own table."""
    inside = sorted(part for part in folder.iterdir() if part.is_dir() and side(part.name))
    return [part for part in inside if tables_in(part)]


def _unread(folder: Path, parts: list[Path]) -> tuple[Problem, ...]:
    """A word on each folder beside the sides that holds a table or sounds and was not read."""
    found = []
    for inside in sorted(item for item in folder.iterdir() if item.is_dir() and item not in parts):
        if tables_in(inside) or search(inside).sounds:
            reason = "the folder was not read: it is not called train, val, test or the like."
            if side(inside.name):
                reason = "the folder was not read: there is no metadata.csv, .jsonl or .parquet in it."
            cure = "To use it, rename it or give it a table; else nothing is to be done."
            found.append(Problem("other_folder", inside.name, None, reason, cure, "warning"))
    return tuple(found)


def _read_part(folder: Path) -> Listing:
    """The table of one side, paths counting from the folder above it."""
    listing = read_table(tables_in(folder)[0])
    table = listing.table.copy()
    for column in path_columns(table):
        cells = [cell_text(cell) for cell in table[column]]
        table[column] = [f"{folder.name}/{cell}" if cell and not isabs(cell) else cell for cell in cells]
    table["split"] = folder.name
    problems = tuple(replace(problem, path=f"{folder.name}/{problem.path}") for problem in listing.problems)
    return replace(listing, table=table, problems=problems)


def _split_by_folder(listing: Listing) -> Listing:
    """Takes the split from each path's first folder, where all are sides and no column says it."""
    columns = path_columns(listing.table)
    if not columns or "split" in listing.table:
        return listing
    firsts = [(PurePosixPath(str(cell)).parts or ("",))[0] for cell in listing.table[columns[0]]]
    sides = [side(first) for first in firsts]
    if None not in sides:
        return replace(listing, table=listing.table.assign(split=firsts))
    if len({*sides} - {None}) > 1:
        row = sides.index(None)
        raise DataError(
            f"{listing.source}: some paths begin with a folder called train, test or the like, which says "
            f"the split, and some do not (row {listing.lines[row]}: {firsts[row]!r}). Write a column split, "
            f"or, to have a split made: table:{listing.base}."
        )
    return listing
