"""The approximate index: its recall is measured, and is that of a full comparison."""

from pathlib import Path

import numpy as np

from nearfield.space import approximate
from nearfield.space.nearest import Nearest


def test_the_recall_is_that_of_a_full_comparison(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    rows = chance.standard_normal((3000, 32))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    facts = approximate.build(tmp_path, Nearest.of(vectors))
    index = approximate.ApproximateIndex(tmp_path, facts.model_copy(update={"nprobes": 2}))
    poor = approximate.measured(index, Nearest.of(vectors))
    similar = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(similar, -np.inf)
    wanted = np.argsort(-similar, axis=1)[:, :10]
    shares = []
    for row in range(0, 3000, 10):
        found, scores = index.search(vectors[row], 11)
        shares.append(len(set(found.tolist()) & set(wanted[row].tolist())) / 10)
        others = found != row
        np.testing.assert_allclose(scores[others], similar[row, found[others]], atol=1e-5)
    assert facts.queries == poor.queries == 200
    assert poor.recall < facts.recall <= 1.0
    assert abs(poor.recall - np.mean(shares)) < 0.1
