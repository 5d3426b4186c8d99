"""Principal components against scikit-learn's; umap's functions are those that stay on disk."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from nearfield.metrics import projection
from nearfield.metrics.projection import principal


@pytest.mark.parametrize("block", [7, 65_536])
def test_components_are_those_of_scikit_learn(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "BLOCK", block)
    vectors = np.random.default_rng(0).normal(size=(50, 6)) * [5, 4, 3, 1, 1, 1] + 20
    analysis = PCA(3, svd_solver="full").fit(vectors)
    signs = np.sign([axis[np.abs(axis).argmax()] for axis in analysis.components_])
    np.testing.assert_allclose(principal(vectors, 3), analysis.transform(vectors) * signs, atol=1e-9)


def test_axes_that_a_space_lacks_are_0() -> None:
    vectors = np.array([[1.0], [3.0], [8.0]])
    np.testing.assert_allclose(principal(vectors, 3), [[-3, 0, 0], [-1, 0, 0], [4, 0, 0]])


def test_what_umap_compiles_is_kept_for_the_next_process() -> None:
    projection._library()
    from umap import layouts, umap_

    for function in (umap_.smooth_knn_dist, umap_.compute_membership_strengths, layouts.rdist):
        assert function.stats.cache_path is not None, function
