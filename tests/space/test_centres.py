"""Centres and neighbourhoods by brute force."""

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.space.listening.songs import centre_clips, neighbourhood


def test_centre_clips_are_nearest_to_the_mean_direction_of_their_label() -> None:
    chance = np.random.default_rng(0)
    vectors, labels = chance.standard_normal((60, 4)).astype(np.float32) + 0.5, np.arange(60) % 4 - 1
    found = centre_clips(vectors, labels, 2, 5)
    members = np.flatnonzero(labels == 2)
    space = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = space[members].mean(axis=0)
    likeness = space[members] @ mean / np.linalg.norm(mean)
    assert found.rows.tolist() == members[np.argsort(-likeness)[:5]].tolist()
    np.testing.assert_allclose(found.distances, np.sort(np.arccos(likeness))[:5], atol=1e-3)
    assert len(centre_clips(vectors, labels, 0, 99).rows) == 15
    with pytest.raises(RequestError, match="no clip has label number 9"):
        centre_clips(vectors, labels, 9)


def test_a_neighbourhood_begins_with_the_clip_itself() -> None:
    vectors = np.random.default_rng(1).standard_normal((30, 4)).astype(np.float32)
    vectors[8] = vectors[7]
    found = neighbourhood(vectors, 7, 4, "euclidean")
    apart = np.linalg.norm(vectors - vectors[7], axis=1)
    apart[7] = -1
    assert found.rows.tolist() == np.argsort(apart, kind="stable")[:5].tolist()
    assert found.rows[:2].tolist() == [7, 8]
    assert len(neighbourhood(vectors[:3], 0, 9).rows) == 3
    with pytest.raises(RequestError, match="row 30 is not one of the 30 clips"):
        neighbourhood(vectors, 30)
