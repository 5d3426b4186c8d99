"""Exact search against a full comparison in float64, on easy and on wicked vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.core.types import Bools, Vectors
from nearfield.space import nearest as nearest_module
from nearfield.space import screening
from nearfield.space.codes import SIDE, Codes
from nearfield.space.nearest import FEW, Found, Nearest
from nearfield.space.screening import encode_each


def brute(vectors: Vectors, query: Vectors, top: int, allowed: Bools | None = None) -> Found:
    """All dot products in float64, sorted; equals in order of rows."""
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    order = rows[np.lexsort((rows, -scores[rows]))][:top].astype(np.int64)
    return order, scores[order]


def drawn(kind: str, count: int, size: int, seed: int) -> Vectors:
    """Vectors of one kind, on a grid of 1/64 so that sums have no rounding and equals are equal."""
    chance = np.random.default_rng(seed)
    rows = chance.standard_normal((count, size))
    if kind == "few":  # many duplicates
        rows = rows[chance.integers(0, max(1, count // 20), count)]
    if kind == "same":
        rows[:] = rows[0]
    if kind == "zeros":
        rows[chance.random(count) < 0.5] = 0
    if kind == "collapsed":
        rows = 8 + rows / 32
    if kind == "coarse":  # one number, of no weight in queries, leaves the others almost no codes
        rows[:, 0] = 20 * chance.choice([-1, 1], count)
    if kind == "one large":
        rows[chance.integers(count)] *= 1000
    return (np.round(rows * 64) / 64).astype(np.float32)


KINDS = ("plain", "few", "same", "zeros", "collapsed", "coarse", "one large")


@given(
    kind=st.sampled_from(KINDS),
    count=st.sampled_from([1, 2, 63, 64, 65, 500, 4095, 4097, 9000]),
    size=st.sampled_from([1, 2, 3, 16, 128]),
    top=st.sampled_from([1, 3, 10, 100, 5000]),
    few=st.sampled_from([0, FEW]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=100, deadline=None)
def test_equal_to_a_full_comparison(kind: str, count: int, size: int, top: int, few: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest_module, "FEW", few)  # 0: by codes whatever the size
        check_against_a_full_comparison(kind, count, size, top, seed)


def check_against_a_full_comparison(kind: str, count: int, size: int, top: int, seed: int) -> None:
    vectors = drawn(kind, count, size, seed)
    queries = np.concatenate(
        [drawn("plain", 2, size, seed + 1), vectors[:1], np.zeros((1, size), np.float32)]
    )
    search = Nearest.of(vectors)
    many_rows, many_scores = search.search_many(queries, top)
    for query, many, score in zip(queries, many_rows, many_scores, strict=True):
        rows, scores = search.search(query, top)
        wanted, products_wanted = brute(vectors, query, top)
        assert (rows == wanted).all()
        assert scores == pytest.approx(products_wanted, abs=1e-9)
        assert (many == wanted).all()
        assert (score == scores).all()


@given(
    kind=st.sampled_from(KINDS),
    count=st.sampled_from([3000, 5000]),
    share=st.sampled_from([0.0, 0.001, 0.1, 0.9]),
    top=st.sampled_from([1, 10, 300]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=25, deadline=None)
def test_only_allowed_rows_are_found(kind: str, count: int, share: float, top: int, seed: int) -> None:
    vectors = drawn(kind, count, 16, seed)
    allowed = np.random.default_rng(seed).random(count) < share
    queries = drawn("plain", 3, 16, seed + 1)
    search = Nearest.of(vectors)
    many = search.search_many(queries, top, allowed)[0]
    for query, rows in zip(queries, many, strict=True):
        assert (rows == brute(vectors, query, top, allowed)[0]).all()
        assert (search.search(query, top, allowed)[0] == rows).all()


@pytest.mark.parametrize("number", range(8))
def test_where_codes_tell_next_to_nothing_the_order_is_still_exact(number: int) -> None:
    vectors = drawn("coarse", 9000, 16, number)
    queries = drawn("plain", 4, 16, number + 100) * np.float32(1 / 3)
    queries[:, 0] = 0
    search = Nearest.of(vectors)
    many = search.search_many(queries, 10)[0]
    for query, rows in zip(queries, many, strict=True):
        assert (search.search(query, 10)[0] == brute(vectors, query, 10)[0]).all()
        assert (rows == brute(vectors, query, 10)[0]).all()


@pytest.mark.parametrize("count", [FEW, 20_000])
def test_unit_vectors_of_clusters_in_the_order_of_their_exact_products(count: int) -> None:
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((50, 128))
    rows = centres[chance.integers(0, 50, count)] + 0.7 * chance.standard_normal((count, 128))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    search = Nearest.of(vectors)
    found = search.search_many(vectors[:300], 10)[0]
    for row in range(300):
        assert (found[row] == brute(vectors, vectors[row], 10)[0]).all()
        assert found[row, 0] == row


@pytest.mark.parametrize("count", [FEW, 9000])
def test_rows_that_float32_cannot_tell_apart_are_in_their_true_order(count: int) -> None:
    chance = np.random.default_rng(1)
    ladder = np.zeros((count, 2), np.float32)
    ladder[:, 0], ladder[:, 1] = 1, chance.permutation(count)  # 1 + n / 2 ** 40 is 1 in float32
    query = np.array([1, 2.0**-40], np.float32)
    found, scores = Nearest.of(ladder).search(query, 20)
    assert (ladder[found, 1] == np.arange(count - 1, count - 21, -1)).all()
    assert (scores == 1 + ladder[found, 1].astype(np.float64) / 2**40).all()


@pytest.mark.parametrize("count", [500, FEW, 9000])
def test_rows_that_differ_by_less_than_float32_sums_lose(count: int) -> None:
    chance = np.random.default_rng(2)
    base = chance.standard_normal(128)
    vectors = (base + 1e-6 * chance.standard_normal((count, 128))).astype(np.float32)
    queries = chance.standard_normal((40, 128)).astype(np.float32)
    many = Nearest.of(vectors).search_many(queries, 10)[0]
    for query, rows in zip(queries, many, strict=True):
        assert (rows == brute(vectors, query, 10)[0]).all()


@pytest.mark.parametrize("queries", [1, 2, 31, 32, 33, 600, 2100])
def test_every_query_of_a_batch_is_answered_once_in_its_place(queries: int) -> None:
    vectors = drawn("plain", 5000, 8, 0)
    wanted = np.random.default_rng(0).integers(0, 5000, queries)
    found = Nearest.of(10 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).search_many(
        vectors[wanted], 1
    )[0]
    assert (found[:, 0] == wanted).all()


def test_a_query_that_must_not_be_written_to_is_read() -> None:
    vectors = drawn("plain", 5000, 8, 0)
    query = vectors[7].copy()
    query.flags.writeable = False
    assert (Nearest.of(vectors).search(query, 3)[0] == brute(vectors, query, 3)[0]).all()


def test_what_a_query_loses_is_within_the_bound_where_rows_lose_nothing() -> None:
    chance = np.random.default_rng(0)
    half = chance.integers(-126, 127, (SIDE * SIDE // 2, 8)).astype(np.float32)
    half[:, 0] = 127
    vectors = np.concatenate([half, -half])  # codes are the numbers themselves, and their mean is 0
    codes = Codes.of(vectors)
    assert codes.bounds[1].max() < 1e-2
    for query in drawn("plain", 20, 8, 1) * np.float32(0.37):
        (code,), (facts,) = encode_each(query[None])
        exact = vectors.astype(np.float64) @ query.astype(np.float64)
        guess = (codes.codes.astype(np.int64) @ code.astype(np.int64)) * float(facts[0])
        length = np.linalg.norm(vectors.astype(np.float64), axis=1)
        assert (np.abs(exact - guess) <= length * float(facts[1]) + 1e-3).all()
        assert np.abs(exact - guess).max() > 0.1  # something was lost


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_codes_lose_is_beyond_their_bound(kind: str) -> None:
    vectors = drawn(kind, 5000, 32, 3)
    query = drawn("plain", 1, 32, 4)[0] / 7
    codes, ((code,), (facts,)) = Codes.of(vectors), encode_each(query[None])
    padded = np.concatenate([vectors, np.repeat(vectors[-1:], len(codes.codes) - 5000, axis=0)])
    exact = (padded.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)) @ query.astype(np.float64)
    scale, lost, length = (np.repeat(each, SIDE, axis=0).ravel() for each in codes.bounds.astype(np.float64))
    guess = (codes.codes.astype(np.int64) @ code.astype(np.int64)) * scale * float(facts[0])
    bound = lost * float(facts[2]) + length * float(facts[1])
    assert (np.abs(exact - guess) <= bound).all()
    if kind == "plain":
        assert bound.max() < 0.1 * np.abs(exact).max()  # and it is of use


def test_a_query_that_needs_more_room_is_answered_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "ROOM", 16)
    vectors = drawn("plain", 9000, 16, 0)
    queries = drawn("plain", 5, 16, 1)
    found = Nearest.of(vectors).search_many(queries, 20)[0]
    for query, rows in zip(queries, found, strict=True):
        assert (rows == brute(vectors, query, 20)[0]).all()


def test_without_integer_products_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = drawn("plain", 5000, 64, 0), drawn("plain", 4, 64, 1)
    search = Nearest.of(vectors)
    fast = search.search_many(queries, 10)
    monkeypatch.setattr(screening, "trusted", lambda: False)
    slow = search.search_many(queries, 10)
    assert (fast[0] == slow[0]).all()
    assert (fast[1] == slow[1]).all()


@pytest.mark.parametrize("size", [1, 2, 3, 64, 128, 1041])
@pytest.mark.parametrize("count", [2, 5, 64])
def test_integer_products_are_those_of_numpy(size: int, count: int) -> None:
    import torch

    chance = np.random.default_rng(size)
    codes = chance.integers(-127, 128, (4096, size)).astype(np.int8)
    queries = chance.integers(-127, 128, (count, size)).astype(np.int8)
    codes[0], queries[0] = 127, -127
    wanted = queries.astype(np.int64) @ codes.T.astype(np.int64)
    assert (screening.many(codes, queries, torch.empty(count, 4096, dtype=torch.int32)) == wanted).all()
    assert (screening.one(codes, queries[0]) == wanted[0]).all()


def test_held_products_are_those_of_one_thread_and_leave_the_others_their_number() -> None:
    import torch

    before = torch.get_num_threads()
    codes = np.random.default_rng(0).integers(-127, 128, (4096, 64)).astype(np.int8)
    with screening.unshared():
        assert torch.get_num_threads() == 1
        alone = screening.one(codes, codes[5])
    assert torch.get_num_threads() == before
    assert (alone == screening.one(codes, codes[5])).all()
