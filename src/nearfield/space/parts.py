"""Vectors made part by part and kept on disk, so that work that was stopped goes on where it was.

A part's file bears the name of what is in it: rows, windows and identity. One that is there is right.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nearfield.core.files import replacing
from nearfield.core.types import Ints
from nearfield.space.identity import Identity
from nearfield.training.events import Callback, Note, Stage
from nearfield.training.run import Run
from nearfield.training.stream import Part, Windows, hear
from nearfield.training.vector_checks import check_vectors, of_table

SECONDS, CLIPS = 1800.0, 2048
"""How much is lost at most when the work is killed: so much sound, or so many clips."""

_FAULTS = b"nearfield.faults"
_SHOWN = 10


class EmbeddingShards:
    """The parts of one collection's vectors in a work folder."""

    def __init__(self, folder: Path, run: Run, windows: Windows, callback: Callback) -> None:
        self.folder, self.run, self.windows, self.callback = folder, run, windows, callback
        self._identity = Identity.of(run)
        self.faults = 0
        """Files that could not be used so far; the first ten were told to the watcher."""

    def each(self, table: pd.DataFrame, digests: Sequence[str]) -> Iterator[Part]:
        """The vectors of a table's rows, part after part; `digests` say what each row's file holds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for said in self.run.doubts():
            self.callback(Note(said, is_warning=True))
        clock, fresh, done = time.perf_counter(), 0.0, 0
        contents = np.array(digests, dtype=object)
        for rows in portions(table):
            path = self.folder / f"{self._name(table, rows, contents)}.parquet"
            part = _read(path)
            if part is None:
                part = hear(self.run, table.iloc[rows].reset_index(drop=True), self.windows)
                self._check(table.iloc[rows[part.rows]], part)
                _write(path, part)
                fresh += float(table["seconds"].iloc[rows].sum())
                part = _read(path)
                assert part is not None, path
            self._note(part)
            done += len(rows)
            speed = fresh / 3600 / max(1e-9, time.perf_counter() - clock)
            self.callback(Stage("embed", done, len(table), {"hours_per_second": speed}))
            yield Part(rows[part.rows], part.starts, part.seconds, part.vectors, part.faults)

    def clear(self) -> None:
        """Removes the work folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _name(self, table: pd.DataFrame, rows: Ints, digests: np.ndarray) -> str:
        lines = [self._identity.digest, self.windows]
        columns = ["start", "seconds", *(["channel"] if "channel" in table else [])]
        pieces = table[columns].iloc[rows].itertuples(index=False)
        lines += [f"{digest} {tuple(piece)}" for digest, piece in zip(digests[rows], pieces, strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]

    def _check(self, clips: pd.DataFrame, part: Part) -> None:
        """Says what is wrong with vectors of these clips, one each; raises as `check_vectors`."""
        recipe = self.run.recipe
        pieces = clips.assign(start=clips["start"] + part.starts, seconds=part.seconds)
        names = [
            f"{clip}@{start:.3f}" if self.windows == "all" else str(clip)
            for clip, start in zip(pieces["id"], part.starts, strict=True)
        ]
        heard = of_table(pieces, recipe.data, recipe.modality == "image")
        for said in check_vectors(part.vectors, names, heard):
            self.callback(Note(said, is_warning=True))

    def _note(self, part: Part) -> None:
        for fault in part.faults:
            self.faults += 1
            if self.faults <= _SHOWN:
                self.callback(Note(f"left out: {fault}", is_warning=True))


def portions(table: pd.DataFrame) -> Iterator[Ints]:
    """Row numbers of files that are embedded together, in the table's order; a file is never parted."""
    groups = pd.factorize(table["path"])[0]
    order = np.argsort(groups, kind="stable")
    lengths = table["seconds"].to_numpy(np.float64)[order]
    ends = np.flatnonzero(np.diff(groups[order], append=-1))
    first, seconds, begun = 0, 0.0, 0
    for end in ends.tolist():
        seconds += float(lengths[begun : end + 1].sum())
        begun = end + 1
        if seconds >= SECONDS or end + 1 - first >= CLIPS or end == ends[-1]:
            yield order[first : end + 1].astype(np.int64)
            first, seconds = end + 1, 0.0


def _write(path: Path, part: Part) -> None:
    columns = {
        "row": pa.array(part.rows),
        "start": pa.array(part.starts),
        "seconds": pa.array(part.seconds),
        "vector": vector_column(part.vectors),
    }
    metadata = {_FAULTS: json.dumps(part.faults).encode()}
    with replacing(path) as temporary:
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, temporary, write_page_checksum=True)


def _read(path: Path) -> Part | None:
    """What `_write` wrote; None where it is not there, or damaged."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        vectors = table["vector"].combine_chunks()
        return Part(
            rows=table["row"].to_numpy(),
            starts=table["start"].to_numpy(),
            seconds=table["seconds"].to_numpy(),
            vectors=vectors.flatten().to_numpy().reshape(len(table), vectors.type.list_size),
            faults=tuple(json.loads(table.schema.metadata[_FAULTS])),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None


def vector_column(vectors: np.ndarray) -> pa.Array:
    """(N, D) as a column of lists of D float32."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
