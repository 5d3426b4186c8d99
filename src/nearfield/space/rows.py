"""What is known of each vector, twice: in an Arrow file, for rows by their number, and in a LanceDB table,
for filters. LanceDB takes a second to load, and most searches have no filter.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearfield.core.errors import DataError, RequestError, choose, nearest
from nearfield.core.nouns import Bools, Ints
from nearfield.space.spacefile import in_force

TABLE = "rows"
FILE = "rows.arrow"
_CHUNK = 1 << 16  # rows together in the Arrow file
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_EQUALITY = re.compile(r"[\"`]?(\w+)[\"`]?\s*==?\s*'((?:[^']|'')*)'")
_WORDS = {
    "Unterminated string literal": "a quote is not closed.",
    "found: EOF": "something is missing at its end.",
    "does not return a boolean": "it compares nothing with a value.",
    "could not convert to literal of type": "a value is of another kind than its column.",
}
"""What LanceDB says of a condition, by a part of it, and what is told instead."""
_SHOWN = 20
"""Values of a column that are told."""
POSITION = "position"
"""The column with each row's number, which is that of its vector."""


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
        connect(folder).create_table(TABLE, numbered, mode="overwrite")
        return cls(folder)

    @cached_property
    def stored(self) -> pa.Table | None:
        """The Arrow file, mapped into memory; None in a space that was made before there was one.

        Raises DataError where it cannot be read.
        """
        path = in_force(self.folder) / FILE
        if not path.is_file():
            return None
        try:
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(
                f"{path} cannot be read: {_first(error)}. `nearfield index --verify --out "
                f"{self.folder.parents[1]}` names the command that makes the space again."
            ) from None

    @cached_property
    def table(self) -> Any:
        """The open table. Raises DataError where it cannot be opened."""
        try:
            return connect(in_force(self.folder)).open_table(TABLE)
        except (ValueError, RuntimeError, OSError) as error:
            raise DataError(f"{TABLE}.lance cannot be opened: {_first(error)}") from None

    @property
    def names(self) -> list[str]:
        """Columns that a filter can name."""
        schema = self.table.schema if self.stored is None else self.stored.schema
        return [name for name in schema.names if name != POSITION]

    def __len__(self) -> int:
        return int(self.table.count_rows())

    def take(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Rows by number, in the order given."""
        wanted = [int(position) for position in positions]
        if self.stored is not None:
            table = self.stored.drop_columns([POSITION])
            return [row for each in wanted for row in table.slice(each, 1).to_pylist()]
        found = self.table.take_offsets(sorted(set(wanted))).to_arrow().to_pylist() if wanted else []
        by_position = {row.pop(POSITION): row for row in found}
        return [by_position[position] for position in wanted]

    def read(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Columns (all where none are named) of the rows that `where` lets through, in the order of vectors.

        `where` is a condition as SQL has it, such as "label = 'rain' AND array_has(tags, 'wet')". Raises
        RequestError naming the columns where it cannot be understood.
        """
        if where is not None and ";" in _QUOTED.sub("", where):
            raise self._refusal(where, ValueError("a condition has no semicolon."))
        wanted = [name for name in (self.names if columns is None else columns) if name != POSITION]
        if unknown := [name for name in wanted if name not in self.names]:
            raise RequestError(f"columns: unknown {unknown[0]!r}. {choose(unknown[0], self.names)}")
        if where is None and self.stored is not None:
            return self.stored.select([*wanted, POSITION])
        query = self.table.search().select([*wanted, POSITION])
        try:
            found = (query.where(where) if where is not None else query).to_arrow()
        except (ValueError, RuntimeError, TypeError, OSError) as error:
            raise self._refusal(where or "", error) from None
        return found.sort_by(POSITION)

    def of_file(self, digest: str) -> Ints:
        """The rows of every file with these contents (sha256), whichever pieces of it they are."""
        sources = self.read(["source"])
        positions: Ints = sources.filter(pc.starts_with(sources["source"], digest))[POSITION].to_numpy()
        return positions

    def same(self, table: pa.Table) -> bool:
        """Whether these are the rows of `table`: then their vectors are the same too."""
        return bool(self.read().drop_columns([POSITION]).equals(table))

    def allowed(self, where: str) -> Bools:
        """(N,) which rows `where` lets through."""
        mask = np.zeros(len(self), np.bool_)
        mask[self.read([], where)[POSITION].to_numpy()] = True
        return mask

    def unmet(self, where: str) -> str:
        """Why a search with this filter has no answers, in words; with the value that was probably meant
        where the filter says that a column of words is equal to one."""
        if self.allowed(where).any():
            return f"No clip meets {where} but those that were searched by."
        said, simple = f"No clip meets {where}.", _EQUALITY.fullmatch(where.strip())
        if simple is None or simple[1] not in self.names:
            return said
        column = self.read([simple[1]])[simple[1]]
        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            return said
        values = sorted(each for each in set(column.to_pylist()) if each)
        close = nearest(simple[2].replace("''", "'"), values)
        known = ", ".join(values[:_SHOWN]) + (
            f" and {len(values) - _SHOWN:,} more" if values[_SHOWN:] else ""
        )
        return f"{said} " + (f"Did you mean {close!r}? " if close else "") + f"Known: {known or 'none'}."

    def _refusal(self, where: str, error: Exception) -> RequestError:
        text = _first(error)
        unknown = text.partition("No field named ")[2].partition(". ")[0].strip("\"'. ")
        if unknown:
            meant = self._meant(unknown) or self._meant(where.strip("\"'` "))
            known = meant or choose(unknown, self.names)
            reason = f"there is no column {unknown!r}. {known}"
        else:
            reason = f"{_plain(text)} Columns: {', '.join(self.names)}."
        example = "Write a condition such as label = 'rain' or array_has(tags, 'wet')."
        return RequestError(f"where: {where!r} cannot be used: {reason} {example}")

    def _meant(self, word: str) -> str:
        """The condition that was meant by a value alone, as a question; empty where no column has it."""
        quoted = word.replace("'", "''")
        for name in self.names:
            column = self.read([name])[name]
            is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
            values = pc.list_flatten(column) if is_list else column
            is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
            if is_text and pc.any(pc.equal(values, word)).as_py():
                meant = f"array_has({name}, '{quoted}')" if is_list else f"{name} = '{quoted}'"
                return f"Did you mean {meant}?"
        return ""


def connect(folder: Path) -> Any:
    os.environ.setdefault("LANCEDB_LOG", "error")  # it would greet every new table with a warning
    import lancedb  # not before it is needed: a space opens without it

    return lancedb.connect(folder)


def _plain(text: str) -> str:
    """What LanceDB says of a condition, without the names of its own parts."""
    told = (words for part, words in _WORDS.items() if part in text)
    own = text.partition("parser error: ")[2].replace(").", ".") or text.rpartition(": ")[2]
    return next(told, own)


def _first(error: Exception) -> str:
    """What a library said, in one line, without its own place in its source."""
    text = " ".join(str(error).split())
    return text.removeprefix("Invalid input, ").partition(", /")[0].partition(", rust/")[0].rstrip(".") + "."
