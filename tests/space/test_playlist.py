"""Playlists against a loop over all that is left."""

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.space.listening.songs import playlist


@pytest.mark.parametrize("by_song", [False, True])
def test_each_clip_is_the_nearest_left_to_the_one_before(by_song: bool) -> None:
    chance = np.random.default_rng(0)
    vectors, songs = chance.standard_normal((50, 3)).astype(np.float32), np.arange(50) // 5 - 1
    allowed = np.arange(50) != 17
    found = playlist(vectors, 20, 12, "euclidean", songs if by_song else None, allowed)
    heard = [20]
    while len(heard) < len(found.rows):
        apart = np.linalg.norm(vectors - vectors[heard[-1]], axis=1)
        barred = set(heard) | {17}
        if by_song:
            barred |= {row for row in range(50) if songs[row] >= 0 and songs[row] in songs[heard]}
        heard.append(min(set(range(50)) - barred, key=lambda row, apart=apart: apart[row]))  # type: ignore[misc]
    assert found.rows.tolist() == heard
    assert len(heard) == 12
    assert found.distances[0] == 0
    for place in range(1, 12):
        step = np.linalg.norm(vectors[heard[place]] - vectors[heard[place - 1]])
        assert found.distances[place] == pytest.approx(step, abs=1e-5)


def test_it_ends_where_nothing_is_left() -> None:
    vectors = np.eye(4, dtype=np.float32)
    assert sorted(playlist(vectors, 2, 99).rows.tolist()) == [0, 1, 2, 3]
    assert playlist(vectors, 2, 99, once=np.zeros(4, dtype=np.int64)).rows.tolist() == [2]
    with pytest.raises(RequestError, match="row -1 is not one of the 4 clips"):
        playlist(vectors, -1)
