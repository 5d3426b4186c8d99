"""Warping against librosa's, and against the definition by recursion."""

import time
from functools import cache

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from nearfield.analysis.similarity import FrameDistance, accumulate, frame_distances, similarity, warp
from nearfield.core.errors import RequestError


@pytest.mark.parametrize(
    ("distance", "metric"), [("l1", "cityblock"), ("l2", "euclidean"), ("cosine", "cosine")]
)
@pytest.mark.parametrize("shape", [(30, 30), (7, 41), (41, 7), (1, 9), (9, 1), (1, 1)])
def test_costs_and_path_equal_librosas(distance: FrameDistance, metric: str, shape: tuple[int, int]) -> None:
    chance = np.random.default_rng(0)
    first, second = (chance.standard_normal((5, frames)) for frames in shape)
    costs = cdist(first.T, second.T, metric)  # type: ignore[call-overload]
    totals, path = librosa.sequence.dtw(C=costs)
    found = warp(first, second, distance)
    assert found.cost == pytest.approx(totals[-1, -1])
    np.testing.assert_array_equal(found.path, path[::-1])
    np.testing.assert_allclose(accumulate(costs), totals)
    assert found.per_step == pytest.approx(costs[found.path[:, 0], found.path[:, 1]].mean())


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_cost_equals_the_recursion(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    cells = data.draw(st.lists(st.integers(0, 9), min_size=rows * columns, max_size=rows * columns))
    costs = np.array(cells, dtype=float).reshape(rows, columns)

    @cache
    def cheapest(i: int, j: int) -> float:
        if i < 0 or j < 0:
            return np.inf
        before = 0.0 if i == j == 0 else min(cheapest(i - 1, j - 1), cheapest(i - 1, j), cheapest(i, j - 1))
        return float(costs[i, j]) + before

    assert accumulate(costs)[-1, -1] == cheapest(rows - 1, columns - 1)


def test_a_slower_sound_is_the_same_sound_and_another_is_not() -> None:
    chance = np.random.default_rng(1)
    sound, other = (np.cumsum(chance.standard_normal((13, 40)), axis=1) for _ in range(2))
    assert similarity(sound, np.repeat(sound, 2, axis=1)) == 1
    assert similarity(sound, sound) == 1
    assert similarity(sound, other) < 0.5
    assert similarity(sound, other) == pytest.approx(similarity(other, sound))
    straight = np.abs(sound - other).sum()
    assert warp(sound, other).cost <= straight


def test_real_features_warp_as_librosas_do() -> None:
    wave = librosa.chirp(fmin=200, fmax=2000, sr=8000, duration=1.0)
    first, second = (
        librosa.feature.mfcc(
            y=librosa.effects.time_stretch(wave, rate=rate), sr=8000, n_mfcc=13, n_mels=40, n_fft=512
        )
        for rate in (1.0, 0.8)
    )
    totals, _ = librosa.sequence.dtw(first, second, metric="cityblock")
    assert warp(first, second).cost == pytest.approx(totals[-1, -1], rel=1e-5)
    assert similarity(first, second) > similarity(first, second[:, ::-1])


def test_two_sounds_of_ten_seconds_take_less_than_a_second() -> None:
    chance = np.random.default_rng(2)
    first, second = (chance.standard_normal((20, 1000)) for _ in range(2))
    begin = time.thread_time()
    warp(first, second)
    assert time.thread_time() - begin < 1


def test_what_cannot_be_warped_is_refused() -> None:
    frames = np.zeros((3, 4))
    with pytest.raises(RequestError, match=r"unknown frame distance 'l3'\. Known: l1, l2, cosine"):
        frame_distances(frames, frames, "l3")  # type: ignore[arg-type]
    for other in (np.zeros((2, 4)), np.zeros((3, 0)), np.zeros(3)):
        with pytest.raises(RequestError, match="with the same number of values"):
            warp(frames, other)


def test_a_frame_of_silence_has_no_direction() -> None:
    first, second = np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 2.0, -1.0], [0.0, 4.0, -2.0]])
    expected = [[1, 0, 2], [0, 1, 1]]
    np.testing.assert_allclose(frame_distances(first, second, "cosine"), expected, atol=1e-12)
    assert similarity(first, first, "cosine") == pytest.approx(1)
    for bad in (np.nan, np.inf):
        with pytest.raises(RequestError, match="NaN or infinite"):
            warp(first, np.where(second == 0, bad, second), "l1")
