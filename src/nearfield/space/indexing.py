"""Making and updating a space: what is new is embedded, the rest taken over or refused."""

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
from nearfield.space.identity import Identity
from nearfield.space.parts import EmbeddingShards
from nearfield.space.rows import Rows, base_table, of_part
from nearfield.space.storage import ENCODER, NAME, SpaceFile, facts_of, mapped, write_stream
from nearfield.space.vector_file import NOW, collection_for, digests_of, no_vectors
from nearfield.training.events import Callback, Note, Stage
from nearfield.training.prepare import absolute, moved, note_own
from nearfield.training.run import Run
from nearfield.training.run_folder import note_if_own
from nearfield.training.stream import Part, Windows

# What making and updating a space are refused for: a space there, other data or windows, lost clips.

_LAYOUT = re.compile(r"^[\w-]+:(?=/)")
"""In front of a path: by which layout it is read."""
LOST = 0.5
"""Share of a space's clips up to which they may vanish unasked."""

_RULES = {"clip": "a vector for each clip", "all": "a vector for each window"}


def check_new(folder: Path) -> None:
    """Raises RequestError where the folder holds a space already."""
    if (folder / NAME).is_file():
        raise RequestError(
            f"{folder} already holds a space. Bring it up to date by --update, or choose another --out."
        )


def check_data(folder: Path, file: SpaceFile, data: str) -> None:
    """Raises RequestError where `data` lie elsewhere than what the space is made of.

    Options behind a ? are of the same place, and a table of decisions too.
    """
    if _places(data) & _places(file.data):
        return
    raise RequestError(
        f"{folder} is made of {file.data}. Given: --data {absolute(data)}: an update would put these clips "
        "in the place of those. Make a space of them by another --out; or, if the data of this space have "
        "moved there, add --data-moved."
    )


def open_trained_data(
    run: Run, data: str | Collection | None, callback: Callback
) -> tuple[str | Collection, Collection]:
    """The collection of `data`, or, where that is None, of what the run was trained on; and these data.

    Raises as `collection_for`, with the option that helps where the latter has moved.
    """
    if data is not None:
        opened = collection_for(run, data, callback)
        if isinstance(data, str):
            note_own(data, opened, run.folder, NOW, callback)
        return data, opened
    own = str(run.folder.environment()["data"]["path"])
    callback(Note(f"data: {own}, which the run was trained on"))
    with moved(own, "The run was trained on these; if they have moved: --data NEW_PLACE"):
        opened = collection_for(run, own, callback)
    note_if_own(opened, run.folder, NOW, callback)
    return own, opened


def open_data(run: Run, file: SpaceFile, data: str | Collection | None, callback: Callback) -> Collection:
    """The collection of `data`, or, where that is None, of what the space is made of.

    Raises as `collection_for`, with the option that helps where the latter has moved.
    """
    if data is not None:
        return collection_for(run, data, callback)
    with moved(file.data, "The space is made of these; if they have moved: --data NEW_PLACE --data-moved"):
        return collection_for(run, file.data, callback)


def check_windows(folder: Path, file: SpaceFile, windows: Windows) -> None:
    """Raises RequestError where a space was made by another rule than `windows`."""
    if windows == file.windows:
        return
    again = f"nearfield index {shlex.quote(file.run)} --data {shlex.quote(file.data)} --windows {windows}"
    raise RequestError(
        f"{folder} holds {_RULES[file.windows]} (--windows {file.windows}), and an update keeps to that. "
        f"Given: --windows {windows}. Leave it out, or make a second space: {again} --out NEW_SPACE"
    )


def check_losses(folder: Path, before: State, base: pa.Table, data: str) -> None:
    """Raises DataError where more than `LOST` of the clips are neither named in `base`, the table of what is
    there now, nor have their contents under another name there."""
    old = before.rows.read(["clip", "source"]).to_pandas().drop_duplicates("clip")
    names, contents = (set(base[column].to_pylist()) for column in ("clip", "source"))
    gone = int((~(old["clip"].isin(names) | old["source"].isin(contents))).sum())
    if gone > LOST * len(old):
        raise DataError(
            f"{folder}: {gone:,} of its {len(old):,} clips are no longer in {data}. Nothing was changed. "
            "If a disk is missing, bring it back; to drop these clips: --allow-drop"
        )


def _places(data: str) -> set[str]:
    """Where the data lie, with links followed and not, whatever layout reads them."""
    named = (absolute(split_patch(data)[0], follow).partition("?")[0] for follow in (True, False))
    return {_LAYOUT.sub("", each) for each in named}


# Making the next state of a space: what is new is embedded, what is known taken over, the rest dropped.
#
# A state is written beside the one before and comes into force when space.json is replaced; a kill at any
# moment leaves the state before, and work done so far in the folder `work`.

WORK = "work"
"""The folder of what is being made."""
LONG = 10
"""Windows beyond which a clip is long: the mean of so many says little of any moment in it."""
MADE = "made.npy"
"""In the work folder: the vectors that this update makes."""

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
    """What an update found, in clips."""

    added: int
    changed: int
    """The same name, other contents."""
    dropped: int
    kept: int
    left_out: int
    """Files that could not be used."""
    embedded: int
    """Vectors that were made; all others were taken over."""

    def plain(self) -> dict[str, int]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Order:
    """Where each row of the next state comes from; all (N,)."""

    clips: Ints
    """The row of the collection's table."""
    offsets: Floats
    """Seconds into the clip."""
    seconds: Floats
    vectors: Ints
    """Counted through the vectors of the state before, then those made now."""

    @classmethod
    def joined(cls, some: Iterable["Order"]) -> "Order":
        """In the order of clips, and of time within each."""
        listed = list(some)
        clips, offsets, seconds, vectors = (
            np.concatenate([getattr(order, name) for order in listed])
            for name in ("clips", "offsets", "seconds", "vectors")
        )
        place = np.lexsort((offsets, clips))
        return cls(clips[place], offsets[place], seconds[place], vectors[place])


