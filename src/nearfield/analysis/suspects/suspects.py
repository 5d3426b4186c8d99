"""Finds suspects in a collection: wrong labels and tags by the embeddings of a run, faulty signals,
duplicates."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from nearfield.analysis.suspects.duplicates import DuplicateSettings, compare, duplicate_suspects
from nearfield.analysis.suspects.labels import SuspectSettings, label_suspects, tag_suspects
from nearfield.analysis.suspects.listing import Suspect, Suspected, named, ranked
from nearfield.analysis.suspects.signals import (
    ChannelStatistics,
    SignalStatistics,
    measure_channels,
    signal_suspects,
)
from nearfield.core.errors import DataError, RequestError, choose
from nearfield.core.types import ClipMetadata, Ints, Vectors
from nearfield.data.faults import Fault
from nearfield.data.patches import split_patch
from nearfield.training.encode import vectors_of
from nearfield.training.events import Callback, Note, Stage, ignore
from nearfield.training.prepare import note_own, open_trained_on
from nearfield.training.run import Run
from nearfield.training.setup import TrainingSetup, decodable

Sort = Literal["labels", "tags", "signals", "duplicates"]
SORTS: tuple[Sort, ...] = get_args(Sort)

NEAR = DuplicateSettings(share=0.6, most=1000)
"""Pairs whose sounds are compared: many more than are duplicates by their vectors."""
RECORDERS = ("node", "recorder", "microphone", "device", "session")
"""Columns that identify the recorder of a clip; the first one present is used."""


def find_suspects(
    run: Run,
    data: str | None = None,
    sorts: Sequence[Sort] = (),
    top: int = 100,
    callback: Callback = ignore,
) -> Suspected:
    """Finds suspects in a collection.

    Parameters
    ----------
    run
        The run whose embeddings determine near clips.
    data
        Another collection, which is embedded by the run; None: the collection of the run.
    sorts
        What to check (`SORTS`); empty: everything that the collection allows.
    top
        Largest number of suspects of each kind.
    callback
        Gets notes and progress.

    Raises
    ------
    RequestError
        If a sort is unknown.
    DataError
        If a requested sort cannot be checked: without labels, tags, sounds or a split.
    """
    for sort in sorts:
        if sort not in SORTS:
            raise RequestError(f"suspects: there is no kind {sort!r}. {choose(sort, SORTS)}")
    space = _CollectionVectors(run, data, callback)
    found, left_out = list[Suspect](), 0
    for sort in sorts or SORTS:
        try:
            listed = _FINDERS[sort](space)
        except DataError as error:
            if sorts:
                raise
            table = space.collection.table
            has = {"labels": any(table["label"]), "tags": any(table["tags"])}
            if has.get(sort, True) or not any(has.values()):  # most collections have only labels or only tags
                callback(Note(f"{sort} are not checked: {error}"))
            continue
        for kind in dict.fromkeys(each.kind for each in listed):
            own = [each for each in listed if each.kind == kind]
            found += own[:top]
            left_out += len(own[top:])
    return named(ranked(found), space.collection, left_out)


class _CollectionVectors:
    """A collection and its vectors, which are computed when needed."""

    def __init__(self, run: Run, data: str | None, callback: Callback) -> None:
        self.run, self.callback = run, callback
        trained_on = run.folder.environment()["data"]
        own = data is None or split_patch(data)[0] == split_patch(trained_on["given"])[0]
        collection = open_trained_on(data, trained_on["path"], run.recipe, True, callback)
        # The run stores a split that was made for its collection. The split of a fold is not used, because
        # suggestions refer to the split of the collection.
        kept = own and run.recipe.data.fold is None
        self.collection = collection.with_split(run.folder.split) if kept else collection
        if kept:
            effect = "Suspects are searched in its current state."
            note_own(data or trained_on["path"], self.collection, run.folder, effect, callback)
        stored = run.vectors_for(self.collection) if own else None
        if stored is None:
            self.collection = decodable(run.recipe, self.collection, callback)
            stored = run.vectors_for(self.collection) if own else None
        self._found = None if stored is None else (stored, self.collection.metadata())

    @property
    def settings(self) -> SuspectSettings:
        """Settings with the distance of the embeddings and without a limit, so that all suspects are
        counted."""
        unit = self.run.recipe.embedding.normalize
        return SuspectSettings(distance="cosine" if unit else "euclidean", most=sys.maxsize)

    def vectors(self) -> tuple[Vectors, ClipMetadata]:
        """Returns (N, D) and the metadata of the same clips; computed unless the run has stored all of
        them."""
        if self._found is None:
            self._found = self._embed()
        return self._found

    def _embed(self) -> tuple[Vectors, ClipMetadata]:
        setup = TrainingSetup.build(self.run.recipe, self.collection, 0, self.callback, self.run.embedder)
        return vectors_of(self.run.embedder, setup, self.callback), setup.metadata


def _labels(space: _CollectionVectors) -> list[Suspect]:
    return label_suspects(*space.vectors(), space.settings)


def _tags(space: _CollectionVectors) -> list[Suspect]:
    return tag_suspects(*space.vectors(), space.settings)


def _signals(space: _CollectionVectors) -> list[Suspect]:
    """Finds faulty signals; clips with the same number of channels are compared with each other."""
    if space.collection.kind == "picture":
        raise DataError(f"signal suspects: {space.collection.name} contains images, which have no samples.")
    table = space.collection.table
    # Views are channels of one file, whose samples are checked once.
    once = np.flatnonzero(~table.duplicated(["path", "start", "seconds"]).to_numpy())
    collection = space.collection.subset(once)
    measured = measure_channels(collection, lambda d, n: space.callback(Stage("listen", d, n)))
    for problem in measured.problems:
        space.callback(Note(f"not checked: {problem}", is_warning=True))
    columns = collection.metadata().columns
    units = next((columns[name] for name in RECORDERS if name in columns), None)
    found = []
    for channels in np.unique(measured.channels[measured.channels > 0]).tolist():
        rows = np.flatnonzero(measured.channels == channels)
        own = signal_suspects(_statistics(measured, rows, channels), None if units is None else units[rows])
        found += [replace(each, row=int(once[rows[each.row]])) for each in own]
    return ranked(found)


def _statistics(measured: ChannelStatistics, rows: Ints, channels: int) -> SignalStatistics:
    names = ("levels", "clipped", "offsets", "tilts", "correlations", "peaks")
    return SignalStatistics(**{name: getattr(measured, name)[rows, :channels] for name in names})


def _duplicates(space: _CollectionVectors) -> list[Suspect]:
    """Finds near pairs across the split and compares their sounds; pairs of the same sound come first."""
    collection = space.collection
    splits = {split: collection.rows(split) for split in ("train", "val", "test")}
    if sum(bool(len(rows)) for rows in splits.values()) < 2:
        raise DataError("duplicate suspects: clips in two splits are needed. Give a split column.")
    vectors, _ = space.vectors()
    settings = NEAR.model_copy(update={"distance": space.settings.distance})
    pairs = duplicate_suspects(vectors, splits, settings)
    surely = 1 - DuplicateSettings().share
    if collection.kind == "picture":
        return [pair for pair in pairs if pair.score >= surely]
    table = collection.table
    spans = list(zip(map(Path, table["path"]), table["start"], table["seconds"], strict=True))
    found = []
    for number, pair in enumerate(pairs):
        assert pair.other is not None
        space.callback(Stage("compare", number + 1, len(pairs)))
        try:
            likeness = compare(spans[pair.row], spans[pair.other])
        except Fault:
            continue
        if likeness.is_same or pair.score >= surely:
            verdict = "The sounds are the same" if likeness.is_same else "The sounds are not the same"
            figures = f"correlation of waves {likeness.waves:.2f}, of spectrograms {likeness.spectra:.2f}"
            reason = f"{pair.reason} {verdict} ({figures}, shift {likeness.shift:.3f} s)."
            found.append(replace(pair, score=likeness.score, reason=reason))
    return ranked(found)


_FINDERS: dict[Sort, Callable[[_CollectionVectors], list[Suspect]]] = {
    "labels": _labels,
    "tags": _tags,
    "signals": _signals,
    "duplicates": _duplicates,
}
