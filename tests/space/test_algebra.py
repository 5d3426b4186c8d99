"""Arithmetic with centroids: answers by brute force, spaces that are arithmetic, spaces that are not."""

from itertools import permutations

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.core.types import Ints, Vectors
from nearfield.space.listening.algebra import label_algebra

NAMES = ("rain", "wind", "storm", "bell", "dog")


def _compound(noise: float = 0.1) -> tuple[Vectors, Ints]:
    """Five directions, of which the third is rain and wind together."""
    centres = np.eye(5, 8)
    centres[2] = centres[0] + centres[1]
    labels = np.repeat(np.arange(5), 20)
    chance = np.random.default_rng(0)
    return (centres[labels] + noise * chance.standard_normal((100, 8))).astype(np.float32), labels


def test_answers_equal_brute_force_with_both_sides_left_out() -> None:
    chance = np.random.default_rng(1)
    vectors, labels = chance.standard_normal((90, 6)).astype(np.float32), chance.integers(-1, 5, 90)
    found = {answer.formula: answer for answer in label_algebra(vectors, labels, NAMES).answers}
    assert len(found) == 20 + 10
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    means = np.stack([unit[labels == c].astype(float).mean(axis=0) for c in range(5)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    for a, b in permutations(range(5), 2):
        point = means[a] - means[b]
        others = sorted(set(range(5)) - {a, b}, key=lambda c, p=point: -float(means[c] @ p))  # type: ignore[misc]
        answer = found[f"{NAMES[a]} - {NAMES[b]}"]
        assert answer.nearest == NAMES[others[0]]
        cosine = means[others[0]] @ point / np.linalg.norm(point)
        assert answer.angle == pytest.approx(np.arccos(cosine), abs=1e-6)
        assert answer.lead >= 0


def test_a_space_that_is_arithmetic_hits_what_was_expected_above_chance() -> None:
    vectors, labels = _compound()
    expected = {"rain + wind": {"storm"}, "storm - rain": {"wind"}, "wind - storm": set[str]()}
    found = label_algebra(vectors, labels, NAMES, {**expected, "storm - wind": ["rain"]})
    assert found.hit_rate == 1
    assert found.hit_chance is not None
    assert found.hit_chance < 0.5
    assert found.p is not None
    assert found.p < 0.1
    answers = {answer.formula: answer for answer in found.answers}
    assert answers["rain + wind"].expected
    assert answers["bell + dog"].expected is None
    # Read from either side, a sum is the same.
    turned = label_algebra(vectors, labels, NAMES, {"wind + rain": {"storm"}})
    assert turned.hit_rate == 1


def test_names_without_meaning_hit_as_often_as_chance() -> None:
    """Chance by shuffled names equals one over the labels that are left."""
    chance = np.random.default_rng(2)
    vectors, labels = chance.standard_normal((100, 30)).astype(np.float32), np.repeat(np.arange(5), 20)
    expected = {f"{a} + {b}": {c} for a, b, c in (("rain", "wind", "dog"), ("bell", "dog", "rain"))}
    found = label_algebra(vectors, labels, NAMES, expected, draws=3000)
    assert found.hit_chance == pytest.approx(1 / 3, abs=0.03)
    assert found.p is not None
    assert found.p > 0.05
    assert found.stable_chance == pytest.approx(1 / 3)


def test_answers_of_clear_spaces_are_stable_and_those_of_noise_are_not() -> None:
    clear = label_algebra(*_compound(0.02), NAMES)
    chance = np.random.default_rng(3)
    noise = label_algebra(chance.standard_normal((100, 30)).astype(np.float32), _compound()[1], NAMES)
    assert clear.stable_share is not None
    assert noise.stable_share is not None
    compound = [a for a in clear.answers if a.formula in ("rain + wind", "storm - rain", "storm - wind")]
    assert all(answer.stable for answer in compound)
    assert noise.stable_share < 0.75
    one_clip = label_algebra(np.eye(5, dtype=np.float32), np.arange(5), NAMES)
    assert one_clip.stable_share is None
    assert (one_clip.hit_rate, one_clip.hit_chance, one_clip.p) == (None, None, None)


def test_formulas_of_nothing_here_are_refused() -> None:
    vectors, labels = _compound()
    with pytest.raises(RequestError, match=r"unknown formula or label 'rain \* wind'. Labels: rain, wind"):
        label_algebra(vectors, labels, NAMES, {"rain * wind": {"storm"}})
    with pytest.raises(RequestError, match="unknown formula or label 'cat'"):
        label_algebra(vectors, labels, NAMES, {"rain + wind": {"cat"}})
    with pytest.raises(RequestError, match=r"at least three labels\. Given: 2"):
        label_algebra(vectors[:40], labels[:40], NAMES)
