"""Creates and updates a space: embeds new clips, copies the vectors of unchanged ones, drops those gone."""

import re
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import locked, sweep
from nearfield.core.types import Floats, Ints, Vectors
from nearfield.data.collection import Collection
from nearfield.data.patches import split_patch
from nearfield.space.generation import (
    GENERATIONS,
    State,
    gathered,
    generation_folder,
    unit_rows,
    write_generation,
)
from nearfield.space.identity import Identity, WindowMode
from nearfield.space.rows import Rows, base_table, of_shard
from nearfield.space.shards import EmbeddingShards, Shard
from nearfield.space.storage import ENCODER, NAME, SpaceFile, facts_of, mapped, write_stream
from nearfield.space.vector_file import NOW, collection_for, digests_of, no_vectors
from nearfield.training.events import Callback, Note, Stage
from nearfield.training.prepare import absolute, moved, note_own
from nearfield.training.run import Run
from nearfield.training.run_folder import note_if_own

# Checks before a space is created or updated: an existing space, other data or windows, missing clips.

_LAYOUT = re.compile(r"^[\w-]+:(?=/)")
"""The prefix of a path that names its layout."""
LOST = 0.5
"""The largest share of the clips of a space that an update drops without --allow-drop."""

_RULES = {"clip": "one vector for each clip", "all": "one vector for each window"}


def check_new(folder: Path) -> None:
    """Raises RequestError if the folder already holds a space."""
    if (folder / NAME).is_file():
        raise RequestError(
            f"{folder} already holds a space. Update it with --update, or choose another --out."
        )


def check_data(folder: Path, file: SpaceFile, data: str) -> None:
    """Raises RequestError if `data` is at another place than the data of the space.

    Options after a "?" and a table of decisions do not change the place.
    """
    if _places(data) & _places(file.data):
        return
    raise RequestError(
        f"{folder} is made of {file.data}. Given: --data {absolute(data)}. An update would replace the clips "
        "of the space by these. Choose another --out for a new space, or add --data-moved if the data of "
        "this space have moved there."
    )


def open_trained_data(
    run: Run, data: str | Collection | None, callback: Callback
) -> tuple[str | Collection, Collection]:
    """The data and their collection; `data` None stands for the data that the run was trained on.

    Raises the errors of `collection_for`, with the option to use if the data of the run have moved.
    """
    if data is not None:
        opened = collection_for(run, data, callback)
        if isinstance(data, str):
            note_own(data, opened, run.folder, NOW, callback)
        return data, opened
    own = str(run.folder.environment()["data"]["path"])
    callback(Note(f"data: {own}, which the run was trained on"))
    with moved(own, "The run was trained on these data; if they have moved: --data NEW_PLACE"):
        opened = collection_for(run, own, callback)
    note_if_own(opened, run.folder, NOW, callback)
    return own, opened


def open_data(run: Run, file: SpaceFile, data: str | Collection | None, callback: Callback) -> Collection:
    """The collection of `data`; None stands for the data that the space is made of.

    Raises the errors of `collection_for`, with the options to use if the data of the space have moved.
    """
    if data is not None:
        return collection_for(run, data, callback)
    with moved(file.data, "It is made of these data; if they have moved: --data NEW_PLACE --data-moved"):
        return collection_for(run, file.data, callback)


def check_windows(folder: Path, file: SpaceFile, windows: WindowMode) -> None:
    """Raises RequestError if the space was made with another value of `windows`."""
    if windows == file.windows:
        return
    again = f"nearfield index {shlex.quote(file.run)} --data {shlex.quote(file.data)} --windows {windows}"
    raise RequestError(
        f"{folder} holds {_RULES[file.windows]} (--windows {file.windows}); an update cannot change that. "
        f"Given: --windows {windows}. Omit it, or make a second space: {again} --out NEW_SPACE"
    )


def check_losses(folder: Path, before: State, base: pa.Table, data: str) -> None:
    """Raises DataError if more than `LOST` of the clips are gone.

    A clip is gone if neither its name nor its contents are in `base`, the table of the present collection.
    """
    old = before.rows.read(["clip", "source"]).to_pandas().drop_duplicates("clip")
    names, contents = (set(base[column].to_pylist()) for column in ("clip", "source"))
    gone = int((~(old["clip"].isin(names) | old["source"].isin(contents))).sum())
    if gone > LOST * len(old):
        raise DataError(
            f"{folder}: {gone:,} of its {len(old):,} clips are no longer in {data}. Nothing was changed. "
            "Reconnect a missing disk, or drop these clips with --allow-drop."
        )


