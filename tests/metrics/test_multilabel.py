"""Retrieval by tags against loops, scikit-learn, and the edge rules of the multi-label recall."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from nearfield.core.types import Bools
from nearfield.metrics.neighbors import Search
from nearfield.metrics.retrieval import ranking_scores, tag_scores

from .by_hand import rankings, searches, tag_rows


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_recall_and_overlap_equal_a_loop(data: st.DataObject) -> None:
    search = data.draw(searches())
    gallery_tags = data.draw(st.composite(tag_rows)(len(search.gallery)))
    within = search.queries is search.gallery
    query_tags = gallery_tags if within else data.draw(st.composite(tag_rows)(len(search.queries)))
    scores = tag_scores(search, query_tags, gallery_tags)
    for query, order in enumerate(rankings(search)):
        wanted = set(np.flatnonzero(query_tags[query]).tolist())
        for cutoff in (1, 2, 4, 8):
            found = [set(np.flatnonzero(gallery_tags[row]).tolist()) for row in order[:cutoff]]
            recall = scores[f"multilabel_recall_at_{cutoff}"][query]
            overlap = scores[f"tag_overlap_at_{cutoff}"][query]
            if not wanted or not found:
                assert np.isnan(recall)
                assert np.isnan(overlap)
                continue
            assert recall == pytest.approx(len(wanted & set().union(*found)) / len(wanted))
            each = [len(wanted & tags) / len(wanted | tags) for tags in found]
            assert overlap == pytest.approx(sum(each) / len(each))


def _case(seed: int) -> tuple[Search, Bools]:
    chance = np.random.default_rng(seed)
    tags = chance.random((60, 7)) < 0.25
    return Search.within(chance.standard_normal((60, 4)).astype(np.float32), "euclidean"), tags


def test_ranking_scores_equal_scikit_learn() -> None:
    search, tags = _case(0)
    scores = ranking_scores(search, tags, tags)
    for query in range(60):
        others = np.delete(np.arange(60), query)
        near = -((search.gallery[others] - search.queries[query]).astype(float) ** 2).sum(axis=1)
        shared = (tags[others] & tags[query]).sum(axis=1)
        gains = shared / np.maximum((tags[others] | tags[query]).sum(axis=1), 1)
        if not gains.any():
            assert np.isnan(scores["tag_map"][query])
            assert np.isnan(scores["tag_ndcg"][query])
            continue
        assert scores["tag_map"][query] == pytest.approx(average_precision_score(gains > 0, near))
        assert scores["tag_ndcg"][query] == pytest.approx(ndcg_score([gains], [near], ignore_ties=True))


def test_recall_never_falls_and_k_beyond_the_gallery_uses_all() -> None:
    search, tags = _case(1)
    means = [np.nanmean(tag_scores(search, tags, tags)[f"multilabel_recall_at_{k}"]) for k in (1, 2, 4, 8)]
    assert means == sorted(means)
    few = Search.within(search.queries[:3], "euclidean")
    scores = tag_scores(few, tags[:3] | True, tags[:3] | True)
    np.testing.assert_array_equal(scores["multilabel_recall_at_8"], [1, 1, 1])


def test_a_perfect_ranking_scores_one_and_the_worst_far_less() -> None:
    tags = np.repeat(np.eye(3, dtype=bool), 6, axis=0)
    vectors = tags.astype(np.float32)
    perfect = ranking_scores(Search.within(vectors), tags, tags)
    assert np.allclose(perfect["tag_map"], 1)
    assert np.allclose(perfect["tag_ndcg"], 1)
    # Every clip at the place of another class: the alike ones come last.
    mixed = np.tile(np.eye(6, dtype=np.float32), (3, 1))
    assert np.nanmean(ranking_scores(Search.within(mixed), tags, tags)["tag_map"]) < 0.6


def test_a_query_without_tags_and_one_without_anybody_to_find_are_left_out() -> None:
    vectors = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)
    tags = np.array([[True], [False], [True]])
    scores = tag_scores(Search.within(vectors, "euclidean"), tags, tags)
    np.testing.assert_array_equal(scores["multilabel_recall_at_1"], [0, np.nan, 0])
    alone = Search.within(vectors, "euclidean", np.zeros(3, dtype=np.int64))
    assert np.isnan(tag_scores(alone, tags, tags)["multilabel_recall_at_1"]).all()
    assert np.isnan(ranking_scores(alone, tags, tags)["tag_map"]).all()
