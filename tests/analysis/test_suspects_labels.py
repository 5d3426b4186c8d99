"""Wrong labels: planted ones are found, and found better than by the plain rule."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from nearfield.analysis.suspects.labels import (
    SuspectSettings,
    all_neighbors_differ,
    doubt_labels,
    label_suspects,
)
from nearfield.core.errors import DataError, RequestError

from .planted import classes, facts_of, flipped

EUCLIDEAN = SuspectSettings(distance="euclidean")


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_planted_labels_are_found(share: float) -> None:
    vectors, labels = classes(400, 4.0)
    wrong, planted = flipped(labels, share)
    doubts = doubt_labels(vectors, facts_of(wrong), EUCLIDEAN)
    count = int(planted.sum())
    first = np.argsort(-doubts.ranks)[:count]
    assert planted[first].mean() >= 0.85
    assert roc_auc_score(planted, doubts.ranks) > 0.98
    # And what they should have been is proposed.
    assert (doubts.best[planted] == labels[planted]).mean() > 0.9
    assert ((doubts.scores >= 0) & (doubts.scores <= 1)).all()


@pytest.mark.parametrize("apart", [4.0, 2.5])
def test_a_score_is_the_chance_of_a_wrong_label(apart: float) -> None:
    """Of the labels of a score of at least .5 and .9 as many are wrong; among right ones there are none."""
    scores, wrong = [], []
    for seed in range(4):
        for share in (0.0, 0.05, 0.1):
            vectors, labels = classes(400, apart, seed)
            labelled, planted = flipped(labels, share, seed) if share else (labels, np.zeros(400, dtype=bool))
            scores.append(doubt_labels(vectors, facts_of(labelled), EUCLIDEAN).scores)
            wrong.append(planted)
            assert share or (scores[-1] < 0.5).all()
    found, planted = np.concatenate(scores), np.concatenate(wrong)
    for least in (0.5, 0.8):
        assert planted[found >= least].mean() >= least
    assert (found[planted] >= 0.5).mean() > 0.4


def test_on_average_they_are_found_better_than_by_the_plain_rule() -> None:
    ours, rule = [], []
    for seed in range(4):
        vectors, labels = classes(300, 2.5, seed)
        wrong, planted = flipped(labels, 0.05, seed)
        metadata = facts_of(wrong)
        listed = all_neighbors_differ(vectors, metadata, 30, "euclidean")
        scores = doubt_labels(vectors, metadata, EUCLIDEAN).ranks
        # As many as the rule lists, so that neither can win by listing more.
        first = np.argsort(-scores)[: max(int(listed.sum()), 1)]
        ours.append(planted[first].sum())
        rule.append((planted & listed).sum())
    assert sum(ours) >= sum(rule)


def test_the_list_is_ranked_and_says_why_in_words() -> None:
    vectors, labels = classes(200, 5.0)
    wrong, planted = flipped(labels, 0.05)
    found = label_suspects(vectors, facts_of(wrong), EUCLIDEAN)
    assert planted[[each.row for each in found]].sum() >= 8
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    first, names = found[0], ("rain", "wind", "bell", "dog")
    given, proposed = names[wrong[first.row]], names[labels[first.row]]
    assert first.kind == "label"
    assert first.proposed == proposed
    assert first.reason.startswith(f"The label is {given!r}, but ")
    assert f"a probe trained on other clips predicts {proposed!r}" in first.reason
    assert first.suggestion == f"Listen; if you agree, change the label to {proposed!r}."
    short = EUCLIDEAN.model_copy(update={"most": 3})
    assert label_suspects(vectors, facts_of(wrong), short) == found[:3]
    strict = EUCLIDEAN.model_copy(update={"right": 0.0})
    assert label_suspects(vectors, facts_of(wrong), strict) == []


def test_clips_without_label_neither_speak_nor_are_doubted() -> None:
    vectors, labels = classes(200, 4.0)
    hidden = labels.copy()
    hidden[::5] = -1
    doubts = doubt_labels(vectors, facts_of(hidden), EUCLIDEAN)
    assert doubts.rows.tolist() == np.flatnonzero(hidden >= 0).tolist()
    alone = doubt_labels(vectors[doubts.rows], facts_of(hidden[doubts.rows]), EUCLIDEAN)
    np.testing.assert_allclose(doubts.scores, alone.scores)


def test_a_whole_group_of_wrong_labels_is_found_where_groups_stand_apart() -> None:
    vectors, labels = classes(400, 4.0)
    groups = np.arange(400) // 20
    # One recording of one class, all its clips alike and all labelled wrongly.
    labels = np.where(groups % 4 >= 0, groups % 4, 0)
    chance = np.random.default_rng(5)
    centres = 3 * chance.standard_normal((4, 10))
    own = chance.standard_normal((20, 10))
    vectors = (centres[labels] + own[groups] + 0.3 * chance.standard_normal((400, 10))).astype(np.float32)
    wrong = np.where(groups == 6, 0, labels)
    metadata = facts_of(wrong, groups=groups)
    together = doubt_labels(vectors, metadata, EUCLIDEAN).ranks
    apart = doubt_labels(vectors, metadata, EUCLIDEAN.model_copy(update={"apart": True})).ranks
    assert apart[groups == 6].min() > 0.1 > together[groups == 6].max()


def test_the_rule_equals_its_definition() -> None:
    vectors, labels = classes(120, 1.0)
    metadata = facts_of(np.where(np.arange(120) % 10 == 0, -1, labels))
    known = np.flatnonzero(metadata.labels >= 0)
    apart = cdist(vectors[known].astype(float), vectors[known].astype(float))
    np.fill_diagonal(apart, np.inf)
    expected = np.zeros(120, dtype=bool)
    for place, row in enumerate(known):
        around = known[np.argsort(apart[place])[:4]]
        expected[row] = (metadata.labels[around] != metadata.labels[row]).all()
    assert expected.any()
    np.testing.assert_array_equal(all_neighbors_differ(vectors, metadata, 4, "euclidean"), expected)


def test_the_same_seed_gives_the_same_scores() -> None:
    vectors, labels = classes(120, 1.0)
    first, second = (doubt_labels(vectors, facts_of(labels)).scores for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_what_cannot_be_doubted_is_refused() -> None:
    vectors, labels = classes(20)
    with pytest.raises(DataError, match="Given: 1 labels on 20 clips"):
        doubt_labels(vectors, facts_of(np.zeros(20, dtype=np.int64)))
    with pytest.raises(DataError, match="Given: 0 labels on 0 clips"):
        label_suspects(vectors, facts_of(np.full(20, -1)))
    with pytest.raises(RequestError, match="metadata: 20 entries are expected"):
        doubt_labels(vectors, replace(facts_of(labels[:10])))