def _places(data: str) -> set[str]:
    """The paths of the data, with and without links resolved, without the prefix of the layout."""
    named = (absolute(split_patch(data)[0], follow).partition("?")[0] for follow in (True, False))
    return {_LAYOUT.sub("", each) for each in named}


# Writing the next state of a space.
#
# A state is written next to the present one and becomes current when space.json is replaced. If the process
# is killed, the present state remains, and finished work is kept in the folder `work`.

WORK = "work"
"""The folder of unfinished work."""
LONG = 10
"""A clip with more windows is long: the mean of so many windows represents no part of it well."""
MADE = "made.npy"
"""The file in the work folder with the vectors that this update embeds."""

_ENCODER_FILES = (
    "canary.safetensors",
    "environment.json",
    "weights.safetensors",
    "model.safetensors",
    "head.safetensors",
    "recipe.yaml",
)


@dataclass(frozen=True)
class Changes:
    """What an update changed, in numbers of clips."""

    added: int
    changed: int
    """Clips with the same name and other contents."""
    dropped: int
    kept: int
    left_out: int
    """Files that could not be used."""
    embedded: int
    """Vectors that were embedded; all others were copied."""

    def plain(self) -> dict[str, int]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Order:
    """The source of each row of the next state; all fields (N,)."""

    clips: Ints
    """Row in the table of the collection."""
    offsets: Floats
    """Seconds into the clip."""
    seconds: Floats
    vectors: Ints
    """Row in the vectors of the previous state followed by the new vectors."""

    @classmethod
    def joined(cls, some: Iterable["Order"]) -> "Order":
        """Concatenates, ordered by clip and by time within a clip."""
        listed = list(some)
        clips, offsets, seconds, vectors = (
            np.concatenate([getattr(order, name) for order in listed])
            for name in ("clips", "offsets", "seconds", "vectors")
        )
        place = np.lexsort((offsets, clips))
        return cls(clips[place], offsets[place], seconds[place], vectors[place])


@dataclass(frozen=True)
class Job:
    """The run, the collection and the folder of a space to write."""

    folder: Path
    run: Run
    collection: Collection
    data: str
    """The path of the data, as `absolute` returns it."""
    windows: WindowMode
    callback: Callback
    may_drop: bool = False
    """Whether more than `LOST` of the clips may be dropped."""
    is_new: bool = False
    """Whether the folder must not hold a space; checked again after waiting for another process."""


def index(job: Job) -> Changes:
    """Creates the space of a job, or updates it to the job's collection.

    Raises DataError if no clip can be embedded, too many clips are gone, or the present state is damaged;
    RequestError if the space exists and must not.
    """
    with locked(job.folder / "lock"):
        if job.is_new:
            check_new(job.folder)
        before = State.read(job.folder) if (job.folder / NAME).is_file() else None
        if before is None:
            _keep_encoder(job)
        else:
            before.file.check_contents(job.folder)  # copied vectors get new digests, which would hide damage
        digests = digests_of(job.collection, job.callback)
        base = base_table(job.collection.table, digests)
        if before is not None and not job.may_drop:
            check_losses(job.folder, before, base, job.data)
        known = _known(base, before)
        fresh = np.setdiff1d(np.arange(len(base)), known.clips)
        shards = EmbeddingShards(job.folder / WORK, job.run, job.windows, job.callback)
        made = _make(shards, job.collection, digests, fresh, 0 if before is None else before.file.count)
        order = Order.joined([known, made])
        if not len(order.clips):
            raise no_vectors(job.collection)
        every = Shard(order.clips, order.offsets, order.seconds, np.empty((0, 0), np.float32))
        rows = of_shard(base, every, job.windows)
        unusable = sum(problem.severity == "left out" for problem in job.collection.problems)
        changes = _changes(rows, before, len(made.clips), unusable + shards.unusable)
        if before is None or not before.rows.same(rows):
            _publish(job, order, rows, before)
        elif before.file.data != job.data:
            before.file.model_copy(update={"data": job.data}).write(job.folder)
        shards.clear()
        return changes


def windows_for(run: Run, collection: Collection, asked: WindowMode | None, callback: Callback) -> WindowMode:
    """What a vector of a new space stands for: `asked`, if given.

    Else `all` if clips longer than `LONG` windows make up more than half of the duration, and `clip` if not.
    If there are such clips, a note reports the choice.
    """
    if collection.kind != "sound":
        return asked or "clip"
    window, lengths = run.recipe.data.clip_seconds, collection.table["seconds"].to_numpy(np.float64)
    long = lengths > LONG * window
    share = lengths[long].sum() / max(lengths.sum(), 1e-9)
    chosen: WindowMode = asked or ("all" if share > 0.5 else "clip")
    if long.any() and asked is None:
        note = f"{long.sum():,} of {len(lengths):,} clips ({share:.0%} of the sound) are longer than {LONG} "
        note += f"windows of {window:g} s. "
        if chosen == "all":
            note += "Each window gets one vector; for one per clip: --windows clip"
        else:
            note += "Each clip gets one vector, the mean of its windows; for one per window: --windows all"
        callback(Note(note))
    return chosen


