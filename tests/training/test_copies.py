"""Augmented copies beside the clips: a set made larger, as the clips and the copies on disk would be."""

from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nearfield.analysis.triplets import draw_triplets
from nearfield.core.errors import RequestError
from nearfield.data.collection import Collection
from nearfield.study.budget import reduced
from nearfield.study.run import _real_batch
from nearfield.training.prepare import Request, check
from nearfield.training.recipe import Recipe
from nearfield.training.setup import TrainingSetup
from nearfield.training.trainer import launch
from tests.training.conftest import small

NOISE = {"kind": "noise", "ratio_db": [0.0, 20.0]}
SHIFT = {"kind": "time_shift", "max_seconds": 0.1}


class Seen(torch.nn.Module):
    """Stands for the network, to see what it is given."""

    def teach(self, signal: Tensor) -> Tensor:
        return signal


def bench_of(tones: Path, **changes: Any) -> TrainingSetup:
    settings: dict[str, Any] = {
        "sampler": {"kind": "shuffle", "batch_size": 4},
        "augment": [NOISE, SHIFT],
        "data.clip_seconds": 1.0,  # the whole clip, so that windows are the same each time
    }
    recipe = Recipe.of(small()).changed(settings | changes)
    return TrainingSetup.build(recipe, Collection.load(str(tones)), seed=3)


