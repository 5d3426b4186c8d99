"""The input of an explanation: a run, a collection, and a vector for each clip."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import DataError, choose
from nearfield.core.types import Floats, Ints, Vectors
from nearfield.data.collection import Collection
from nearfield.data.signals import ArraySignals
from nearfield.training.encode import vectors_of
from nearfield.training.events import Callback, ignore
from nearfield.training.prepare import open_trained_on
from nearfield.training.run import Run
from nearfield.training.run_folder import note_changed
from nearfield.training.setup import TrainingSetup

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class OpenedRun:
    """A run and the clips of its explanation."""

    run: Run
    setup: TrainingSetup
    """The clips as network input; features are computed when needed."""
    vectors: Vectors
    """(N, D) vector of each clip of the collection."""
    split: str
    rows: Ints
    """(n,) rows of the explained clips."""

    @classmethod
    def open(
        cls, run: Run, data: str | None = None, split: str = "test", callback: Callback = ignore
    ) -> "OpenedRun":
        """Opens a run with its collection, or with `data`.

        Vectors are read from the folder of the run if it contains them, else computed.

        Parameters
        ----------
        run
            The run.
        data
            Another collection; None: that of the run.
        split
            The split to explain.
        callback
            Gets notes and progress.

        Raises
        ------
        RequestError
            If the network does not fit the data.
        DataError
            If the split has no clips.
        """
        environment = run.folder.environment()
        own = data is None or data == environment["data"]["given"]
        collection = open_trained_on(data, environment["data"]["path"], run.recipe, True, callback)
        if own:
            collection = collection.with_split(run.folder.split)
            effect = "The vectors are those that the run has stored, if it has stored any."
            note_changed(collection, run.folder, effect, callback)
        setup = TrainingSetup.build(
            run.recipe, collection, environment["seed"], callback, run.embedder, caches=False
        )
        collection = setup.collection
        rows = collection.rows(split)
        if not len(rows):
            filled = [name for name in SPLITS if len(collection.rows(name))]
            raise DataError(f"split {split!r} has no clips. {choose(split, filled)}")
        vectors = run.vectors_for(collection) if own else None
        if vectors is None:
            vectors = vectors_of(run.embedder, setup, callback)
        return cls(run, setup, vectors, split, rows)

    @property
    def collection(self) -> Collection:
        """The collection."""
        return self.setup.collection

    @property
    def splits(self) -> dict[str, Ints]:
        """Rows of each split by name."""
        return {name: self.collection.rows(name) for name in SPLITS}

    @property
    def is_sound(self) -> bool:
        """Whether the clips are sounds."""
        return isinstance(self.setup.network_input.signals, ArraySignals)

    def levels(self, rows: Ints) -> Floats:
        """Computes (n,) root mean square of whole clips in dB relative to full scale; -inf for silence."""
        signals = self.setup.network_input.signals
        found = np.full(len(rows), -np.inf)
        for place, row in enumerate(rows.tolist()):
            wave = np.empty(signals.shape(signals.length(row)), np.float32)
            signals.cut(row, 0, wave.shape[-1], wave)
            power = float(np.square(wave, dtype=np.float64).mean())
            if power > 0:
                found[place] = 10 * np.log10(power)
        return found
