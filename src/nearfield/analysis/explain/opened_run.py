"""What an explanation is made of: a run, a collection as the run hears it, and a vector for each clip."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from nearfield.core.errors import DataError, choose
from nearfield.core.types import Floats, Ints, Vectors
from nearfield.data.collection import Collection
from nearfield.data.signals import ArraySignals
from nearfield.models.features.feature import Feature
from nearfield.training.encode import vectors_of
from nearfield.training.events import Callback, ignore
from nearfield.training.prepare import open_trained_on
from nearfield.training.run import Run
from nearfield.training.run_folder import note_changed
from nearfield.training.setup import NetworkInput, TrainingSetup, decodable, decoded

SIDES = ("train", "val", "test")


@dataclass(frozen=True)
class OpenedRun:
    """A run and the clips that it is explained by."""

    run: Run
    setup: TrainingSetup
    """The clips as the run hears them; pictures are made as they are needed."""
    vectors: Vectors
    """(N, D) one for each clip of the collection."""
    split: str
    rows: Ints
    """(n,) rows of the collection that are explained."""

    @classmethod
    def open(
        cls, run: Run, data: str | None = None, split: str = "test", callback: Callback = ignore
    ) -> "OpenedRun":
        """The run's own clips, or those of `data`; `split` is the side that is explained.

        Vectors come from the run's folder where it holds them, else from its network. Raises RequestError
        for data that the run cannot hear, DataError where the split holds no clips.
        """
        environment = run.folder.environment()
        own = data is None or data == environment["data"]["given"]
        collection = open_trained_on(data, environment["data"]["path"], run.recipe, True, callback)
        if own:
            collection = collection.with_split(run.folder.split)
            effect = "The vectors are those of the run's last measurement, where it has kept them."
            note_changed(collection, run.folder, effect, callback)
        collection = decodable(run.recipe, collection, callback)
        rows = collection.rows(split)
        if not len(rows):
            filled = [side for side in SIDES if len(collection.rows(side))]
            raise DataError(f"split {split!r} holds no clips. {choose(split, filled)}")
        setup = _bench(run, collection, environment["seed"], callback)
        vectors = _kept(run, collection) if own else None
        if vectors is None:
            vectors = vectors_of(run.embedder, setup, callback)
        return cls(run, setup, vectors, split, rows)

    @property
    def collection(self) -> Collection:
        """The clips."""
        return self.setup.collection

    @property
    def splits(self) -> dict[str, Ints]:
        """The rows of every side."""
        return {side: self.collection.rows(side) for side in SIDES}

    @property
    def is_sound(self) -> bool:
        """Whether the clips can be heard."""
        return isinstance(self.setup.network_input.signals, ArraySignals)

    def levels(self, rows: Ints) -> Floats:
        """(n,) root mean square over all channels of whole clips, in dB of full scale; -inf for silence."""
        signals = self.setup.network_input.signals
        found = np.full(len(rows), -np.inf)
        for place, row in enumerate(rows.tolist()):
            wave = np.empty(signals.shape(signals.length(row)), np.float32)
            signals.cut(row, 0, wave.shape[-1], wave)
            power = float(np.square(wave, dtype=np.float64).mean())
            if power > 0:
                found[place] = 10 * np.log10(power)
        return found


def _bench(run: Run, collection: Collection, seed: int, callback: Callback) -> TrainingSetup:
    recipe = run.recipe
    signals, metadata = decoded(recipe, collection)
    is_sound = recipe.modality == "audio"
    length = round(recipe.data.clip_seconds * recipe.data.sample_rate) if is_sound else 1
    network_input = NetworkInput(signals, length, cast(Feature, run.embedder.feature))
    return TrainingSetup(recipe, collection, metadata, network_input, run.embedder, signals.channels, seed)


def _kept(run: Run, collection: Collection) -> Vectors | None:
    """(N, D) the vectors in the run's folder in the collection's order; None where one is missing."""
    if not run.folder.vectors.is_file():
        return None
    ids, vectors = run.vectors()
    place = {clip: at for at, clip in enumerate(ids)}
    wanted = list(collection.table["id"])
    return vectors[[place[clip] for clip in wanted]] if place.keys() >= set(wanted) else None
