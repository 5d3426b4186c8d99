"""The rating of an order of clips: distances and shares against loops, orders of known smoothness."""

from itertools import permutations

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.space.listening.songs import rate_order


def circle(count: int) -> np.ndarray:
    """Clips around half a circle, in order."""
    angles = np.linspace(0, 3, count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_distances_and_shares_equal_loops() -> None:
    vectors = np.random.default_rng(0).standard_normal((20, 5)).astype(np.float32)
    rows = np.array([3, 17, 4, 9, 0])
    found = rate_order(vectors, rows)

    def apart(a: int, b: int) -> float:
        return 1 - float(vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b]))

    for place, (a, b) in enumerate(zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True)):
        assert found.distances[place] == pytest.approx(apart(a, b), abs=1e-6)
        others = [apart(a, c) < apart(a, b) for c in range(20) if c not in (a, b)]
        assert found.nearer[place] == pytest.approx(np.mean(others))
    assert found.mean == pytest.approx(found.distances.mean())


def test_random_orders_are_those_of_the_same_clips_from_the_first_on() -> None:
    vectors = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    rows = np.arange(5)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    means = [
        np.mean([1 - units[a] @ units[b] for a, b in zip((0, *order), order, strict=False)])
        for order in permutations(range(1, 5))
    ]
    found = rate_order(vectors, rows, draws=20_000)
    assert found.random == pytest.approx(np.mean(means), abs=0.01)
    assert found.smoother == pytest.approx(np.mean(np.array(means) <= found.mean + 1e-6), abs=0.02)


def test_the_way_around_is_smoother_than_chance_and_as_smooth_as_the_playlist() -> None:
    vectors = circle(12)
    along = rate_order(vectors, np.arange(12))
    assert along.smoother < 0.01
    assert along.mean == pytest.approx(along.playlist)
    assert along.nearer.max() < 0.11  # the clip behind is as near as the one ahead
    across = rate_order(vectors, np.array([0, 11, 1, 10, 2, 9, 3, 8, 4, 7, 5, 6]))
    assert across.smoother > 0.9
    assert across.playlist == pytest.approx(along.mean)


def test_two_clips_are_no_order() -> None:
    with pytest.raises(RequestError, match=r"at least three clips\. Given: 2"):
        rate_order(circle(4), np.array([0, 1]))
