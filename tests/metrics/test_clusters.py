"""Clusters: known shapes, scikit-learn's own scores, collapse, the drawn subset."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from nearfield.metrics import clusters
from nearfield.metrics.clusters import cluster_scores


def test_separate_classes_score_one_and_chance_about_nothing() -> None:
    labels = np.arange(90) % 3
    vectors = np.eye(3, dtype=np.float32)[labels] + 0.01 * np.random.default_rng(0).standard_normal((90, 3))
    scores, baseline = cluster_scores(vectors.astype(np.float32), labels)
    assert scores["nmi"] == pytest.approx(1)
    assert scores["ami"] == pytest.approx(1)
    assert scores["silhouette"] > 0.95
    assert scores["clips"] == 90
    assert abs(baseline["ami"]) < 0.1
    assert baseline["silhouette"] < 0.1


def test_silhouette_is_on_unit_vectors_for_the_cosine_only() -> None:
    chance = np.random.default_rng(1)
    vectors = (chance.standard_normal((60, 4)) * chance.uniform(1, 5, (60, 1))).astype(np.float32)
    labels = chance.integers(0, 3, 60)
    plain, _ = cluster_scores(vectors, labels, "euclidean")
    turned, _ = cluster_scores(vectors, labels, "cosine")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert plain["silhouette"] == pytest.approx(silhouette_score(vectors, labels), abs=1e-5)
    assert turned["silhouette"] == pytest.approx(silhouette_score(unit, labels), abs=1e-5)


def test_a_collapsed_space_scores_nothing_without_a_warning() -> None:
    scores, _ = cluster_scores(np.ones((30, 4), dtype=np.float32), np.arange(30) % 3)
    assert scores["nmi"] == 0
    assert scores["silhouette"] == 0


def test_too_few_classes_or_clips_give_no_scores() -> None:
    vectors = np.eye(4, dtype=np.float32)
    assert cluster_scores(vectors, np.zeros(4, dtype=np.int64)) == ({}, {})
    assert cluster_scores(vectors, np.arange(4)) == ({}, {})


def test_beyond_the_most_a_fixed_subset_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MOST", 50)
    labels = np.arange(200) % 2
    vectors = np.eye(2, dtype=np.float32)[labels]
    vectors += 0.3 * np.random.default_rng(2).standard_normal((200, 2)).astype(np.float32)
    scores, _ = cluster_scores(vectors, labels)
    assert scores["clips"] == 50
    assert cluster_scores(vectors, labels)[0] == scores
