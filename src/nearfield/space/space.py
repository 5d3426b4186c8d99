"""`Space`: the vectors of a collection, searched by sound."""

import math
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearfield.core.errors import DataError, RequestError, choose, nearest
from nearfield.core.files import digest, place_of
from nearfield.core.text import count
from nearfield.core.types import Ints, Vectors
from nearfield.data.arrays import as_data
from nearfield.data.audio import describe
from nearfield.data.images import SUFFIXES as PICTURES
from nearfield.space.generation import GROUPINGS, Grouping, State
from nearfield.space.identity import Identity
from nearfield.space.query import Embedded, Example, Resolved, direction, given_vector, hear_span, span_of
from nearfield.space.storage import ENCODER, Approximate, damaged
from nearfield.training.events import Callback, Stage, ignore
from nearfield.training.run import Run
from nearfield.training.stream import Windows
from nearfield.training.vector_checks import VectorWarning

if TYPE_CHECKING:
    from nearfield.data.collection import Collection
    from nearfield.space.indexing import Changes
    from nearfield.space.query import Answer


# What to do about a query that a space does not know.


def next_step(given: str, names: pa.Table, folder: Path) -> str:
    """A sentence; of NAME@SECONDS what is there of NAME instead. `names`: columns clip, id and start."""
    name, at, text = given.rpartition("@")
    moment = _seconds(text) if at else None
    is_there = Path(name).expanduser().is_file() or name in names["clip"].to_pylist()
    if moment is not None and is_there and Path(name).suffix.lower() in PICTURES:
        return f"A picture has no moments: search for {name!r}."
    if moment is not None and Path(name).expanduser().is_file():
        return _of_file(name, moment, folder)
    if moment is not None:
        own = names.filter(pc.equal(names["clip"], name))
        if len(own):
            return _of_clip(name, moment, own)
    close = nearest(given, names["id"].to_pylist())
    return f"Did you mean {close!r}?" if close else "Correct the path, or give the id of a clip."


def _seconds(text: str) -> float | None:
    """Of seconds, or of a clock as the answers show it: "61.5", "1:01.5", "1:01:01"."""
    *larger, last = text.split(":")
    if len(larger) > 2 or not all(part.isdecimal() for part in larger):
        return None
    try:
        found = float(last) + sum(int(part) * 60**power for power, part in enumerate(reversed(larger), 1))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _of_file(path: str, moment: float, folder: Path) -> str:
    """Of a file on the disk: the option that begins there, where it goes on so long."""
    try:
        length = describe(Path(path).expanduser()).seconds
    except DataError as error:
        return str(error)
    if moment < 0:
        return f"{path} begins at 0 s and ends at {length:g} s. Give a moment between by --start."
    if moment < length:
        command = shlex.join(["nearfield", "search", str(folder), path, "--start", f"{moment:g}"])
        return f"To hear that file from there on: {command}"
    return f"{path} ends at {length:g} s. Give an earlier moment by --start."


def _of_clip(clip: str, moment: float, own: pa.Table) -> str:
    """Of a clip of the space: that it is one vector, or its window that begins nearest to the moment."""
    ids, starts = own["id"].to_pylist(), own["start"].to_pylist()
    if ids == [clip]:
        return (
            f"The space has one vector of the whole clip {clip!r}: search for that, or make a space of "
            "windows (nearfield index --windows all), or give the path of the file with --start."
        )
    near = min(range(len(ids)), key=lambda row: abs(starts[row] - moment))
    reach = f"the first at {min(starts):g} s, the last at {max(starts):g} s"
    return f"{clip!r} has {count(len(ids), 'window')}, {reach}. The nearest: {ids[near]!r}."


# `Space`: a collection's vectors, searched by sound.
#
# space.json   which files are in force, and whose vectors they hold
# encoder/     the run that made the vectors, and hears queries
# generations/ the vectors, what search needs, and what is known of each: a folder for each state


