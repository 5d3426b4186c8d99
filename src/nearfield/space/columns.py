"""The table of a space's rows: what the collection says of each vector's clip, one row a vector."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nearfield.data.clips import STANDARD
from nearfield.data.views import CHANNEL
from nearfield.space.hearing import Part, Windows

OWN = ("clip", "source", "offset")
"""Columns of our own: the clip that a row is of; what its file holds and which piece of it the clip is; where
the window begins in the clip, in seconds."""

_RESERVED = (*OWN, "position", "vector")


def base_table(table: pd.DataFrame, digests: Sequence[str]) -> pa.Table:
    """A collection's table, one row a clip, with the columns of `OWN`; `digests` say what each file holds.

    A further column whose name is taken becomes `given_NAME`; a dot in a name becomes a line.
    """
    columns = {name: _column(table[name]) for name in STANDARD}
    for name in table:
        if name not in (*STANDARD, "row"):
            plain = str(name).replace(".", "_")
            columns[f"given_{plain}" if plain in _RESERVED else plain] = _column(table[name])
    columns["clip"] = columns["id"]
    columns["source"] = pa.array(_sources(table, digests), pa.string())
    columns["offset"] = pa.array(np.zeros(len(table)))
    return pa.table(columns)


def of_part(base: pa.Table, part: Part, windows: Windows) -> pa.Table:
    """The rows of `part`'s vectors; with `windows` = all, id, times and offset are those of each window."""
    taken = base.take(pa.array(part.rows))
    if windows == "clip":
        return taken
    ids = [f"{clip}@{start:.3f}" for clip, start in zip(taken["clip"].to_pylist(), part.starts, strict=True)]
    starts = pa.array(part.starts)
    own = {
        "id": pa.array(ids, pa.string()),
        "start": pc.add(taken["start"], starts),
        "moment": pc.add(taken["moment"], starts),
        "seconds": pa.array(part.seconds),
        "offset": starts,
    }
    for name, column in own.items():
        taken = taken.set_column(taken.column_names.index(name), name, column)
    return taken


def _sources(table: pd.DataFrame, digests: Sequence[str]) -> list[str]:
    """What decides the vectors of each clip: its file's contents, the piece, the channel."""
    channels = table[CHANNEL] if CHANNEL in table else [""] * len(table)
    rows = zip(digests, table["start"], table["seconds"], channels, strict=True)
    return [
        f"{digest} {start:.6f} {seconds:.6f} {channel}".strip() for digest, start, seconds, channel in rows
    ]


def _column(values: pd.Series) -> pa.Array:
    """A column as Arrow has it; what is of mixed kinds, or of none, becomes text."""
    if values.name == "tags":
        return pa.array([list(tags) for tags in values], pa.list_(pa.string()))
    try:
        column = pa.array(values.to_numpy(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([None if pd.isna(value) else str(value) for value in values], pa.string())
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column
