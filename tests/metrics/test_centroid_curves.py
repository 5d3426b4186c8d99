"""Curves of centroids against the matrix at each moment, and vectors that move in a known way."""

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.metrics.geometry import centroid_curves, centroid_scores, centroids

NAMES = ("rain", "wind", "bell", "dog")


def test_curves_are_the_cells_of_the_matrix_at_each_moment() -> None:
    chance = np.random.default_rng(0)
    labels = chance.integers(-1, 3, 60)
    start_times = [(step, chance.standard_normal((60, 5)).astype(np.float32)) for step in (0, 100, 200)]
    for spherical in (False, True):
        curves = centroid_curves(start_times, labels, NAMES, spherical)
        assert list(curves.curves()) == ["rain_to_wind", "rain_to_bell", "wind_to_bell"]
        for place, (_, vectors) in enumerate(start_times):
            found = centroids(vectors, labels, NAMES, spherical)
            assert curves.curves()["rain_to_bell"][place] == pytest.approx(found.distances[0, 2])
            assert curves.spreads[place] == pytest.approx(centroid_scores(found)["centroid_spread"])


def test_a_label_that_walks_away_is_seen_walking() -> None:
    labels = np.repeat([0, 1], 5)
    steps = []
    for step in range(4):
        vectors = np.zeros((10, 2), dtype=np.float32)
        vectors[5:, 0] = step
        steps.append((step, vectors))
    curves = centroid_curves(steps, labels, NAMES)
    np.testing.assert_allclose(curves.distances[:, 0], [0, 1, 2, 3])
    assert curves.steps == (0, 1, 2, 3)


def test_one_label_has_no_curves_and_no_moments_are_refused() -> None:
    vectors = np.ones((4, 2), dtype=np.float32)
    alone = centroid_curves([(0, vectors)], np.zeros(4, dtype=np.int64), NAMES)
    assert alone.curves() == {}
    assert np.isnan(alone.spreads).all()
    with pytest.raises(RequestError, match="no validations are given"):
        centroid_curves([], np.zeros(4, dtype=np.int64), NAMES)
    with pytest.raises(RequestError, match="vectors: 4 entries are expected"):
        centroid_curves([(0, vectors[:3])], np.zeros(4, dtype=np.int64), NAMES)
