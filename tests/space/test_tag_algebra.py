"""Arithmetic with tags: spaces of tags answer it, others stay at chance."""

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.core.types import Bools
from nearfield.space.listening.algebra import tag_algebra


def _tags(count: int = 300) -> Bools:
    return np.random.default_rng(0).random((count, 5)) < 0.3


def test_a_space_made_of_tags_answers_and_one_that_is_not_stays_at_chance() -> None:
    tags, chance = _tags(), np.random.default_rng(1)
    made = tags @ chance.standard_normal((5, 20)) + 0.1 * chance.standard_normal((300, 20))
    found = tag_algebra(made.astype(np.float32), tags)
    assert found.pairs == 30
    assert found.sum_rate > 0.9
    assert found.difference_rate > 0.9
    assert found.p == pytest.approx(1 / 201)
    lost = tag_algebra(chance.standard_normal((300, 20)).astype(np.float32), tags)
    assert lost.sum_chance == found.sum_chance
    pairs = [(a, b) for a in range(5) for b in range(5) if a != b]
    assert lost.sum_chance == pytest.approx(np.mean([(tags[:, a] & tags[:, b]).mean() for a, b in pairs]))
    assert lost.difference_chance == pytest.approx(
        np.mean([(tags[:, a] & ~tags[:, b]).mean() for a, b in pairs])
    )


def test_noise_is_above_chance_only_as_far_as_a_mean_holds_its_own_clips() -> None:
    """Centroids are drawn towards their own clips; permutation knows of that, the plain share does not."""
    tags, chance = _tags(), np.random.default_rng(2)
    values = [
        tag_algebra(chance.standard_normal((300, 20)).astype(np.float32), tags, draws=60, seed=seed).p
        for seed in range(8)
    ]
    assert min(values) > 0.01
    assert np.mean(values) > 0.2


def test_tags_that_never_meet_are_asked_about_differences_only() -> None:
    tags = np.zeros((40, 2), dtype=bool)
    tags[:20, 0], tags[20:, 1] = True, True
    vectors = tags.astype(np.float32) + 0.01 * np.random.default_rng(3).standard_normal((40, 2)).astype(
        np.float32
    )
    found = tag_algebra(vectors, tags)
    assert found.pairs == 2
    assert found.difference_rate == 1
    assert np.isnan(found.sum_rate)
    with pytest.raises(RequestError, match="no sum or difference of two tags has 30 clips"):
        tag_algebra(vectors, tags, nearest=30)