def heard(setup: TrainingSetup, epochs: int) -> dict[tuple[int, int], list[Tensor]]:
    """What the network is given in some epochs, by clip and copy."""
    sampler, encoder = setup.sampler(), setup.encoder(torch.device("cpu"))
    encoder.embedder, encoder.feature = Seen(), torch.nn.Identity()  # type: ignore[assignment]
    batches = epochs * -(-sampler.clips_per_epoch // sampler.batch_size)
    found = defaultdict(list)
    for update, (_, batch) in enumerate(islice(setup.batches(sampler, 0), batches)):
        copies = batch.indices.copies
        assert copies is not None
        for row, copy, wave in zip(batch.indices.rows, copies, encoder(batch, update), strict=True):
            found[int(row), int(copy)].append(wave)
    return found


def test_an_epoch_has_each_clip_and_each_copy_once_and_a_copy_stays_as_it_is(tones: Path) -> None:
    setup = bench_of(tones, **{"train.augmented_copies": 2})
    found, rows = heard(setup, epochs=3), setup.collection.rows("train")
    assert set(found) == {(int(row), copy) for row in rows for copy in range(3)}
    waves = setup.network_input.signals
    for (row, copy), given in found.items():
        assert len(given) == 3
        assert torch.equal(given[0], given[1])
        assert torch.equal(given[0], given[2])
        original = np.empty(setup.network_input.shape, np.float32)
        waves.cut(row, 0, setup.network_input.length, original)
        assert torch.equal(given[0], torch.from_numpy(original)) == (copy == 0)
    assert not any(torch.equal(found[int(row), 1][0], found[int(row), 2][0]) for row in rows)


def test_copies_are_those_of_the_runs_seed(tones: Path) -> None:
    first, again = (heard(bench_of(tones, **{"train.augmented_copies": 1}), 1) for _ in range(2))
    other = bench_of(tones, **{"train.augmented_copies": 1})
    other.seed = 4
    others = heard(other, 1)
    for key, (wave,) in first.items():
        assert torch.equal(wave, again[key][0])
        assert torch.equal(wave, others[key][0]) == (key[1] == 0)


def test_balanced_batches_take_copies_for_clips_of_their_label(tones: Path) -> None:
    changes = {"sampler": {"kind": "balanced", "classes": 2, "per_class": 6}, "train.augmented_copies": 1}
    setup = bench_of(tones, **changes)
    indices = next(iter(setup.sampler().epoch(0)))
    assert indices.copies is not None
    assert sorted(Counter(setup.metadata.labels[indices.rows].tolist()).values()) == [6, 6]
    assert set(indices.rows) <= set(setup.collection.rows("train"))
    assert len(set(zip(indices.rows, indices.copies, strict=True))) == 12
    assert set(indices.copies) == {0, 1}


def test_a_run_with_copies_is_trained_and_comes_out_alike(tones: Path, tmp_path: Path) -> None:
    recipe = bench_of(tones, **{"train.augmented_copies": 2}).recipe
    runs = [launch(Request(recipe, str(tones), tmp_path / name, 0)) for name in ("one", "two")]
    states = [run.embedder.state_dict() for run in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other = launch(Request(recipe.changed({"train.augmented_copies": 0}), str(tones), tmp_path / "three", 0))
    assert not all(torch.equal(states[0][name], each) for name, each in other.embedder.state_dict().items())


def test_a_study_counts_batches_as_they_are_with_copies(tones: Path) -> None:
    """Few clips fill no batch, and with copies they do: the arms' budgets are not the same."""
    few = {"sampler": {"kind": "shuffle", "batch_size": 64}}
    real, recipes = {}, {}
    for copies in (0, 2):
        setup = bench_of(tones, **few, **{"train.augmented_copies": copies})
        real[copies] = max(len(indices) for indices in setup.sampler().epoch(0))
        assert _real_batch(setup.recipe, setup.collection) == real[copies]
        recipes[str(copies)] = setup.recipe
    assert real[0] < real[2] == 64
    with pytest.raises(RequestError, match="different budgets"):
        reduced(recipes, {str(copies): size for copies, size in real.items()}, None, "study")


def test_triplets_are_shown_as_training_with_copies_draws_them(tones: Path) -> None:
    """Eight of a label are more than its clips, and fewer than its clips and copies."""
    balanced = {"kind": "balanced", "classes": 4, "per_class": 8, "small": "drop"}
    setup = bench_of(tones, sampler=balanced, **{"train.augmented_copies": 2})
    assert draw_triplets(setup.recipe, str(tones), 3, seed=0).shown


def test_a_window_that_moves_keeps_what_was_drawn_for_its_copy(tones: Path) -> None:
    """Noise of one copy is the same for whatever window: their difference is that of the windows."""
    louder = {"kind": "gain", "decibels": [-20.0, 20.0]}
    setup = bench_of(tones, **{"augment": [louder], "data.clip_seconds": 0.2, "train.augmented_copies": 1})
    sampler, encoder = setup.sampler(), setup.encoder(torch.device("cpu"))
    encoder.embedder, encoder.feature = Seen(), torch.nn.Identity()  # type: ignore[assignment]
    gains = defaultdict(set)
    for update, (_, batch) in enumerate(islice(setup.batches(sampler, 0), 60)):
        assert batch.indices.copies is not None
        applied = encoder(batch, update)
        ratio = (applied.flatten(1).norm(dim=1) / batch.signal.flatten(1).norm(dim=1)).tolist()
        for row, copy, gain in zip(batch.indices.rows, batch.indices.copies, ratio, strict=True):
            gains[int(row), int(copy)].add(round(gain, 3))
    assert all(len(found) == 1 for found in gains.values())
    assert {gain for (_, copy), found in gains.items() if copy == 0 for gain in found} == {1.0}
    assert len({gain for (_, copy), found in gains.items() if copy for gain in found}) > 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment": []}, "`augment` is empty"),
        ({"augment": [{"kind": "mix"}]}, "augment: 'mix' takes another clip of the batch"),
        ({"sampler": {"kind": "tiles"}, "relation": {"kind": "time"}}, "Given: sampler.kind 'tiles'"),
        (
            {"sampler.mixing": {}, "relation": {"kind": "tags"}},
            "Given: sampler.kind 'shuffle' with sampler.mixing",
        ),
    ],
)
def test_what_cannot_have_copies_is_refused(changes: dict[str, Any], words: str) -> None:
    settings = {"sampler": {"kind": "shuffle"}, "augment": [NOISE], "train.augmented_copies": 2}
    recipe = Recipe.of(small()).changed(settings | changes)
    with pytest.raises(RequestError, match=r"train\.augmented_copies") as caught:
        check(recipe)
    assert words in str(caught.value)
