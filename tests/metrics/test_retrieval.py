"""Retrieval by label against a loop, pytorch-metric-learning's calculator, and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import silhouette_samples

from nearfield.core.errors import RequestError
from nearfield.metrics.neighbors import Search
from nearfield.metrics.retrieval import label_scores, margin_scores, relevant_counts

from .by_hand import allowed, apart, numbers, rankings, searches


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_equals_a_loop_over_queries(data: st.DataObject) -> None:
    search = data.draw(searches())
    gallery_labels = data.draw(st.composite(numbers)(len(search.gallery)))
    within = search.queries is search.gallery
    query_labels = gallery_labels if within else data.draw(st.composite(numbers)(len(search.queries), -1))
    scores = label_scores(search, query_labels, gallery_labels)
    relevant = relevant_counts(search, query_labels, gallery_labels)
    for query, order in enumerate(rankings(search)):
        hits = [gallery_labels[row] == query_labels[query] for row in order]
        count = sum(hits)
        assert relevant[query] == count
        if count == 0:
            assert all(np.isnan(values[query]) for values in scores.values())
            continue
        first = hits[:count]
        precisions = [sum(first[: i + 1]) / (i + 1) for i in range(count) if first[i]]
        assert scores["r_precision"][query] == pytest.approx(sum(first) / count)
        assert scores["map_at_r"][query] == pytest.approx(sum(precisions) / count)
        for cutoff in (1, 2, 4, 8):
            assert scores[f"recall_at_{cutoff}"][query] == any(hits[:cutoff])


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_margins_equal_a_loop_over_queries(data: st.DataObject) -> None:
    search = data.draw(searches())
    gallery_labels = data.draw(st.composite(numbers)(len(search.gallery)))
    within = search.queries is search.gallery
    query_labels = gallery_labels if within else data.draw(st.composite(numbers)(len(search.queries), -1))
    scores = margin_scores(search, query_labels, gallery_labels)
    is_root = search.distance == "euclidean"
    for query, label in enumerate(query_labels.tolist()):
        by_label: dict[int, list[float]] = {}
        for row in allowed(search, query):
            distance = apart(search, query, row) ** (0.5 if is_root else 1)
            by_label.setdefault(int(gallery_labels[row]), []).append(distance)
        own = by_label.pop(label, [])
        for name, summary in (("margin", min), ("silhouette", np.mean)):
            if not own or not by_label:
                assert np.isnan(scores[name][query])
                continue
            a, b = float(summary(own)), min(float(summary(each)) for each in by_label.values())
            expected = (b - a) / max(a, b) if max(a, b) > 0 else 0.0
            assert scores[name][query] == pytest.approx(expected, abs=1e-9)


def test_silhouettes_equal_scikit_learn_and_margins_have_the_sign_of_recall() -> None:
    chance = np.random.default_rng(0)
    labels, query_labels = chance.integers(0, 4, 60), chance.integers(0, 4, 20)
    centers = chance.standard_normal((4, 5))
    gallery, queries = (
        (centers[each] + chance.standard_normal((len(each), 5))).astype(np.float32)
        for each in (labels, query_labels)
    )
    search = Search(queries, gallery, "euclidean")
    scores = margin_scores(search, query_labels, labels)
    for query, vector in enumerate(queries):
        together = np.vstack([gallery, vector]).astype(float), np.append(labels, query_labels[query])
        assert scores["silhouette"][query] == pytest.approx(silhouette_samples(*together)[-1])
    recall = label_scores(search, query_labels, labels)["recall_at_1"]
    np.testing.assert_array_equal(scores["margin"] > 0, recall == 1)
    assert 0 < recall.mean() < 1
    wider = margin_scores(Search(8 * queries, 8 * gallery, "euclidean"), query_labels, labels)
    for name, values in scores.items():
        np.testing.assert_allclose(wider[name], values)


@pytest.mark.parametrize("apart", [0.3, 1.5])
def test_equals_the_calculator_of_pytorch_metric_learning(apart: float) -> None:
    chance = np.random.default_rng(0)
    sizes = [2, 3, 10, 40, 65]  # far from balanced
    labels = chance.permutation(np.repeat(np.arange(5), sizes))
    vectors = chance.standard_normal((5, 6))[labels] * apart + chance.standard_normal((len(labels), 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = {
        "recall_at_1": "precision_at_1",
        "r_precision": "r_precision",
        "map_at_r": "mean_average_precision_at_r",
    }
    calculator = AccuracyCalculator(
        include=tuple(names.values()), k="max_bin_count", knn_func=CustomKNN(LpDistance())
    )
    theirs = calculator.get_accuracy(torch.tensor(vectors), torch.tensor(labels))
    ours = label_scores(Search.within(vectors), labels, labels)
    for name, their_name in names.items():
        assert np.nanmean(ours[name]) == pytest.approx(theirs[their_name], abs=1e-6)

    query, gallery = vectors[::3], vectors[1::3]
    theirs = calculator.get_accuracy(
        torch.tensor(query), torch.tensor(labels[::3]), torch.tensor(gallery), torch.tensor(labels[1::3])
    )
    ours = label_scores(Search(query, gallery), labels[::3], labels[1::3])
    for name, their_name in names.items():
        assert np.nanmean(ours[name]) == pytest.approx(theirs[their_name], abs=1e-6)


def test_a_perfect_space_scores_one_and_recall_never_falls() -> None:
    labels = np.repeat(np.arange(4), 5)
    vectors = np.eye(4, dtype=np.float32)[labels]
    scores = label_scores(Search.within(vectors), labels, labels)
    assert all((values == 1).all() for values in scores.values())
    random = np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32)
    means = [
        np.nanmean(label_scores(Search.within(random), labels, labels)[f"recall_at_{k}"])
        for k in (1, 2, 4, 8)
    ]
    assert means == sorted(means)


def test_own_group_is_left_out_and_queries_left_with_nothing_are_counted() -> None:
    # A speaker's own takes are nearest; labels 0 and 1 are said by both speakers, 2 by one.
    vectors = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [0, 2]], dtype=np.float32)
    labels, speakers = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 0])
    with_group = label_scores(Search.within(vectors, "euclidean"), labels, labels)
    without = label_scores(Search.within(vectors, "euclidean", speakers), labels, labels)
    assert with_group["recall_at_1"][:2].tolist() == [1, 1]
    np.testing.assert_array_equal(without["recall_at_1"], [0, 0, 0, np.nan, np.nan])
    assert relevant_counts(Search.within(vectors, "euclidean", speakers), labels, labels).tolist() == [
        1,
        1,
        2,
        0,
        0,
    ]


def test_no_gallery_gives_no_scores_and_unknown_labels_are_refused_there() -> None:
    some, none = np.ones((3, 2), dtype=np.float32), np.ones((0, 2), dtype=np.float32)
    scores = label_scores(Search(some, none), np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert all(np.isnan(values).all() for values in scores.values())
    with pytest.raises(RequestError, match="gallery clip has no label"):
        label_scores(Search.within(some), np.zeros(3, dtype=np.int64), np.array([0, -1, 0]))
