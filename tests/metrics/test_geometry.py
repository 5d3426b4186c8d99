"""The shape of a space against NumPy, SciPy and shapes whose answer is known."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import skew
from sklearn.neighbors import NearestNeighbors

from nearfield.core.types import Distance, Vectors
from nearfield.metrics.geometry import (
    centroid_scores,
    centroids,
    effective_rank,
    hubness,
    mean_norm,
    overlap,
    pair_distances,
    pair_scores,
    shuffled_spread,
)
from nearfield.metrics.neighbors import Search, nearest


def _vectors(count: int, size: int, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def test_centroids_are_means_and_their_distances_euclidean() -> None:
    vectors, labels = _vectors(50, 4), np.random.default_rng(1).integers(-1, 3, 50)
    found = centroids(vectors, labels, ("a", "b", "c", "d"))
    means = np.stack([vectors[labels == c].astype(float).mean(axis=0) for c in range(3)])
    assert found.names == ("a", "b", "c")
    np.testing.assert_allclose(found.vectors, means)
    np.testing.assert_allclose(found.distances, cdist(means, means), atol=1e-12)
    np.testing.assert_array_equal(found.distances, found.distances.T)


def test_spherical_means_lie_on_the_sphere_and_heed_direction_only() -> None:
    vectors, labels = _vectors(40, 3), np.repeat([0, 1], 20)
    found = centroids(vectors, labels, ("a", "b"), spherical=True)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1)
    longer = vectors * np.random.default_rng(2).uniform(1, 9, (40, 1)).astype(np.float32)
    again = centroids(longer, labels, ("a", "b"), spherical=True)
    np.testing.assert_allclose(again.distances, found.distances, atol=1e-6)


def test_spread_is_zero_for_a_simplex_and_known_for_a_line() -> None:
    simplex = centroids(np.eye(5, dtype=np.float32), np.arange(5), tuple("abcde"))
    assert centroid_scores(simplex)["centroid_spread"] == pytest.approx(0, abs=1e-12)
    line = centroids(np.array([[0.0], [1.0], [3.0]], dtype=np.float32), np.arange(3), ("a", "b", "c"))
    scores = centroid_scores(line)
    assert scores["centroid_spread"] == pytest.approx(np.std([1, 2, 3]) / 2)
    assert (scores["centroid_min"], scores["centroid_max"]) == (1, 3)
    assert (
        centroid_scores(centroids(np.ones((2, 2), dtype=np.float32), np.zeros(2, dtype=np.int64), ("a",)))
        == {}
    )
    same = centroids(np.ones((4, 2), dtype=np.float32), np.arange(4) // 2, ("a", "b"))
    assert centroid_scores(same)["centroid_spread"] == 0


@pytest.mark.parametrize("shape", [(80, 6), (6, 80)])
def test_effective_rank_equals_its_formula(shape: tuple[int, int]) -> None:
    vectors = _vectors(*shape) * np.linspace(0.1, 2, shape[1]).astype(np.float32)
    values = np.linalg.svd(vectors.astype(float), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(vectors) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)


def test_effective_rank_of_known_shapes() -> None:
    assert effective_rank(np.eye(7, dtype=np.float32)) == pytest.approx(7)
    assert effective_rank(np.ones((50, 7), dtype=np.float32)) == pytest.approx(1)
    assert effective_rank(np.zeros((5, 7), dtype=np.float32)) == 0
    assert effective_rank(np.zeros((0, 7), dtype=np.float32)) == 0


def test_hubness_equals_scipys_skewness_of_scikit_learns_neighbours() -> None:
    vectors = _vectors(150, 30)
    theirs = NearestNeighbors(n_neighbors=10).fit(vectors).kneighbors(return_distance=False)
    ours, _ = nearest(Search.within(vectors, "euclidean"), 10)
    expected = skew(np.bincount(theirs.ravel(), minlength=150))
    assert hubness(ours) == pytest.approx(expected)
    # Concentration: many dimensions make hubs, few do not.
    assert hubness(ours) > hubness(nearest(Search.within(_vectors(150, 2), "euclidean"), 10)[0])
    assert hubness(nearest(Search.within(vectors[:2]), 10)[0]) == 0
    assert hubness(np.full((3, 10), -1)) == 0
    assert hubness(np.zeros((0, 10), dtype=np.int64)) == 0


def test_mean_norm() -> None:
    assert mean_norm(np.array([[3, 4], [0, 1]], dtype=np.float32)) == 3
    assert mean_norm(np.zeros((0, 2), dtype=np.float32)) == 0


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "squared_euclidean"])
def test_pair_distances_equal_scipy(distance: Distance) -> None:
    vectors = _vectors(20, 5).astype(float)
    pairs = np.random.default_rng(0).integers(20, size=(30, 2))
    theirs = cdist(vectors, vectors, distance.replace("squared_euclidean", "sqeuclidean"))  # type: ignore[call-overload]
    np.testing.assert_allclose(
        pair_distances(vectors, pairs, distance), theirs[pairs[:, 0], pairs[:, 1]], atol=1e-12
    )


def test_small_sets_measure_all_pairs_and_large_ones_a_fair_draw() -> None:
    vectors, labels = _vectors(120, 3), np.random.default_rng(1).integers(0, 4, 120)
    vectors[:, 0] += labels
    apart = cdist(vectors.astype(float), vectors.astype(float))
    same = labels[:, None] == labels
    upper = np.triu(np.ones_like(same), 1)
    small = pair_scores(vectors, labels, "euclidean")
    assert small["alike_distance"] == pytest.approx(apart[same & upper].mean())
    assert small["unlike_distance"] == pytest.approx(apart[~same & upper].mean())
    many, many_labels = np.tile(vectors, (8, 1)), np.tile(labels, 8)
    # Eight copies of each: the same mean but for pairs of copies.
    large = pair_scores(many, many_labels, "euclidean")
    assert large["unlike_distance"] == pytest.approx(small["unlike_distance"], rel=0.02)
    assert pair_scores(many, many_labels, "euclidean") == large


def test_a_clip_is_never_paired_with_itself() -> None:
    classes = np.arange(400) // 2
    vectors = np.stack([classes * 10.0, np.arange(400) % 2], axis=1).astype(np.float32)
    assert pair_scores(vectors, classes, "euclidean")["alike_distance"] == 1


def test_overlap_is_one_where_labels_mean_nothing_and_zero_where_they_mean_all() -> None:
    labels = np.arange(400) % 2
    assert pair_scores(_vectors(400, 4), labels)["overlap"] > 0.95
    apart = np.eye(2, dtype=np.float32)[labels] + 0.01 * _vectors(400, 2)
    assert pair_scores(apart, labels)["overlap"] == 0
    assert pair_scores(apart, np.zeros(400, dtype=np.int64)) == {}
    assert pair_scores(apart, np.full(400, -1)) == {}
    assert pair_scores(apart, np.arange(400)) == {}


def test_overlap_equals_the_shared_area_of_two_known_histograms() -> None:
    near, far = np.linspace(0, 0.6, 6001), np.linspace(0.4, 1.0, 6001)
    # Both are even over 0.6, and share 0.2 of it.
    assert overlap(near, far) == pytest.approx(1 / 3, abs=0.01)
    assert overlap(near, near) == 1


def test_shuffled_labels_give_the_spread_that_chance_gives() -> None:
    chance = np.random.default_rng(3)
    vectors, labels = _vectors(300, 8), np.repeat([0, 1, 2, -1], 75)
    vectors[:, 0] += 5 * labels
    loop = []
    for _ in range(200):
        shuffled = labels.copy()
        shuffled[:225] = chance.permutation(shuffled[:225])
        loop.append(centroid_scores(centroids(vectors, shuffled, ("a", "b", "c")))["centroid_spread"])
    found = shuffled_spread(vectors, labels, draws=200)
    assert found == pytest.approx(np.mean(loop), rel=0.1)
    # On a line the three centroids lie 1, 1, 2 apart; shuffled, they lie together.
    spread = centroid_scores(centroids(vectors, labels, ("a", "b", "c")))["centroid_spread"]
    assert spread == pytest.approx(np.std([1, 1, 2]) / np.mean([1, 1, 2]), abs=0.02)
    assert shuffled_spread(vectors, labels, spherical=True) is not None
    assert shuffled_spread(vectors, np.zeros(300, dtype=np.int64)) is None
