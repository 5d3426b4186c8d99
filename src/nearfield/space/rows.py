"""The rows of a space: the metadata of each vector, in an Arrow file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nearfield.core.errors import DataError, RequestError, choose
from nearfield.core.extras import require
from nearfield.core.types import Bools, Ints
from nearfield.data.clips import CHANNEL, STANDARD
from nearfield.space.filters import Condition, unmet
from nearfield.space.identity import WindowMode
from nearfield.space.shards import Shard
from nearfield.space.storage import in_force

# The table of rows: the collection's columns for the clip of each vector.

OWN = ("clip", "source", "offset")
"""Added columns: the id of the clip; the digest of its file with start, length and channel; the start of the
window in the clip, in seconds."""

_RESERVED = (*OWN, "position", "vector")


def base_table(table: pd.DataFrame, digests: Sequence[str]) -> pa.Table:
    """The table of a collection, one row per clip, with the columns of `OWN`; `digests` are of its files.

    A further column with a reserved name becomes `given_NAME`; a dot in a name becomes an underscore.
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


def of_shard(base: pa.Table, shard: Shard, windows: WindowMode) -> pa.Table:
    """The rows of the vectors in `shard`; with `windows` = all, id, times and offset are per window."""
    taken = base.take(pa.array(shard.rows))
    if windows == "clip":
        return taken
    ids = [f"{clip}@{start:.3f}" for clip, start in zip(taken["clip"].to_pylist(), shard.starts, strict=True)]
    starts = pa.array(shard.starts)
    own = {
        "id": pa.array(ids, pa.string()),
        "start": pc.add(taken["start"], starts),
        "moment": pc.add(taken["moment"], starts),
        "seconds": pa.array(shard.seconds),
        "offset": starts,
    }
    for name, column in own.items():
        taken = taken.set_column(taken.column_names.index(name), name, column)
    return taken


def _sources(table: pd.DataFrame, digests: Sequence[str]) -> list[str]:
    """What determines the vectors of each clip: the contents of its file, start, length and channel."""
    channels = table[CHANNEL] if CHANNEL in table else [""] * len(table)
    rows = zip(digests, table["start"], table["seconds"], channels, strict=True)
    return [
        f"{digest} {start:.6f} {seconds:.6f} {channel}".strip() for digest, start, seconds, channel in rows
    ]


def _column(values: pd.Series) -> pa.Array:
    """Converts a column to Arrow; mixed or empty types become text."""
    if values.name == "tags":
        return pa.array([list(tags) for tags in values], pa.list_(pa.string()))
    try:
        column = pa.array(values.to_numpy(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([None if pd.isna(value) else str(value) for value in values], pa.string())
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


# The stored table: a memory-mapped Arrow file; in an older space, a LanceDB table.

TABLE = "rows"
FILE = "rows.arrow"
_CHUNK = 1 << 16  # rows per record batch
POSITION = "position"
"""The column with the number of each row and of its vector."""


@dataclass(frozen=True)
class Rows:
    """The table in one generation's folder."""

    folder: Path

    @classmethod
    def write(cls, folder: Path, table: pa.Table) -> "Rows":
        """Writes the rows of a generation, in the order of its vectors."""
        numbered = table.append_column(POSITION, pa.array(np.arange(len(table))))
        with pa.OSFile(str(folder / FILE), "wb") as file, pa.ipc.new_file(file, numbered.schema) as writer:
            writer.write_table(numbered, max_chunksize=_CHUNK)
        return cls(folder)

    @cached_property
    def stored(self) -> pa.Table:
        """The memory-mapped Arrow file; in a space of an earlier version, the LanceDB table.

        Raises DataError if it cannot be read.
        """
        path = in_force(self.folder) / FILE
        try:
            if not path.is_file():
                return connect(self.folder).open_table(TABLE).to_arrow().sort_by(POSITION)
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            table.validate(full=True)  # otherwise Arrow follows damaged offsets beyond the end of the file
            return table
        except (pa.ArrowException, ValueError, RuntimeError, OSError) as error:
            raise DataError(
                f"{path} cannot be read: {_first(error)} `nearfield index --verify --out "
                f"{self.folder.parents[1]}` names the command that makes the space again."
            ) from None

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [name for name in self.stored.column_names if name != POSITION]

    def __len__(self) -> int:
        return int(self.stored.num_rows)

    def take(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Rows by number, in the order given."""
        table = self.stored.drop_columns([POSITION])
        return [row for each in positions for row in table.slice(int(each), 1).to_pylist()]

    def read(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Columns (None: all) of the rows that `where` selects, in the order of vectors.

        `where` is a condition such as "label = 'rain' AND array_has(tags, 'wet')", or words to search for;
        see `filters`. Raises RequestError if it is invalid.
        """
        wanted = [name for name in (self.names if columns is None else columns) if name != POSITION]
        if unknown := [name for name in wanted if name not in self.names]:
            raise RequestError(f"columns: unknown {unknown[0]!r}. {choose(unknown[0], self.names)}")
        found = self.stored.select([*wanted, POSITION])
        return found if where is None else found.filter(Condition(where, self.stored.schema)(self.stored))

    def of_file(self, digest: str) -> Ints:
        """The rows of all clips of files with these contents (sha256)."""
        sources = self.read(["source"])
        positions: Ints = sources.filter(pc.starts_with(sources["source"], digest))[POSITION].to_numpy()
        return positions

    def same(self, table: pa.Table) -> bool:
        """Whether the rows equal those of `table`; then their vectors are equal too."""
        return bool(self.read().drop_columns([POSITION]).equals(table))

    def allowed(self, where: str) -> Bools:
        """(N,) which rows `where` selects."""
        return np.asarray(Condition(where, self.stored.schema)(self.stored), np.bool_)

    def unmet(self, where: str) -> str:
        """A sentence that explains why a search with this filter has no answers."""
        if self.allowed(where).any():
            return f"No clip meets {where} except the examples of the query."
        return unmet(where, self.stored)


def connect(folder: Path) -> Any:
    require("index", "A space with rows or an approximate index in LanceDB")
    os.environ.setdefault("LANCEDB_LOG", "error")  # otherwise it logs a warning for every new table
    import lancedb  # deferred: a space opens without it

    return lancedb.connect(folder)


def _first(error: Exception) -> str:
    """The message of a library's error in one line, without the position in its source."""
    text = " ".join(str(error).split())
    return text.removeprefix("Invalid input, ").partition(", /")[0].partition(", rust/")[0].rstrip(".") + "."
