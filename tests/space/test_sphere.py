"""Means and ways on the sphere: laws, SciPy's interpolation of rotations, and what has no answer."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import geometric_slerp

from nearfield.core.errors import RequestError
from nearfield.core.types import Floats
from nearfield.space.listening.library import angles, great_circle, spherical_mean


def _units(count: int, size: int, seed: int = 0) -> Floats:
    vectors = np.random.default_rng(seed).standard_normal((count, size))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@given(size=st.integers(2, 6), points=st.integers(2, 12), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_way_equals_scipys_and_its_steps_are_even(size: int, points: int, seed: int) -> None:
    start, end = _units(2, size, seed)
    way = great_circle(3 * start, 0.5 * end, points)
    np.testing.assert_allclose(way, geometric_slerp(start, end, np.linspace(0, 1, points)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 1)
    steps = [float(angles(b[None], a)[0]) for a, b in pairwise(way)]
    np.testing.assert_allclose(steps, float(angles(end[None], start)[0]) / (points - 1), atol=1e-9)


def test_the_mean_is_the_direction_that_leaves_least_squared_chord() -> None:
    vectors = _units(30, 4) + 1
    mean = spherical_mean(vectors * np.random.default_rng(1).uniform(1, 9, (30, 1)))
    assert np.linalg.norm(mean) == pytest.approx(1)
    scaled = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    best = ((scaled - mean) ** 2).sum()
    assert all(((scaled - other) ** 2).sum() >= best for other in _units(500, 4, 2))


def test_angles_are_those_of_the_cosine_and_exact_where_it_is_rough() -> None:
    vectors, target = _units(50, 5), _units(1, 5, 1)[0]
    np.testing.assert_allclose(angles(vectors, target), np.arccos(vectors @ target), atol=1e-9)
    tiny = np.array([[np.cos(1e-9), np.sin(1e-9)]])
    assert angles(tiny, np.array([1.0, 0.0]))[0] == pytest.approx(1e-9, rel=1e-6)


def test_what_has_no_direction_is_refused() -> None:
    one = np.array([1.0, 0.0])
    with pytest.raises(RequestError, match="there are no vectors"):
        spherical_mean(np.zeros((0, 2)))
    with pytest.raises(RequestError, match="the vectors cancel out"):
        spherical_mean(np.stack([one, -one]))
    with pytest.raises(RequestError, match="the ends are opposite"):
        great_circle(one, -one, 3)
    with pytest.raises(RequestError, match="a vector of zeros"):
        great_circle(one, 0 * one, 3)
    with pytest.raises(RequestError, match=r"at least two points\. Given: 1"):
        great_circle(one, one, 1)
    np.testing.assert_allclose(great_circle(one, one, 3), np.tile(one, (3, 1)))
