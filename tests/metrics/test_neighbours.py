"""Exact neighbours against brute force: ties, duplicates, what may not be found, blocks, arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.core.errors import RequestError, WorkError
from nearfield.core.types import Distance
from nearfield.metrics import neighbors as neighbours
from nearfield.metrics.neighbors import Search, available, barred_counts, nearest, ranking

from .by_hand import allowed, rankings, searches


@given(search=searches(), count=st.integers(1, 14))
@settings(max_examples=50, deadline=None)
def test_equals_brute_force_with_ties_in_order_of_row(search: Search, count: int) -> None:
    index, distance = nearest(search, count)
    for query, expected in enumerate(rankings(search)):
        found = index[query][index[query] >= 0].tolist()
        assert found == expected[:count]
        assert np.isinf(distance[query, len(found) :]).all()
        assert (np.diff(distance[query, : len(found)]) >= 0).all()


@given(search=searches())
@settings(max_examples=50, deadline=None)
def test_counts_who_may_be_found(search: Search) -> None:
    expected = [len(allowed(search, query)) for query in range(len(search.queries))]
    assert available(search).tolist() == expected
    assert barred_counts(search).tolist() == [len(search.gallery) - count for count in expected]


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "squared_euclidean"])
def test_distances_are_those_of_the_formula(distance: Distance) -> None:
    chance = np.random.default_rng(0)
    queries, gallery = (chance.standard_normal((n, 7)).astype(np.float32) for n in (5, 40))
    index, found = nearest(Search(queries, gallery, distance), 40)
    wide = queries.astype(float), gallery.astype(float)
    apart = ((wide[0][:, None] - wide[1]) ** 2).sum(axis=2)
    if distance == "euclidean":
        apart = np.sqrt(apart)
    if distance == "cosine":
        norms = [np.linalg.norm(side, axis=1) for side in wide]
        apart = 1 - wide[0] @ wide[1].T / norms[0][:, None] / norms[1]
    np.testing.assert_allclose(found, np.sort(apart, axis=1), atol=1e-12)
    np.testing.assert_array_equal(index, np.argsort(apart, axis=1))


@pytest.mark.parametrize("wide", [True, False])
def test_blocks_and_arithmetic_change_nothing(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((300, 6)).astype(np.float32)
    vectors[200:] = vectors[:100]  # every one of these a duplicate
    sources = chance.integers(-1, 40, 300)
    search = Search.within(vectors, "euclidean", sources)
    expected, _ = nearest(search, 9)
    monkeypatch.setattr(neighbours, "CELLS", 700)
    if not wide:
        monkeypatch.setattr(neighbours, "PRECISE", 0)
    found, _ = nearest(search, 9)
    np.testing.assert_array_equal(found, expected)


def test_a_duplicate_of_the_query_is_found_and_the_query_is_not() -> None:
    vectors = np.array([[3, 1], [3, 1], [3, 1], [0, 1]], dtype=np.float32)
    index, distance = nearest(Search.within(vectors), 3)
    assert index.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert distance[0, 0] == pytest.approx(0, abs=1e-15)


def test_copies_are_known_by_value_minus_zero_too() -> None:
    vectors = np.array([[0, 1], [2, 2], [-0.0, 1], [2, 2], [2, 3]], dtype=np.float32)
    copies, originals = neighbours._duplicates(vectors)
    assert copies.tolist() == [2, 3]
    assert originals.tolist() == [0, 1]


def test_a_collapsed_space_is_ranked_by_row() -> None:
    vectors = np.full((50, 3), 0.3, dtype=np.float32)
    index, _ = nearest(Search.within(vectors), 4)
    assert index[0].tolist() == [1, 2, 3, 4]
    assert (index[1:, 0] == 0).all()


def test_each_query_comes_once_with_as_many_as_it_wants() -> None:
    chance = np.random.default_rng(2)
    vectors = chance.standard_normal((60, 4)).astype(np.float32)
    wanted = chance.integers(1, 50, 60)
    blocks = list(ranking(Search.within(vectors), wanted))
    rows = np.concatenate([block.rows for block in blocks])
    assert sorted(rows.tolist()) == list(range(60))
    for block in blocks:
        assert block.index.shape[1] >= wanted[block.rows].max()


def test_nobody_to_find_and_nobody_to_ask() -> None:
    some, none = np.ones((3, 2), dtype=np.float32), np.ones((0, 2), dtype=np.float32)
    assert nearest(Search(some, none), 2)[0].tolist() == [[-1, -1]] * 3
    assert nearest(Search(none, some), 2)[0].shape == (0, 2)
    assert available(Search(some, none)).tolist() == [0, 0, 0]


def test_float32_from_afar_keeps_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors far from the origin: the products cancel unless the gallery is centred first."""
    chance = np.random.default_rng(3)
    vectors = (1000 + chance.standard_normal((200, 8))).astype(np.float32)
    search = Search.within(vectors, "euclidean")
    expected, _ = nearest(search, 1)
    monkeypatch.setattr(neighbours, "PRECISE", 0)
    found, _ = nearest(search, 1)
    assert (found == expected).mean() > 0.99


def test_refuses_what_does_not_fit() -> None:
    two, three = np.ones((4, 2), dtype=np.float32), np.ones((4, 3), dtype=np.float32)
    with pytest.raises(RequestError, match="queries have 2, the gallery 3"):
        Search(two, three)
    with pytest.raises(RequestError, match="own: 4 entries are expected, one per vector; given: 3"):
        Search(two, two, own=np.arange(3))
    with pytest.raises(RequestError, match="of both the queries and the gallery"):
        Search(two, two, query_sources=np.zeros(4, dtype=np.int64))
    with pytest.raises(RequestError, match=r"one row per clip .* given: shape \(4,\)"):
        Search(two[:, 0], two)
    with pytest.raises(WorkError, match="1 of 4 vectors are not finite, the first in row 2"):
        Search(two, np.where(np.arange(8).reshape(4, 2) == 5, np.nan, two).astype(np.float32))
