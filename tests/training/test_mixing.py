"""Clips heard together in a whole training: they are added up as waves, before any logarithm."""

from pathlib import Path

import numpy as np

from nearfield.data.collection import Collection
from nearfield.training.api import train
from nearfield.training.recipe import Recipe
from nearfield.training.setup import TrainingSetup
from tests.training.conftest import small

TAGGED = {
    "relation": {"kind": "tags"},
    "loss": {"kind": "bce"},
    "embedding": {"size": 8, "normalize": False},
    "optimizer": {"kind": "adam", "lr": 0.01},
    "train": {"updates": 60},
}
MIXED = {"kind": "shuffle", "batch_size": 16, "mixing": {"share": 1.0, "decibels": [0, 0]}}


def test_mixtures_are_sums_of_waves(chords: Path) -> None:
    recipe = Recipe.of(small(**TAGGED, sampler=MIXED))
    setup = TrainingSetup.build(recipe, Collection.load(str(chords), recipe.data.columns), seed=0)
    assert setup.network_input.feature is not None
    indices, batch = next(iter(setup.batches(setup.sampler(), 0)))
    assert indices.partner is not None
    for item, row, other in zip(batch.signal.numpy(), indices.rows, indices.partner.rows, strict=True):
        heard = {tag for clip in (row, other) for tag in np.flatnonzero(setup.metadata.tags[clip])}
        spectrum = np.abs(np.fft.rfft(item[0] * np.hanning(item.shape[-1])))
        for tag, name in enumerate(setup.metadata.tag_names):
            pitch = {"low": 200.0, "middle": 500.0, "high": 1100.0, "top": 2300.0}[name]
            place = round(pitch * item.shape[-1] / 8000)
            loud = spectrum[place - 2 : place + 3].max() > 10 * np.median(spectrum)
            assert loud == (tag in heard)


def test_a_training_on_mixtures_learns(chords: Path, tmp_path: Path) -> None:
    run = train(Recipe.of(small(**TAGGED, sampler=MIXED)), chords, tmp_path / "r", device="cpu")
    assert run.metrics["tagger/pr_auc"] > run.metrics["baseline/chance/tagging/pr_auc"] + 0.2
