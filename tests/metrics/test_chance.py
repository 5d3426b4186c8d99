"""The rows of chance against simulation and enumeration: what can be had without listening."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from nearfield.core.errors import RequestError
from nearfield.metrics.chance import (
    expected_label_scores,
    expected_recall,
    guess_scores,
    hub_scores,
    miss,
    recording_first,
)
from nearfield.metrics.neighbors import Search
from nearfield.metrics.retrieval import listed_scores

from .by_hand import allowed, searches, tag_rows


@pytest.mark.parametrize(("relevant", "found"), [(1, 6), (2, 5), (3, 3), (4, 6), (1, 1)])
def test_expected_scores_are_the_mean_over_all_orders(relevant: int, found: int) -> None:
    totals: dict[str, list[float]] = {"recall_at_1": [], "recall_at_2": [], "r_precision": [], "map_at_r": []}
    for order in permutations(range(found)):
        hits = np.array(order) < relevant
        first = hits[:relevant]
        totals["recall_at_1"].append(float(hits[:1].any()))
        totals["recall_at_2"].append(float(hits[:2].any()))
        totals["r_precision"].append(first.mean())
        totals["map_at_r"].append(float((np.cumsum(first) / np.arange(1, relevant + 1) * first).mean()))
    expected = expected_label_scores(np.array([relevant]), np.array([found]))
    for name, values in totals.items():
        assert expected[name][0] == pytest.approx(np.mean(values)), name


def test_nothing_to_find_is_no_score() -> None:
    scores = expected_label_scores(np.array([0, 2]), np.array([0, 5]))
    assert np.isnan(scores["map_at_r"][0])
    assert np.isfinite(scores["map_at_r"][1])
    assert miss(np.array([0]), np.array([0]), 4).tolist() == [1.0]


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_expected_recall_is_the_mean_over_all_pairs_of_neighbours(data: st.DataObject) -> None:
    search = data.draw(searches(most=6))
    gallery_tags = data.draw(st.composite(tag_rows)(len(search.gallery)))
    query_tags = data.draw(st.composite(tag_rows)(len(search.queries)))
    expected = expected_recall(search, query_tags, gallery_tags, (1, 2))
    for query in range(len(query_tags)):
        rows = allowed(search, query)
        draws = list(permutations(rows, min(2, len(rows))))
        index = np.full((len(draws), 2), -1, dtype=np.int64)
        for number, drawn in enumerate(draws):
            index[number, : len(drawn)] = drawn
        scores = listed_scores(
            index, np.repeat(query_tags[[query]], len(draws), axis=0), gallery_tags, (1, 2)
        )
        for cutoff in (1, 2):
            name = f"multilabel_recall_at_{cutoff}"
            np.testing.assert_allclose(expected[name][query], scores[name].mean(), atol=1e-12)


def test_same_recording_first_wins_where_a_recording_shares_its_tags() -> None:
    recordings = np.repeat(np.arange(5), 3)
    tags = np.eye(5, dtype=bool)[recordings]
    vectors = np.random.default_rng(0).standard_normal((15, 2)).astype(np.float32)
    search = Search.within(vectors)
    first = recording_first(search, tags, tags, (recordings, recordings))
    assert all((values == 1).all() for values in first.values())
    chance = expected_recall(search, tags, tags)["multilabel_recall_at_1"]
    np.testing.assert_allclose(chance, 2 / 14)


def test_after_the_own_recording_comes_chance() -> None:
    """Against all orders of the clips of other recordings, behind the query's own."""
    chance = np.random.default_rng(3)
    recordings, tags = np.array([0, 0, 0, 1, 1, 2, 3]), chance.random((7, 4)) < 0.4
    search = Search.within(np.zeros((7, 1), dtype=np.float32))
    found = recording_first(search, tags, tags, (recordings, recordings))
    for query in np.flatnonzero(tags.any(axis=1)):
        others = [row for row in range(7) if row != query]
        own = [row for row in others if recordings[row] == recordings[query]]
        rest = [row for row in others if recordings[row] != recordings[query]]
        index = np.array([own + list(order) for order in permutations(rest)])
        scores = listed_scores(index, np.repeat(tags[[query]], len(index), axis=0), tags, (1, 2, 4))
        for name in (f"multilabel_recall_at_{cutoff}" for cutoff in (1, 2, 4)):
            assert found[name][query] == pytest.approx(scores[name].mean())


def test_a_recording_alone_falls_back_to_chance_elsewhere() -> None:
    vectors = np.zeros((6, 1), dtype=np.float32)
    tags = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 1], [0, 1]], dtype=bool)
    alone = np.arange(6)
    search = Search.within(vectors)
    first = recording_first(search, tags, tags, (alone, alone))
    chance = expected_recall(search, tags, tags)
    for name in chance:
        np.testing.assert_allclose(first[name], chance[name])
    with pytest.raises(RequestError, match="the search excludes sources"):
        recording_first(Search.within(vectors, "cosine", alone), tags, tags, (alone, alone))


def test_the_hub_is_one_list_for_all_without_the_query_and_its_source() -> None:
    tags = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=bool)
    vectors = np.zeros((4, 1), dtype=np.float32)
    scores = hub_scores(Search.within(vectors), tags, tags)["multilabel_recall_at_1"]
    # Clip 0 has the most tags; itself it finds clip 1.
    np.testing.assert_allclose(scores, [2 / 3, 1, 1, 0])
    together = np.array([0, 0, 1, 1])
    apart = hub_scores(Search.within(vectors, "cosine", together), tags, tags)
    # Clips 0 and 1 may only find 2 and 3; a query's own source stands at the front of the list.
    np.testing.assert_allclose(apart["multilabel_recall_at_1"], [1 / 3, 1 / 2, 1, 0])
    assert set(apart) == {f"multilabel_recall_at_{k}" for k in (1, 2, 4, 8)}


def test_a_source_that_holds_all_hubs_does_not_hide_the_next() -> None:
    tags = np.array([[1, 1, 1]] * 5 + [[1, 1, 0], [1, 0, 0]], dtype=bool)
    sources = np.array([0, 0, 0, 0, 0, 1, 2])
    search = Search.within(np.zeros((7, 1), dtype=np.float32), "cosine", sources)
    scores = hub_scores(search, tags, tags, (1,))["multilabel_recall_at_1"]
    np.testing.assert_allclose(scores, [2 / 3] * 5 + [1, 1])


def test_guessing_by_shares_is_near_its_simulation() -> None:
    chance = np.random.default_rng(1)
    train, test = (np.repeat(np.arange(3), sizes) for sizes in ([600, 300, 100], [500, 100, 400]))
    guesses = [chance.choice(train, len(test)) for _ in range(200)]
    expected = guess_scores(train, test)
    assert expected["accuracy"] == pytest.approx(np.mean([(g == test).mean() for g in guesses]), abs=0.005)
    simulated = np.mean([f1_score(test, g, average="macro") for g in guesses])
    assert expected["macro_f1"] == pytest.approx(simulated, abs=0.005)
    assert guess_scores(train[:0], test[:0]) == {"accuracy": 0.0, "macro_f1": 0.0}
