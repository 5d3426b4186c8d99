"""`Space`: the embeddings of a collection, which can be searched by sound."""

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
from nearfield.data.images import SUFFIXES as IMAGES
from nearfield.space.generation import GROUPINGS, Grouping, State
from nearfield.space.identity import Identity, WindowMode
from nearfield.space.query import Embedded, Example, Resolved, direction, embed_span, given_vector, span_of
from nearfield.space.storage import ENCODER, Approximate, damaged
from nearfield.training.events import Callback, Stage, ignore
from nearfield.training.run import Run
from nearfield.training.vector_checks import VectorWarning

if TYPE_CHECKING:
    from nearfield.data.collection import Collection
    from nearfield.space.indexing import Changes
    from nearfield.space.query import Answer


# The next step that an error message suggests for a query that a space does not contain.


def next_step(given: str, names: pa.Table, folder: Path) -> str:
    """One sentence. For NAME@SECONDS it says which times of NAME exist. `names`: columns clip, id, start."""
    name, at, text = given.rpartition("@")
    time = _seconds(text) if at else None
    is_there = Path(name).expanduser().is_file() or name in names["clip"].to_pylist()
    if time is not None and is_there and Path(name).suffix.lower() in IMAGES:
        return f"An image has no start time. Search for {name!r}."
    if time is not None and Path(name).expanduser().is_file():
        return _of_file(name, time, folder)
    if time is not None:
        own = names.filter(pc.equal(names["clip"], name))
        if len(own):
            return _of_clip(name, time, own)
    close = nearest(given, names["id"].to_pylist())
    return f"Did you mean {close!r}?" if close else "Correct the path, or give the id of a clip."


def _seconds(text: str) -> float | None:
    """Parses seconds or a clock time, as answers show it: "61.5", "1:01.5", "1:01:01"; else None."""
    *larger, last = text.split(":")
    if len(larger) > 2 or not all(part.isdecimal() for part in larger):
        return None
    try:
        found = float(last) + sum(int(part) * 60**power for power, part in enumerate(reversed(larger), 1))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _of_file(path: str, time: float, folder: Path) -> str:
    """The step for a file on disk: the option --start, if the file is long enough."""
    try:
        length = describe(Path(path).expanduser()).seconds
    except DataError as error:
        return str(error)
    if time < 0:
        return f"{path} starts at 0 s and ends at {length:g} s. Give a time in that range with --start."
    if time < length:
        command = shlex.join(["nearfield", "search", str(folder), path, "--start", f"{time:g}"])
        return f"To search with that file from this time on: {command}"
    return f"{path} ends at {length:g} s. Give an earlier time with --start."


def _of_clip(clip: str, time: float, own: pa.Table) -> str:
    """The step for a clip of the space: its one vector, or its window that starts nearest to `time`."""
    ids, starts = own["id"].to_pylist(), own["start"].to_pylist()
    if ids == [clip]:
        return (
            f"The space has one vector for the whole clip {clip!r}. Search for that clip, make a space of "
            "windows (nearfield index --windows all), or give the path of the file with --start."
        )
    near = min(range(len(ids)), key=lambda row: abs(starts[row] - time))
    reach = f"the first at {min(starts):g} s, the last at {max(starts):g} s"
    return f"{clip!r} has {count(len(ids), 'window')}, {reach}. The nearest: {ids[near]!r}."


# `Space`: the folder of a collection's embeddings.
#
# space.json   the current files with their checksums, and the identity of the encoder
# encoder/     the run that made the embeddings and embeds queries
# generations/ embeddings, search files and the table of rows, in one folder for each state