class Space:
    """An open space. What it reads stays as it is when another process updates it; `reload` shows the new.

    After a second update what was not read before is gone, and asking for it raises DataError.
    """

    def __init__(self, folder: Path, state: State) -> None:
        """`open` and `create` make one."""
        self.folder, self.state = folder, state

    @classmethod
    def load(cls, path: str | Path) -> "Space":
        """Opens a space at once: vectors are mapped and read as they are needed.

        Raises RequestError where there is none, DataError, with the command that makes it again, where it is
        damaged.
        """
        folder = Path(path).expanduser()
        return cls(folder, State.read(folder))

    @classmethod
    def create(
        cls,
        run: Run,
        data: "str | Path | Collection | None",
        out: str | Path,
        callback: Callback = ignore,
        windows: Windows | None = None,
    ) -> "Space":
        """Embeds all of `data`, or, where that is None, of what the run was trained on, and makes a space of
        it in the folder `out`.

        `windows`: a vector for each clip (`clip`), or for each window of a clip (`all`); None: for each
        window where clips longer than ten of them hold half of the sound, else for each clip. In bounded
        memory; work that was stopped goes on with the same call. Files that cannot be used are left out and
        told.
        Raises RequestError where there is a space already or the run does not fit the data, DataError where
        no clip can be used.
        """
        folder = Path(out).expanduser()
        from nearfield.space.indexing import (  # with all that reads collections
            Job,
            check_new,
            index,
            open_trained_data,
            windows_for,
        )

        check_new(folder)
        if place_of(folder) in ("run", "study"):
            raise RequestError(
                f"--out {folder}: it is a {place_of(folder)}; a space has a folder of its own."
            )
        data, collection = open_trained_data(run, None if data is None else _told(data), callback)
        chosen = windows_for(run, collection, windows, callback)
        index(Job(folder, run, collection, _named(data), chosen, callback, is_new=True))
        return cls.load(folder)

    def update(
        self,
        data: "str | Path | Collection | None" = None,
        callback: Callback = ignore,
        run: Run | None = None,
        windows: Windows | None = None,
        moved: bool = False,
        may_drop: bool = False,
    ) -> "Changes":
        """Brings the space up to `data` (what it was made of, where none is given): new clips are embedded,
        vanished ones dropped, changed ones done again; nothing else is touched.

        A file is known by its contents: one that was moved is not embedded again. Raises RequestError where
        `run` or `windows` is given and is not what made this space, or `data` lie elsewhere than before and
        are not said to have `moved`; DataError where more than half of the clips are gone and it is not said
        that it `may_drop` them.
        """
        from nearfield.space.indexing import Job, check_data, check_windows, index, open_data

        file = self.state.file
        if run is not None:
            self.identity.check(Identity.of(run), str(run.folder.path), str(self.folder))
        if windows is not None:
            check_windows(self.folder, file, windows)
        data = None if data is None else _told(data)
        if isinstance(data, str) and not moved:
            check_data(self.folder, file, data)
        collection = open_data(self.run, file, data, callback)
        named = _named(data) if isinstance(data, str) else file.data
        changes = index(Job(self.folder, self.run, collection, named, file.windows, callback, may_drop))
        self.state = State.read(self.folder)
        return changes

    def reload(self) -> None:
        """Goes over to the state that is in force now."""
        self.state = State.read(self.folder)

    def __reduce__(self) -> "tuple[Any, tuple[Path]]":
        """Travels to another process as its folder, and is opened there in the state in force then."""
        return Space.load, (self.folder.absolute(),)

    def __len__(self) -> int:
        return self.state.file.count

    @property
    def identity(self) -> Identity:
        """Whose vectors these are, and what each stands for."""
        file = self.state.file
        return replace(Identity.from_plain(file.identity), windows=file.windows)

    @property
    def vectors(self) -> Vectors:
        """(N, D) float32 of unit length, mapped into memory."""
        return self.state.generation.vectors

    @property
    def approximate(self) -> Approximate | None:
        """The approximate index and its measured recall, where one is built."""
        return self.state.file.approximate

    @cached_property
    def run(self) -> Run:
        """The run that made the vectors. Raises DataError where its copy in the space is not that run."""
        run = Run.load(self.folder / ENCODER)
        if Identity.of(run).digest != self.identity.digest:
            raise damaged(self.folder, f"the run in {ENCODER} is not {self.identity}", self.state.file)
        for said in run.doubts():
            warnings.warn(said, VectorWarning, stacklevel=3)
        return run

    def rows(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """What is known of the vectors, in their order, with the column `position`; see `Rows.read`."""
        return self.state.rows.read(columns, where)

    def positions(self, clip: str) -> Ints:
        """The rows of one clip, or of one window, by its id. Raises RequestError where there is none."""
        names = self.rows(["clip", "id"])
        found = names.filter(pc.or_(pc.equal(names["clip"], clip), pc.equal(names["id"], clip)))
        if not len(found):
            step = next_step(clip, self.rows(["clip", "id", "start"]), self.folder)
            raise RequestError(
                f"{clip!r} is neither a sound file nor the id of a clip in {self.folder}. {step}"
            )
        positions: Ints = found["position"].to_numpy()
        return positions

    def encode(self, example: Example) -> Vectors:
        """(D,) the unit vector of a file, a span of one, a clip of this space by id, or of a vector."""
        return direction([self.resolve(example).vector], [])

    def search(
        self,
        query: Example | None = None,
        top: int = 10,
        where: str | None = None,
        diverse: Grouping | None = None,
        plus: Sequence[Example] = (),
        minus: Sequence[Example] = (),
    ) -> "list[Answer]":
        """The `top` nearest to a query, the nearest first; of equals the first in the table.

        An example is a sound file, a span of one (file, start, seconds), the id of a clip, or a vector (D,):
        `Embedded`, which is refused where it is of another identity, or bare, and then it is taken for one of
        this space's run.
        `plus` are further ones to be near to, `minus` to be far from: the mean of one side less that of the
        other, on the sphere. `where` is a condition on columns, or words (see `filters`); `diverse` gives one
        answer a group or recording. Clips that are themselves examples are not answers. Exact, but for spaces
        of `APPROXIMATE_FROM` and more whose approximate index is built. Raises RequestError for what cannot
        be asked, DataError for sounds that cannot be read.
        """
        if top < 1:
            raise RequestError(f"top: at least 1. Given: {top}.")
        if diverse is not None and diverse not in GROUPINGS:
            raise RequestError(f"diverse: unknown {diverse!r}. {choose(diverse, GROUPINGS)}")
        from nearfield.space.query import Aim, Wish, answer  # with the search's compiler

        examples = [*plus] if query is None else [query, *plus]
        if not examples and not minus:
            raise RequestError("A search needs a query: a sound file, a span, the id of a clip, or a vector.")
        near, far = [self.resolve(each) for each in examples], [self.resolve(each) for each in minus]
        return answer(self.state, Aim.of(near, far), Wish(top, where, diverse))

    def build_approximate(self, callback: Callback = ignore) -> Approximate:
        """Builds LanceDB's approximate index, measures its recall, and stores both. An update drops it."""
        from nearfield.space.approximate import build

        callback(Stage("approximate index", 0, 1))
        facts = build(self.state.generation.folder, self.state.generation.nearest)
        file = self.state.file.model_copy(update={"approximate": facts})
        file.write(self.folder)
        self.state = replace(self.state, file=file)
        callback(Stage("approximate index", 1, 1))
        return facts

    def verify(self) -> None:
        """Reads every file of the space. Raises DataError, with the command that makes it again, where one is
        not what was written."""
        self.state.file.check_contents(self.folder)
        try:
            count = len(self.state.rows)
        except DataError as error:
            raise damaged(self.folder, str(error), self.state.file) from None
        if count != len(self):
            raise damaged(self.folder, f"the rows are {count:,} instead of {len(self):,}", self.state.file)

    def resolve(self, example: Example) -> Resolved:
        """What an example is here. Raises as `search`."""
        none = np.empty(0, np.int64)
        span = span_of(example)
        if span is not None:
            vector = hear_span(self.run, span)
            try:
                copies = self.state.rows.of_file(digest(Path(span[0])))
            except OSError as error:
                raise DataError(f"{span[0]} cannot be read: {error.strerror}.") from None
            return Resolved(vector, none, copies)
        if isinstance(example, str):
            rows = self.positions(example)
            return Resolved(self.vectors[rows].astype(np.float64).mean(axis=0).astype(np.float32), rows, none)
        if isinstance(example, Embedded):
            self.identity.check(example.identity, "The query", str(self.folder))
            example = example.vector
        return Resolved(given_vector(example, self.state.file.size), none, none)


def _told(data: "str | Path | Collection") -> "str | Collection":
    """The collection, or DATA as text. Raises DataError for anything else."""
    from nearfield.data.collection import Collection

    return data if isinstance(data, Collection) else as_data(data)


def _named(data: "str | Collection") -> str:
    from nearfield.training.prepare import absolute

    return absolute(data, follow=False) if isinstance(data, str) else data.name