@dataclass(frozen=True)
class Job:
    """What is to be indexed, by which run, and where."""

    folder: Path
    run: Run
    collection: Collection
    data: str
    """The data, as `absolute` names them."""
    windows: Windows
    callback: Callback
    may_drop: bool = False
    """Whether most of the clips that are there may vanish."""
    is_new: bool = False
    """Whether there must be no space yet: another process may make one while this one waits."""


def index(job: Job) -> Changes:
    """Brings the space in the job's folder to what its collection holds, or makes one there.

    Raises DataError where nothing can be embedded, most clips are gone, or the present state is damaged;
    RequestError where there is a space and there must be none.
    """
    with locked(job.folder / "lock"):
        if job.is_new:
            check_new(job.folder)
        before = State.read(job.folder) if (job.folder / NAME).is_file() else None
        if before is None:
            _keep_encoder(job)
        else:
            before.file.check_contents(job.folder)  # what is taken over gets new digests
        digests = digests_of(job.collection, job.callback)
        base = base_table(job.collection.table, digests)
        if before is not None and not job.may_drop:
            check_losses(job.folder, before, base, job.data)
        known = _known(base, before)
        fresh = np.setdiff1d(np.arange(len(base)), known.clips)
        parts = EmbeddingShards(job.folder / WORK, job.run, job.windows, job.callback)
        made = _make(parts, job.collection, digests, fresh, 0 if before is None else before.file.count)
        order = Order.joined([known, made])
        if not len(order.clips):
            raise no_vectors(job.collection)
        every = Part(order.clips, order.offsets, order.seconds, np.empty((0, 0), np.float32))
        rows = of_part(base, every, job.windows)
        unusable = sum(problem.severity == "left out" for problem in job.collection.problems)
        changes = _changes(rows, before, len(made.clips), unusable + parts.faults)
        if before is None or not before.rows.same(rows):
            _publish(job, order, rows, before)
        elif before.file.data != job.data:
            before.file.model_copy(update={"data": job.data}).write(job.folder)
        parts.clear()
        return changes


def windows_for(run: Run, collection: Collection, asked: Windows | None, callback: Callback) -> Windows:
    """What each vector of a new space stands for: what was asked for, else for each window where clips
    longer than `LONG` windows hold half of all seconds, for each clip where not: one vector of such a clip
    says little, however many short ones stand beside it. Where clips are so long it is told."""
    if collection.kind != "sound":
        return asked or "clip"
    heard, lengths = run.recipe.data.clip_seconds, collection.table["seconds"].to_numpy(np.float64)
    long = lengths > LONG * heard
    share = lengths[long].sum() / max(lengths.sum(), 1e-9)
    chosen: Windows = asked or ("all" if share > 0.5 else "clip")
    if long.any() and asked is None:
        told = f"{long.sum():,} of {len(lengths):,} clips ({share:.0%} of the sound) are longer than {LONG} "
        told += f"times the {heard:g} s that the run hears at once: "
        if chosen == "all":
            told += "each window gets a vector of its own. One for each clip: --windows clip"
        else:
            told += "each gets one vector, the mean of its windows. One for each window: --windows all"
        callback(Note(told))
    return chosen


def _known(base: pa.Table, before: State | None) -> Order:
    """The rows of the state before that belong to clips which are there now, unchanged."""
    none = np.empty(0, np.int64)
    if before is None:
        return Order(none, np.empty(0), np.empty(0), none)
    old = before.rows.read(["source", "clip", "offset", "seconds"]).to_pandas()
    old["vector"] = np.arange(len(old))
    first = old.drop_duplicates("source")[["source", "clip"]]  # one file twice: its vectors once
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
    parts: EmbeddingShards, collection: Collection, digests: list[str], fresh: Ints, first: int
) -> Order:
    """Embeds some rows of a collection; their vectors go into one file of the work folder."""
    table = collection.table.iloc[fresh].reset_index(drop=True)
    kept: list[Part] = []

    def blocks() -> Iterable[Vectors]:
        for part in parts.each(table, [digests[row] for row in fresh]):
            kept.append(Part(fresh[part.rows], part.starts, part.seconds, part.vectors[:0], part.faults))
            yield unit_rows(part.vectors)  # once only: again it could move them by a rounding

    count = write_stream(parts.folder / MADE, blocks(), parts.run.embedder.size)
    if not kept:
        none = np.empty(0, np.int64)
        return Order(none, np.empty(0), np.empty(0), none)
    rows, starts, seconds = (
        np.concatenate([getattr(p, n) for p in kept]) for n in ("rows", "starts", "seconds")
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
    """Writes the next state and puts it into force."""
    folder, size = job.folder, job.run.embedder.size
    version = 1 if before is None else before.file.version + 1
    target = generation_folder(folder, version)
    shutil.rmtree(target, ignore_errors=True)  # left by a kill before space.json was replaced
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
    """Removes all generations but the last two: a reader may still be opening the one before."""
    for old in (folder / GENERATIONS).iterdir():
        if old.name < f"{version - 1:06d}":
            shutil.rmtree(old, ignore_errors=True)
    sweep(folder)


def _keep_encoder(job: Job) -> None:
    """Copies what is needed to hear queries, so that a space can be taken elsewhere without its run."""
    target = job.folder / ENCODER
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in _ENCODER_FILES:
        if (job.run.folder.path / name).is_file():
            shutil.copyfile(job.run.folder.path / name, target / name)