def _known(base: pa.Table, before: State | None) -> Order:
    """The rows of the previous state whose clips are unchanged in `base`."""
    none = np.empty(0, np.int64)
    if before is None:
        return Order(none, np.empty(0), np.empty(0), none)
    old = before.rows.read(["source", "clip", "offset", "seconds"]).to_pandas()
    old["vector"] = np.arange(len(old))
    first = old.drop_duplicates("source")[["source", "clip"]]  # a file that occurs twice has equal vectors
    old = old.merge(first, on=["source", "clip"])
    new = base.select(["source"]).to_pandas()
    new["row"] = np.arange(len(new))
    found = new.merge(old, on="source")
    return Order(
        found["row"].to_numpy(np.int64),
        found["offset"].to_numpy(np.float64),
        found["seconds"].to_numpy(np.float64),
        found["vector"].to_numpy(np.int64),
    )


def _make(
    shards: EmbeddingShards, collection: Collection, digests: list[str], fresh: Ints, first: int
) -> Order:
    """Embeds the rows `fresh` of a collection and writes their vectors to one file of the work folder."""
    table = collection.table.iloc[fresh].reset_index(drop=True)
    kept: list[Shard] = []

    def blocks() -> Iterable[Vectors]:
        for shard in shards.each(table, [digests[row] for row in fresh]):
            rows = fresh[shard.rows]
            kept.append(Shard(rows, shard.starts, shard.seconds, shard.vectors[:0], shard.errors))
            yield unit_rows(shard.vectors)  # only once: a second time could change the last bit

    count = write_stream(shards.folder / MADE, blocks(), shards.run.embedder.size)
    if not kept:
        none = np.empty(0, np.int64)
        return Order(none, np.empty(0), np.empty(0), none)
    rows, starts, seconds = (
        np.concatenate([getattr(shard, name) for shard in kept]) for name in ("rows", "starts", "seconds")
    )
    return Order(rows, starts, seconds, np.arange(first, first + count))


def _changes(rows: pa.Table, before: State | None, embedded: int, faults: int) -> Changes:
    now = dict(zip(rows["clip"].to_pylist(), rows["source"].to_pylist(), strict=True))
    if before is None:
        return Changes(len(now), 0, 0, 0, faults, embedded)
    old = before.rows.read(["clip", "source"])
    then = dict(zip(old["clip"].to_pylist(), old["source"].to_pylist(), strict=True))
    both = now.keys() & then.keys()
    kept = sum(now[clip] == then[clip] for clip in both)
    return Changes(len(now) - len(both), len(both) - kept, len(then) - len(both), kept, faults, embedded)


def _publish(job: Job, order: Order, rows: pa.Table, before: State | None) -> None:
    """Writes the next state and makes it the current one."""
    folder, size = job.folder, job.run.embedder.size
    version = 1 if before is None else before.file.version + 1
    target = generation_folder(folder, version)
    shutil.rmtree(target, ignore_errors=True)  # remains of a process killed before it replaced space.json
    job.callback(Stage("index", 0, 1))
    stores = [np.empty((0, size), np.float32) if before is None else before.generation.vectors]
    stores.append(mapped(folder / WORK / MADE))
    write_generation(target, gathered(stores, order.vectors), size, rows)
    Rows.write(target, rows)
    files = [file for own in (target, folder / ENCODER) for file in sorted(own.rglob("*")) if file.is_file()]
    SpaceFile(
        version=version,
        identity=Identity.of(job.run, job.windows).plain() if before is None else before.file.identity,
        run=str(job.run.folder.path) if before is None else before.file.run,
        data=job.data,
        windows=job.windows,
        count=len(rows),
        size=size,
        files=facts_of(folder, files),
    ).write(folder)
    job.callback(Stage("index", 1, 1))
    _tidy(folder, version)


def _tidy(folder: Path, version: int) -> None:
    """Removes all generations but the last two: a reader may still be opening the previous one."""
    for old in (folder / GENERATIONS).iterdir():
        if old.name < f"{version - 1:06d}":
            shutil.rmtree(old, ignore_errors=True)
    sweep(folder)


def _keep_encoder(job: Job) -> None:
    """Copies the files that embed queries, so that the space works without the folder of its run."""
    target = job.folder / ENCODER
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in _ENCODER_FILES:
        if (job.run.folder.path / name).is_file():
            shutil.copyfile(job.run.folder.path / name, target / name)
