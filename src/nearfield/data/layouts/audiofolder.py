"""The Hugging Face audiofolder and imagefolder: metadata beside the files, in one folder or one a split."""

from dataclasses import replace
from os.path import isabs
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.settings import Settings
from nearfield.data.columns import path_column
from nearfield.data.layouts.table import tables_in, unread_tables
from nearfield.data.listing import Listing
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
        listings = [_read_part(part) for part in _parts(path)]
        if not listings:
            raise DataError(
                f"{path}: there is no metadata.csv, .jsonl or .parquet in it or in train/, test/, ..."
            )
        return Listing(
            pd.concat([listing.table for listing in listings], ignore_index=True),
            path,
            tuple(line for listing in listings for line in listing.lines),
            path.name,
            tuple(problem for listing in listings for problem in listing.problems),
        )


def _parts(folder: Path) -> list[Path]:
    """The folders that are a side of the split and have their own table."""
    inside = sorted(part for part in folder.iterdir() if part.is_dir() and side(part.name))
    return [part for part in inside if tables_in(part)]


def _read_part(folder: Path) -> Listing:
    """The table of one side, paths counting from the folder above it."""
    listing = read_table(tables_in(folder)[0])
    table = listing.table.copy()
    column = path_column(table, listing.source)
    if column:
        cells = [cell_text(cell) for cell in table[column]]
        table[column] = [f"{folder.name}/{cell}" if cell and not isabs(cell) else cell for cell in cells]
    table["split"] = folder.name
    problems = tuple(replace(problem, path=f"{folder.name}/{problem.path}") for problem in listing.problems)
    return replace(listing, table=table, problems=problems)


def _split_by_folder(listing: Listing) -> Listing:
    """Takes the split from each path's first folder, where all are sides and no column says it."""
    column = path_column(listing.table, listing.source)
    if column is None or "split" in listing.table:
        return listing
    firsts = [PurePosixPath(str(cell)).parts[:1] for cell in listing.table[column]]
    if not all(first and side(first[0]) for first in firsts):
        return listing
    return replace(listing, table=listing.table.assign(split=[first[0] for first in firsts]))
