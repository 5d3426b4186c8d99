"""A finished space that is read before its last layer and whitened: the whole road."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nearfield.core.errors import RequestError
from nearfield.training.api import train
from nearfield.training.prepare import check
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from tests.training.conftest import small

READ = {"size": 4, "read": "pooled", "whiten": 1.0}


def recipe(**changes: Any) -> Recipe:
    return Recipe.of(small(**{"embedding": READ, "train": {"updates": 6}, **changes}))


def test_vectors_are_the_pooled_numbers_whitened_over_training_windows(tones: Path, tmp_path: Path) -> None:
    free = {**READ, "normalize": False}
    run = train(recipe(embedding=free), tones, tmp_path / "r", device="cpu")
    plain = train(recipe(embedding={**free, "whiten": 0.0}), tones, tmp_path / "p", device="cpu")
    (ids, vectors), (_, before) = run.vectors(), plain.vectors()
    assert vectors.shape[1] == run.embedder.size == plain.embedder.size == 8
    with torch.no_grad():  # one and the same training; what is affine may be done before or after a mean
        wanted = run.embedder.whitening(torch.from_numpy(before.copy())).numpy()
    np.testing.assert_allclose(vectors, wanted, atol=1e-4)
    ratios = [np.linalg.cond(rows - rows.mean(0)) for rows in (before, vectors)]
    assert ratios[1] < 0.8 * ratios[0]
    again = Run.load(tmp_path / "r")
    np.testing.assert_allclose(again.encode([tones / name for name in ids[:3]]), vectors[:3], atol=1e-4)


@pytest.mark.parametrize("given", [{"read": "pooled"}, {"whiten": 0.5}], ids=str)
def test_a_tagger_is_read_as_it_was_trained(given: dict[str, Any]) -> None:
    made = recipe(
        embedding={"size": 8, **given},
        relation={"kind": "tags"},
        sampler={"kind": "shuffle"},
        loss={"kind": "bce"},
    )
    with pytest.raises(
        RequestError, match="embedding: bce predicts tags from the embeddings of the training"
    ):
        check(made)
