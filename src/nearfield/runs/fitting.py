"""A training on sounds at hand, as libraries for learning want it: no table, no split, no folder kept."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.machine import keep_memory
from nearfield.data.arrays import Input, as_sounds
from nearfield.data.audio import Waves, mix
from nearfield.data.collection import Collection
from nearfield.data.listing import Kind
from nearfield.data.signals import ArraySignals, Signals
from nearfield.data.store import Store
from nearfield.runs.device import Precision, best_precision, open_device
from nearfield.runs.events import Watcher, nobody
from nearfield.runs.folder import Folder, load_tensors
from nearfield.runs.launch import check, check_teaching
from nearfield.runs.recipe import Recipe
from nearfield.runs.run import Run
from nearfield.runs.training import Training
from nearfield.runs.workbench import Workbench, build_embedder, see


def fit(
    recipe: Recipe,
    inputs: Iterable[Input],
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    watch: Watcher = nobody,
) -> Run:
    """Learns a space from all of `inputs`: files, or else waves (T,) or (C, T) at the recipe's sample rate.

    `labels`: one an input, where the recipe's relation asks for them. The run that comes back encodes; its
    folder is gone, and it was measured on nothing. Raises RequestError for what cannot work, before anything
    is trained; DataError for unusable files; WorkError where the loss stops being a number.
    """
    keep_memory()
    chosen = best_precision(device) if recipe.train.precision == "auto" else recipe.train.precision
    precision: Precision = "bf16" if chosen == "bf16" else "fp32"
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"precision": precision})})
    check(recipe, watch)
    sounds = as_sounds(inputs)
    collection = _collection(recipe, sounds, labels)
    check_teaching(recipe, collection)
    bench = _bench(recipe, collection, _signals(recipe, collection, sounds), seed)
    place = open_device(device, precision)
    with tempfile.TemporaryDirectory(prefix="nearfield-") as name:
        folder = Folder(Path(name))
        Training(bench, folder, place, precision, watch).run()
        weights, _ = load_tensors(folder.weights)
    embedder = bench.embedder.cpu()
    embedder.load_state_dict(weights)
    return Run(folder, recipe, embedder.eval())


def _collection(recipe: Recipe, sounds: list[Path | Waves], labels: Sequence[str] | None) -> Collection:
    """A row a sound, all to train on; waves have their number for a path."""
    paths = [str(given) if isinstance(given, Path) else f"wave {n}" for n, given in enumerate(sounds)]
    rows = pd.DataFrame(
        {
            "id": [str(number) for number in range(len(paths))],
            "path": paths,
            "seconds": 0.0,  # whole files
            "label": [""] * len(paths) if labels is None else list(labels),
            "split": "train",
        }
    )
    kind: Kind = "picture" if recipe.feature.kind == "pixels" else "sound"
    return Collection.from_rows(rows, kind, "what was given")


def _signals(recipe: Recipe, collection: Collection, sounds: list[Path | Waves]) -> Signals:
    if all(isinstance(given, Path) for given in sounds):
        return Store().open(collection, recipe.data)
    waves = []
    for number, wave in enumerate(sounds):
        if isinstance(wave, Path):
            raise DataError(f"sound {number} is a file among waves. Give files alone, or waves alone.")
        waves.append(mix(wave, recipe.data.channels))
        if len(waves[-1]) != len(waves[0]):
            raise DataError(
                f"sound {number} has {len(wave)} channels, and sound 0 has {len(waves[0])}. Give all of them "
                "as many, or set data.channels: mean."
            )
    return ArraySignals.of(waves, recipe.data.sample_rate)


def _bench(recipe: Recipe, collection: Collection, signals: Signals, seed: int) -> Workbench:
    facts = collection.facts()
    if isinstance(signals, ArraySignals):
        facts = signals.corrected(facts)
    feature = recipe.feature.build(recipe.data.sample_rate, signals.channels)
    sight = see(recipe, collection, signals, feature)
    embedder = build_embedder(recipe, signals.channels, seed)
    return Workbench(recipe, collection, facts, sight, embedder, signals.channels, seed)
