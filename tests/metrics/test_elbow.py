"""The number of clusters chosen without labels, on blobs whose number is known."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_score

from nearfield.core.errors import RequestError
from nearfield.metrics.clusters import elbow, k_means_path


@pytest.mark.parametrize("blobs", [3, 5])
def test_both_rules_find_the_number_of_blobs(blobs: int) -> None:
    centres = 12 * np.eye(blobs, 6)
    points, truth = make_blobs(200, centers=centres, random_state=0)
    path = k_means_path(points, 12)
    assert path.elbow == path.by_silhouette == blobs
    # The same partition, up to the numbers of the clusters.
    assert len({(int(a), int(b)) for a, b in zip(path.at(blobs), truth, strict=True)}) == blobs


def test_figures_are_scikit_learns() -> None:
    points = np.random.default_rng(0).standard_normal((120, 4))
    path = k_means_path(points, 6)
    assert path.inertias[0] == pytest.approx(((points - points.mean(axis=0)) ** 2).sum())
    assert (np.diff(path.inertias) < 0).all()
    assert np.isnan(path.silhouettes[0])
    for place, count in enumerate(path.counts[1:], start=1):
        assert path.silhouettes[place] == pytest.approx(silhouette_score(points, path.at(count)))
        theirs = KMeans(count, n_init=20, random_state=1).fit(points).inertia_
        assert path.inertias[place] < 1.05 * theirs


def test_the_elbow_is_the_point_farthest_from_the_chord() -> None:
    counts, inertias = tuple(range(1, 21)), np.array([1000 * 0.6**step + 10 for step in range(20)])
    first, last = np.array([1, inertias[0]]), np.array([20, inertias[-1]])
    # Both axes brought to 0..1, the distance to the line worked out by the cross product.
    scale = last - first
    chord = (last - first) / scale
    away = [
        abs(np.cross(np.r_[chord, 0], np.r_[(np.array(p) - first) / scale, 0])[2])
        for p in zip(counts, inertias, strict=True)
    ]
    assert elbow(counts, inertias) == counts[int(np.argmax(away))]
    assert elbow((1, 2), np.array([2.0, 1.0])) == 1
    assert elbow(counts, np.full(20, 3.0)) == 1


def test_few_points_have_few_counts_and_none_are_refused() -> None:
    points = np.repeat(np.eye(3), 4, axis=0)
    path = k_means_path(points, 20, also=7)
    assert path.counts == (1, 2, 3)
    assert path.inertias[-1] == pytest.approx(0)
    flat = k_means_path(np.ones((5, 2)), 20)
    assert (flat.counts, flat.elbow, flat.by_silhouette) == ((1,), 1, None)
    assert k_means_path(np.arange(60.0)[:, None], 4, also=9).counts == (1, 2, 3, 4, 9)
    with pytest.raises(RequestError, match="no clips to cluster"):
        k_means_path(np.zeros((0, 2)))
