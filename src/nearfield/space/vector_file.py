"""`nearfield embed`: the embeddings of a collection as a Parquet file with the identity of the encoder."""

from pathlib import Path

import pyarrow.parquet as pq

from nearfield.core.errors import DataError, RequestError, nearest
from nearfield.core.files import replacing
from nearfield.core.types import Vectors
from nearfield.data.collection import Collection
from nearfield.data.patches import split_patch
from nearfield.data.probing import content_digests
from nearfield.space.identity import Identity, WindowMode, from_metadata, to_metadata
from nearfield.space.query import Embedded
from nearfield.space.rows import OWN, base_table, of_shard
from nearfield.space.shards import EmbeddingShards, vector_column
from nearfield.training.events import Callback, Stage, ignore
from nearfield.training.prepare import folders_are_labels, is_own, note_own, open_collection
from nearfield.training.run import Run
from nearfield.training.setup import note_left_out

NOW = "The vectors are of the clips as they are now."
"""Added to the note that the data of a run have changed since its training."""


def embed_collection(
    run: Run, data: str | Collection, out: Path, callback: Callback = ignore, windows: WindowMode = "clip"
) -> Path:
    """Writes the vectors of every clip (or window) of `data` to the Parquet file `out`.

    Columns: id, path, start, seconds, moment, recording, group, label, tags, split, further columns of the
    collection, vector (float32 lists of one length); the metadata of the schema hold the identity. Memory is
    bounded, and interrupted work continues from the folder `out` + ".work". Files that cannot be used are
    left out and reported. Raises RequestError if the run does not fit the data, DataError if no clip can be
    used.
    """
    out = Path(out).expanduser()
    collection = collection_for(run, data, callback)
    if isinstance(data, str):
        note_own(data, collection, run.folder, NOW, callback)
    digests = digests_of(collection, callback)
    shards = EmbeddingShards(out.with_name(out.name + ".work"), run, windows, callback)
    base, writer, count = base_table(collection.table, digests), None, 0
    with replacing(out) as temporary:
        for shard in shards.each(collection.table, digests):
            rows = of_shard(base, shard, windows).drop_columns(list(OWN))
            rows = rows.append_column("vector", vector_column(shard.vectors))
            rows = rows.replace_schema_metadata(to_metadata(Identity.of(run, windows)))
            writer = writer or pq.ParquetWriter(temporary, rows.schema)
            writer.write_table(rows)
            count += len(rows)
        if writer is not None:
            writer.close()
        if not count:
            raise no_vectors(collection)
    shards.clear()
    return out


def read_vectors(path: Path, identity: Identity | None = None) -> tuple[list[str], Vectors]:
    """Ids and vectors (N, D) of a file of `embed_collection`.

    Raises RequestError if the file is of another kind, or if `identity` is given and differs from its own.
    """
    try:
        file = pq.ParquetFile(path)
        table = file.read(columns=["id", "vector"])
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{path} cannot be read as vectors: {error}") from None
    own = from_metadata(file.schema_arrow.metadata, str(path))
    if identity is not None:
        identity.check(own, str(path), "the encoder that it is compared with")
    vectors = table["vector"].combine_chunks()
    return table["id"].to_pylist(), vectors.flatten().to_numpy().reshape(len(table), -1)


def read_embedded(path: Path, clip: str) -> Embedded:
    """One vector of such a file, by its id, with its identity. Raises the errors of `read_vectors`."""
    ids, vectors = read_vectors(path)
    if clip not in ids:
        close = nearest(clip, ids)
        hint = f"Did you mean {close!r}?" if close else "Give a value of its column `id`."
        raise RequestError(f"{path} has no vector of {clip!r}. {hint}")
    return Embedded(vectors[ids.index(clip)], from_metadata(pq.read_schema(path).metadata, str(path)))


def collection_for(run: Run, data: str | Collection, callback: Callback) -> Collection:
    """Opens `data` as the recipe of the run does; folder names are labels only if they were for the run.

    Raises RequestError if the run reads sounds and the data are images, or the reverse.
    """
    if isinstance(data, str):
        tell = folders_are_labels(run.recipe) or not is_own(split_patch(data)[0], run.folder)
        collection = open_collection(data, run.recipe, True, callback, tell)
    else:
        collection = data
    note_left_out(collection.problems, callback)
    is_image = run.recipe.modality == "image"
    if (collection.kind == "picture") != is_image:
        reads, holds = ("images", "sounds") if is_image else ("sounds", "images")
        raise RequestError(
            f"{run.folder.path} reads {reads}; {collection.name or 'the data'} holds {holds}. "
            "Give data of the kind that the run was trained on."
        )
    return collection


def digests_of(collection: Collection, callback: Callback) -> list[str]:
    """The sha256 of the file of each clip."""
    paths = [Path(path) for path in collection.table["path"]]
    try:
        return content_digests(paths, lambda done, total: callback(Stage("read", done, total)))
    except OSError as error:
        raise DataError(
            f"{error.filename}: {error.strerror}. Bring the file back, or remove its rows."
        ) from None


def no_vectors(collection: Collection) -> DataError:
    """The error for a collection of which no clip could be embedded."""
    return DataError(
        f"{collection.name or 'the data'}: no clip could be embedded. "
        "Run `nearfield check` to see what is wrong."
    )
