"""Walks: on a ring of clips the way is known; elsewhere the numbers say that it is none."""

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.core.types import Vectors
from nearfield.space.listening.library import great_circle
from nearfield.space.listening.walks import monotone_share, smoothness, walk


def _ring(clips: int = 360) -> Vectors:
    angle = np.arange(clips) * 2 * np.pi / clips
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_on_a_ring_the_walk_takes_the_shorter_way_in_even_steps() -> None:
    ring = _ring()
    found = walk(ring, ring[10], ring[100], stops=10)
    assert found.rows[:, 0].tolist() == list(range(10, 101, 10))
    assert found.monotone == 1
    assert found.smoothness == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found.points, great_circle(ring[10], ring[100], 10), atol=1e-7)
    assert walk(ring, ring[350], ring[20], stops=4).rows[:, 0].tolist() == [350, 0, 10, 20]


def test_stops_are_the_nearest_free_clips_by_brute_force_and_never_twice() -> None:
    vectors = np.random.default_rng(0).standard_normal((80, 5)).astype(np.float32)
    allowed = np.arange(80) % 4 > 0
    found = walk(vectors, vectors[1], vectors[2], stops=6, clips=3, allowed=allowed)
    assert len(np.unique(found.rows)) == 18
    assert allowed[found.rows].all()
    space = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    free = set(np.flatnonzero(allowed).tolist())
    for stop in [0, 5, 1, 2, 3, 4]:
        nearest = sorted(free, key=lambda row, stop=stop: -float(space[row] @ found.points[stop]))[:3]  # type: ignore[misc]
        assert found.rows[stop].tolist() == nearest
        free -= set(nearest)
    assert (np.diff(found.angles, axis=1) >= 0).all()


def test_a_walk_through_an_even_space_is_worse_than_one_through_a_way_of_clips() -> None:
    chance = np.random.default_rng(1)
    scattered = chance.standard_normal((40, 30)).astype(np.float32)
    lost = walk(scattered, scattered[0], scattered[1])
    way = great_circle(scattered[0], scattered[1], 40) + 0.01 * chance.standard_normal((40, 30))
    kept = walk(way.astype(np.float32), scattered[0], scattered[1])
    assert kept.smoothness > 0.9 > 0.5 > lost.smoothness
    assert kept.monotone == 1


def test_the_numbers_at_their_ends() -> None:
    assert monotone_share(np.array([3.0, 2, 2, 1])) == 1
    assert monotone_share(np.array([1.0, 2, 3])) == 0
    assert monotone_share(np.array([1.0])) == 1
    there_and_back = np.array([[1.0, 0], [0, 1.0], [1.0, 0]])
    assert smoothness(there_and_back) == 0
    assert smoothness(there_and_back[:1]) == 1


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(RequestError, match=r"10 stops of 2 clips need 20 clips\. Given: 8"):
        walk(_ring(8), _ring(8)[0], _ring(8)[2], clips=2)
