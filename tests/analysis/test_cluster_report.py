"""The report of clusters against scikit-learn, a loop, and blobs that need no labels to be found."""

import json
from collections import Counter

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from nearfield.analysis.explain.clusters import ClusterSettings, cluster_report, principal, purity
from nearfield.core.types import Ints, Vectors

QUICK = ClusterSettings(most=8, distance="euclidean")


def _blobs() -> tuple[Vectors, Ints]:
    points, truth = make_blobs(240, centers=14 * np.eye(4, 6), random_state=0)
    return points.astype(np.float32), truth.astype(np.int64)


def test_blobs_are_found_without_labels_in_the_whole_space_and_in_three_components() -> None:
    vectors, labels = _blobs()
    report = cluster_report(vectors, labels, tuple("abcd"), QUICK)
    assert [space.name for space in report.spaces] == ["whole", "pca_3"]
    for space in report.spaces:
        found = {each.chosen_by: each for each in space.found}
        assert found["elbow"].clusters == found["silhouette"].clusters == 4
        for each in found.values():
            assert each.purity == pytest.approx(1)
            assert each.nmi == pytest.approx(1)
            assert each.ami == pytest.approx(1)
    assert report.label_names == ("a", "b", "c", "d")
    # Labels only judge: without them the same is found.
    blind = cluster_report(vectors, None, None, QUICK)
    for told, alone in zip(report.spaces, blind.spaces, strict=True):
        assert told.path.elbow == alone.path.elbow
        assert all(each.purity is None and each.contingency is None for each in alone.found)


def test_agreement_equals_scikit_learns_where_nothing_is_clean() -> None:
    chance = np.random.default_rng(1)
    labels = chance.integers(-1, 5, 150)
    vectors = (chance.standard_normal((150, 6)) + labels[:, None]).astype(np.float32)
    report = cluster_report(vectors, labels, tuple("abcde"), QUICK)
    for each in report.spaces[0].found:
        judged = (labels >= 0) & (each.members >= 0)
        if not judged.any():
            assert each.contingency is None
            continue
        truth, members = labels[judged], each.members[judged]
        assert each.contingency is not None
        assert each.contingency.sum() == judged.sum()
        theirs = contingency_matrix(truth, members)
        np.testing.assert_array_equal(each.contingency[:, each.contingency.any(axis=0)], theirs)
        commonest = sum(Counter(truth[members == c]).most_common(1)[0][1] for c in np.unique(members))
        assert each.purity == pytest.approx(commonest / judged.sum())
        assert each.nmi == pytest.approx(normalized_mutual_info_score(truth, members))
        assert each.ami == pytest.approx(adjusted_mutual_info_score(truth, members))


def test_density_clusters_are_scikit_learns_and_leave_outliers_out() -> None:
    vectors, labels = _blobs()
    vectors[:5] += 200 * np.random.default_rng(2).standard_normal((5, 6)).astype(np.float32)
    found = cluster_report(vectors, labels, None, QUICK).spaces[0].found[-1]
    assert found.chosen_by == "hdbscan"
    theirs = HDBSCAN(min_cluster_size=10, copy=True).fit_predict(vectors.astype(np.float64))
    np.testing.assert_array_equal(found.members, theirs)
    assert found.clusters == 4
    assert found.left_out >= 5


def test_principal_components_are_scikit_learns_up_to_their_sign() -> None:
    space = np.random.default_rng(0).standard_normal((80, 7)) @ np.diag([5, 4, 3, 1, 1, 1, 1.0])
    found, share = principal(space, 3)
    theirs = PCA(3).fit(space)
    np.testing.assert_allclose(np.abs(found), np.abs(theirs.transform(space)), atol=1e-9)
    assert share == pytest.approx(theirs.explained_variance_ratio_.sum())
    assert principal(np.ones((5, 2)), 3)[1] == 1


def test_a_report_is_the_same_twice_can_be_written_and_draws_where_clips_are_many() -> None:
    vectors, labels = _blobs()
    settings = ClusterSettings(most=5, most_clips=100)
    first, second = (cluster_report(vectors, labels, tuple("abcd"), settings) for _ in range(2))
    assert len(first.rows) == 100
    assert json.dumps(first.plain(), allow_nan=False) == json.dumps(second.plain(), allow_nan=False)
    np.testing.assert_array_equal(first.rows, second.rows)


def test_odd_spaces_have_a_report_too() -> None:
    flat = cluster_report(np.ones((30, 4), dtype=np.float32), np.arange(30) % 2, None, QUICK)
    assert flat.spaces[0].path.counts == (1,)
    assert flat.spaces[0].found[0].nmi == 0
    assert cluster_report(np.eye(3, dtype=np.float32), None, None, QUICK).spaces[0].found[0].clusters >= 1
    assert purity(np.zeros((2, 0), dtype=np.int64)) == 0