class Space:
    """An open space: the embeddings of a collection and their exact search.

    An open space keeps the state that it was opened in while another process updates the folder; `reload`
    switches to the new state. Two updates after opening, files that were not read yet are gone, and reading
    them raises DataError. Use `load` or `create` to get an instance.

    Examples
    --------
    >>> space = Space.load("SPACE")  # doctest: +SKIP
    >>> [answer.id for answer in space.search("rain.wav", top=3)]  # doctest: +SKIP
    """

    def __init__(self, folder: Path, state: State) -> None:
        self.folder, self.state = folder, state

    @classmethod
    def load(cls, path: str | Path) -> "Space":
        """Opens a space; its vectors are memory-mapped and read when they are needed.

        Parameters
        ----------
        path
            The folder of the space.

        Raises
        ------
        RequestError
            If the folder holds no space.
        DataError
            If the space is damaged; the message gives the command that makes it again.
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
        windows: WindowMode | None = None,
    ) -> "Space":
        """Embeds a collection and writes a space of it.

        Memory is bounded. A call that was interrupted continues when it is repeated. Files that cannot be
        used are left out and reported.

        Parameters
        ----------
        run
            The run that embeds the clips, and later the queries.
        data
            The collection or its path; None for the data that the run was trained on.
        out
            The folder of the new space.
        callback
            Receives progress events.
        windows
            `clip` for one vector per clip, `all` for one per window. None chooses `all` if clips longer
            than ten windows make up more than half of the duration, else `clip`.

        Raises
        ------
        RequestError
            If `out` already holds a space, or the run does not fit the data.
        DataError
            If no clip can be used.
        """
        folder = Path(out).expanduser()
        from nearfield.space.indexing import (  # deferred: it imports the readers of collections
            Job,
            check_new,
            index,
            open_trained_data,
            windows_for,
        )

        check_new(folder)
        if place_of(folder) in ("run", "study"):
            raise RequestError(
                f"--out {folder}: it holds a {place_of(folder)}. Choose another folder for the space."
            )
        data, collection = open_trained_data(run, None if data is None else _as_text(data), callback)
        chosen = windows_for(run, collection, windows, callback)
        index(Job(folder, run, collection, _named(data), chosen, callback, is_new=True))
        return cls.load(folder)

    def update(
        self,
        data: "str | Path | Collection | None" = None,
        callback: Callback = ignore,
        run: Run | None = None,
        windows: WindowMode | None = None,
        moved: bool = False,
        may_drop: bool = False,
    ) -> "Changes":
        """Embeds new and changed clips, and drops those that are gone.

        Files are identified by their contents: a file that was only moved is not embedded again.

        Parameters
        ----------
        data
            The collection or its path; None for the data that the space was made of.
        callback
            Receives progress events.
        run, windows
            If given, they are checked against those that made the space.
        moved
            Allows `data` to be at another place than before.
        may_drop
            Allows more than half of the clips to be dropped.

        Returns
        -------
        Changes
            The number of clips added, changed, dropped and kept.

        Raises
        ------
        RequestError
            If `run` or `windows` differ from those of the space, or `data` is at another place and `moved`
            is false.
        DataError
            If more than half of the clips are gone and `may_drop` is false.
        """
        from nearfield.space.indexing import Job, check_data, check_windows, index, open_data

        file = self.state.file
        if run is not None:
            self.identity.check(Identity.of(run), str(run.folder.path), str(self.folder))
        if windows is not None:
            check_windows(self.folder, file, windows)
        data = None if data is None else _as_text(data)
        if isinstance(data, str) and not moved:
            check_data(self.folder, file, data)
        collection = open_data(self.run, file, data, callback)
        named = _named(data) if isinstance(data, str) else file.data
        changes = index(Job(self.folder, self.run, collection, named, file.windows, callback, may_drop))
        self.state = State.read(self.folder)
        return changes

    def reload(self) -> None:
        """Switches to the current state of the folder."""
        self.state = State.read(self.folder)

    def __reduce__(self) -> "tuple[Any, tuple[Path]]":
        """Pickles as the folder; unpickling opens the state that is current then."""
        return Space.load, (self.folder.absolute(),)

    def __len__(self) -> int:
        return self.state.file.count

    @property
    def identity(self) -> Identity:
        """The identity of the encoder, and whether a vector stands for a clip or a window."""
        file = self.state.file
        return replace(Identity.from_plain(file.identity), windows=file.windows)

    @property
    def vectors(self) -> Vectors:
        """(N, D) float32 embeddings of unit length, memory-mapped."""
        return self.state.generation.vectors

    @property
    def approximate(self) -> Approximate | None:
        """The approximate index with its measured recall, or None if none is built."""
        return self.state.file.approximate

    @cached_property
    def run(self) -> Run:
        """The run that made the vectors. Raises DataError if its copy in the space has been changed."""
        run = Run.load(self.folder / ENCODER)
        if Identity.of(run).digest != self.identity.digest:
            raise damaged(self.folder, f"the run in {ENCODER} is not {self.identity}", self.state.file)
        for doubt in run.doubts():
            warnings.warn(doubt, VectorWarning, stacklevel=3)
        return run

    def rows(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """The metadata of the vectors, one row per vector in their order.

        Parameters
        ----------
        columns
            Columns to read; None for all. The column `position`, the number of the row, is always added.
        where
            A filter on columns, or words to search for; see `filters`.

        Raises
        ------
        RequestError
            If a column is unknown or the filter is invalid.
        """
        return self.state.rows.read(columns, where)

    def positions(self, clip: str) -> Ints:
        """The row numbers of a clip or window, by its id. Raises RequestError if the id is unknown."""
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
        """The unit vector (D,) of an example: a file, a span of a file, the id of a clip, or a vector."""
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
        """The nearest clips or windows to a query, nearest first; ties keep the order of the table.

        The query vector is the mean of the positive examples (`query` and `plus`) minus the mean of the
        negative examples (`minus`), scaled to unit length. Clips that are examples are not returned. The
        search is exact, except in spaces of at least `APPROXIMATE_FROM` rows with an approximate index.

        Parameters
        ----------
        query
            A sound file, a span (file, start, seconds), the id of a clip, or a vector (D,). An `Embedded`
            vector is checked against the identity of the space; a bare array is not.
        top
            The number of answers.
        where
            A filter on columns, or words to search for; see `filters`.
        diverse
            `group` or `recording`: return at most one answer of each.
        plus, minus
            Further positive examples, and negative examples.

        Raises
        ------
        RequestError
            If an argument is invalid.
        DataError
            If a sound cannot be read.

        Examples
        --------
        >>> space.search("rain.wav", top=3, where="label = 'rain'")  # doctest: +SKIP
        """
        if top < 1:
            raise RequestError(f"top must be at least 1. Given: {top}.")
        if diverse is not None and diverse not in GROUPINGS:
            raise RequestError(f"diverse: unknown {diverse!r}. {choose(diverse, GROUPINGS)}")
        from nearfield.space.query import Aim, Wish, answer  # deferred: it imports the compiler

        examples = [*plus] if query is None else [query, *plus]
        if not examples and not minus:
            raise RequestError("A search needs a query: a sound file, a span, the id of a clip, or a vector.")
        near, far = [self.resolve(each) for each in examples], [self.resolve(each) for each in minus]
        return answer(self.state, Aim.of(near, far), Wish(top, where, diverse))

    def build_approximate(self, callback: Callback = ignore) -> Approximate:
        """Builds an approximate LanceDB index and measures its recall. An update of the space drops it."""
        from nearfield.space.approximate import build

        callback(Stage("approximate index", 0, 1))
        facts = build(self.state.generation.folder, self.state.generation.nearest)
        file = self.state.file.model_copy(update={"approximate": facts})
        file.write(self.folder)
        self.state = replace(self.state, file=file)
        callback(Stage("approximate index", 1, 1))
        return facts

    def verify(self) -> None:
        """Compares every file of the space with its checksum.

        Raises
        ------
        DataError
            If a file has changed; the message gives the command that makes the space again.
        """
        self.state.file.check_contents(self.folder)
        try:
            count = len(self.state.rows)
        except DataError as error:
            raise damaged(self.folder, str(error), self.state.file) from None
        if count != len(self):
            raise damaged(self.folder, f"it has {count:,} rows instead of {len(self):,}", self.state.file)

    def resolve(self, example: Example) -> Resolved:
        """Finds the vector and the rows of an example. Raises the errors of `search`."""
        none = np.empty(0, np.int64)
        span = span_of(example)
        if span is not None:
            vector = embed_span(self.run, span)
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


def _as_text(data: "str | Path | Collection") -> "str | Collection":
    """The collection, or its path as text. Raises DataError for anything else."""
    from nearfield.data.collection import Collection

    return data if isinstance(data, Collection) else as_data(data)


def _named(data: "str | Collection") -> str:
    from nearfield.training.prepare import absolute

    return absolute(data, follow=False) if isinstance(data, str) else data.name
