"""Embeddings of a collection in shards on disk, so that interrupted work continues where it stopped.

The name of the file of a shard is a digest of what determines its contents: rows, files, windows, encoder.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nearfield.core.files import replacing
from nearfield.core.types import Floats, Ints, Vectors
from nearfield.space.identity import Identity, WindowMode
from nearfield.training.events import Callback, Note, Stage
from nearfield.training.run import Run
from nearfield.training.vector_checks import NOT_FINITE, check_vectors, signals_of
from nearfield.training.windows import Unusable, table_clips

SECONDS, CLIPS = 1800.0, 2048
"""Size of a shard: after so many seconds of sound, or so many clips, it is written."""

_UNUSABLE = b"nearfield.faults"
_NAMED = 10


@dataclass(frozen=True, eq=False)
class Shard:
    """The embeddings of some rows of a table, and the errors of rows that have none."""

    rows: Ints
    """(W,) row of each embedding."""
    starts: Floats
    """(W,) start of the window in the clip, in seconds; 0 for the embedding of a clip."""
    seconds: Floats
    """(W,) length of the window or clip, in seconds; 0 for images."""
    vectors: Vectors
    """(W, D) float32."""
    errors: tuple[str, ...] = field(default=())
    """A sentence for each file that cannot be used."""


def embed_table(run: Run, table: pd.DataFrame, windows: WindowMode) -> Shard:
    """Embeds all rows of the table of a collection.

    Parameters
    ----------
    run
        The run.
    table
        Columns path, start, seconds and, for views, channel.
    windows
        `clip`: an embedding for each clip, the mean of its windows; `all`: one for each window.

    Returns
    -------
    Shard
        The embeddings in float32. Rows whose file cannot be used, or that have no finite embedding, are left
        out and have an error.
    """
    unusable: list[Unusable] = []
    found = run.embed(table_clips(table, run.recipe.data), unusable=unusable)
    errors = [str(each.error) for each in unusable]
    not_finite = np.unique(found.rows[~np.isfinite(found.vectors.numpy()).all(axis=1)])
    if len(not_finite):
        errors += [f"{table['path'].iloc[row]}: {NOT_FINITE}" for row in not_finite]
        found = found.without(not_finite)
    if windows == "all":
        return Shard(found.rows, found.starts, found.seconds, found.vectors.numpy(), tuple(errors))
    rows = np.unique(found.rows)
    vectors = found.by_clip(len(table), run.recipe.embedding.normalize)[rows]
    lengths = table["seconds"].to_numpy(np.float64)[rows]
    return Shard(rows, np.zeros(len(rows)), lengths, vectors, tuple(errors))


class EmbeddingShards:
    """The shards of the embeddings of one collection, in a work folder."""

    def __init__(self, folder: Path, run: Run, windows: WindowMode, callback: Callback) -> None:
        self.folder, self.run, self.windows, self.callback = folder, run, windows, callback
        self._identity = Identity.of(run)
        self.unusable = 0
        """Number of files so far that cannot be used; the first ten are notes."""

    def each(self, table: pd.DataFrame, digests: Sequence[str]) -> Iterator[Shard]:
        """Yields the embeddings of the rows of a table, shard by shard; reads shards that exist already.

        Parameters
        ----------
        table
            The table of a collection.
        digests
            The sha256 of the file of each row.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for sentence in self.run.doubts():
            self.callback(Note(sentence, is_warning=True))
        clock, fresh, done = time.perf_counter(), 0.0, 0
        contents = np.array(digests, dtype=object)
        for rows in portions(table):
            path = self.folder / f"{self._name(table, rows, contents)}.parquet"
            shard = _read(path)
            if shard is None:
                shard = embed_table(self.run, table.iloc[rows].reset_index(drop=True), self.windows)
                self._check(table.iloc[rows[shard.rows]], shard)
                _write(path, shard)
                fresh += float(table["seconds"].iloc[rows].sum())
                shard = _read(path)
                assert shard is not None, path
            self._note(shard)
            done += len(rows)
            speed = fresh / 3600 / max(1e-9, time.perf_counter() - clock)
            self.callback(Stage("embed", done, len(table), {"hours_per_second": speed}))
            yield Shard(rows[shard.rows], shard.starts, shard.seconds, shard.vectors, shard.errors)

    def clear(self) -> None:
        """Removes the work folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _name(self, table: pd.DataFrame, rows: Ints, digests: np.ndarray) -> str:
        lines = [self._identity.digest, self.windows]
        columns = ["start", "seconds", *(["channel"] if "channel" in table else [])]
        clips = table[columns].iloc[rows].itertuples(index=False)
        lines += [f"{digest} {tuple(clip)}" for digest, clip in zip(digests[rows], clips, strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]

    def _check(self, clips: pd.DataFrame, shard: Shard) -> None:
        """Notes the warnings of `check_vectors`, and raises its errors; `clips` has a row per embedding."""
        recipe = self.run.recipe
        parts = clips.assign(start=clips["start"] + shard.starts, seconds=shard.seconds)
        names = [
            f"{clip}@{start:.3f}" if self.windows == "all" else str(clip)
            for clip, start in zip(parts["id"], shard.starts, strict=True)
        ]
        signals = signals_of(table_clips(parts, recipe.data), recipe.data, recipe.modality == "image")
        for sentence in check_vectors(shard.vectors, names, signals):
            self.callback(Note(sentence, is_warning=True))

    def _note(self, shard: Shard) -> None:
        for error in shard.errors:
            self.unusable += 1
            if self.unusable <= _NAMED:
                self.callback(Note(f"left out: {error}", is_warning=True))


def portions(table: pd.DataFrame) -> Iterator[Ints]:
    """Yields the rows of each shard, in the order of the table; all rows of a file are in one shard."""
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


def _write(path: Path, shard: Shard) -> None:
    columns = {
        "row": pa.array(shard.rows),
        "start": pa.array(shard.starts),
        "seconds": pa.array(shard.seconds),
        "vector": vector_column(shard.vectors),
    }
    metadata = {_UNUSABLE: json.dumps(shard.errors).encode()}
    with replacing(path) as temporary:
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, temporary, write_page_checksum=True)


def _read(path: Path) -> Shard | None:
    """Reads a shard; None if the file does not exist or is damaged."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        vectors = table["vector"].combine_chunks()
        return Shard(
            rows=table["row"].to_numpy(),
            starts=table["start"].to_numpy(),
            seconds=table["seconds"].to_numpy(),
            vectors=vectors.flatten().to_numpy().reshape(len(table), vectors.type.list_size),
            errors=tuple(json.loads(table.schema.metadata[_UNUSABLE])),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None


def vector_column(vectors: np.ndarray) -> pa.Array:
    """Converts (N, D) to a column of float32 lists of length D."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
