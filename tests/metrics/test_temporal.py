"""What time alone can judge, against loops and spaces whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from nearfield.core.types import Floats, Ints, Vectors
from nearfield.metrics.neighbors import Search, nearest
from nearfield.metrics.temporal import _sample_triplets, near_in_time, same_recording, triplet_scores


def _hours(recordings: int = 4, clips: int = 30) -> tuple[Ints, Floats]:
    return np.repeat(np.arange(recordings), clips), np.tile(np.arange(clips) * 2.0, recordings)


def _drifting(recordings: Ints, start_times: Floats) -> Vectors:
    """Each recording in its own place, drifting slowly with time."""
    angle = recordings * 1.5 + start_times / 100
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_a_space_that_follows_time_scores_one() -> None:
    recordings, start_times = _hours()
    vectors = _drifting(recordings, start_times)
    first = nearest(Search.within(vectors), 1)[0][:, 0]
    assert (same_recording(first, recordings) == 1).all()
    assert (near_in_time(first, recordings, start_times, 4) == 1).all()
    scores = triplet_scores(vectors, recordings, start_times, near=4)
    assert scores["triplet_accuracy"] == pytest.approx(1, abs=0.01)
    assert scores["neighbour_overlap"] < 0.01


def test_a_space_that_knows_nothing_is_at_chance() -> None:
    recordings, start_times = _hours()
    vectors = np.random.default_rng(0).standard_normal((120, 16)).astype(np.float32)
    first = nearest(Search.within(vectors), 1)[0][:, 0]
    assert np.mean(same_recording(first, recordings)) == pytest.approx(29 / 119, abs=0.12)
    scores = triplet_scores(vectors, recordings, start_times, near=4)
    assert scores["triplet_accuracy"] == pytest.approx(0.5, abs=0.05)
    assert scores["neighbour_overlap"] > 0.7
    flat = triplet_scores(np.ones((120, 2), dtype=np.float32), recordings, start_times, near=4)
    assert flat["triplet_accuracy"] == 0.5


def test_clips_with_nothing_to_find_have_no_score() -> None:
    recordings, start_times = np.array([0, 0, 1, 1, 2, -1]), np.array([0.0, 5, 0, 50, 0, 0])
    first = np.array([1, 5, 3, 2, -1, 0])
    together = [1, 0, 1, 1, np.nan, np.nan]
    np.testing.assert_array_equal(same_recording(first, recordings), together)
    near = [1, 0, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(near_in_time(first, recordings, start_times, 10), near)
    # Within the recording, but too far off.
    np.testing.assert_array_equal(near_in_time(first, recordings, start_times, 4.9), [np.nan] * 6)
    start_times[2] = 45
    np.testing.assert_array_equal(
        near_in_time(np.array([1, 0, 0, 2, 0, 0]), recordings, start_times, 5)[:4], [1, 1, 0, 1]
    )
    assert triplet_scores(np.eye(2, dtype=np.float32), recordings[:2], start_times[:2], near=10) == {}
    assert np.isnan(same_recording(first, np.full(6, -1))).all()


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_triplets_are_a_clip_one_near_it_and_one_from_elsewhere(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 15))
    recordings = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=size, max_size=size)))
    start_times = np.array(data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size)), dtype=float)
    triplets = _sample_triplets(recordings, start_times, 2.0, seed=0)
    possible = {
        (a, p)
        for a in range(size)
        for p in range(size)
        if a != p and recordings[a] == recordings[p] >= 0 and abs(start_times[a] - start_times[p]) <= 2
        if (recordings[recordings >= 0] != recordings[a]).any()
    }
    assert {(int(a), int(p)) for a, p, _ in triplets} == possible
    assert (recordings[triplets[:, 2]] != recordings[triplets[:, 0]]).all()
    assert (recordings[triplets[:, 2]] >= 0).all()


def test_distances_in_time_equal_those_of_every_pair_there_is() -> None:
    recordings, start_times = _hours(3, 10)
    vectors = np.random.default_rng(1).standard_normal((30, 4)).astype(np.float32)
    apart = cdist(vectors.astype(float), vectors.astype(float))
    same = recordings[:, None] == recordings
    near = same & (np.abs(start_times[:, None] - start_times) <= 4) & ~np.eye(30, dtype=bool)
    # Drawn: a clip, evenly, and one near it, evenly: a clip at an end has fewer of those.
    neighbour = np.mean([row[mask].mean() for row, mask in zip(apart, near, strict=True)])
    scores = triplet_scores(vectors, recordings, start_times, near=4, distance="euclidean")
    assert scores["neighbour_distance"] == pytest.approx(neighbour, rel=0.02)
    assert scores["opposite_distance"] == pytest.approx(apart[~same].mean(), rel=0.02)
    anchor, _, opposite = _sample_triplets(recordings, start_times, 4, seed=0).T
    assert scores["opposite_distance"] == pytest.approx(apart[anchor, opposite].mean())
