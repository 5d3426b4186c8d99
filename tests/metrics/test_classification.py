"""Scores of predictions against scikit-learn, with weights, and at the edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from nearfield.core.errors import RequestError
from nearfield.metrics.classification import class_table, classification_scores, confusion, skill_scores

NAMES = ("rain", "wind", "bell", "dog", "saw")


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_scores_equal_scikit_learn_weights_too(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 20))
    pick = st.lists(st.integers(0, 4), min_size=size, max_size=size)
    reference, predicted = np.array(data.draw(pick)), np.array(data.draw(pick))
    weights = np.array(data.draw(pick), dtype=float) + (data.draw(st.booleans()) or 0)
    plain = classification_scores(reference, predicted)
    assert plain["accuracy"][0] == pytest.approx(accuracy_score(reference, predicted))
    for name in ("macro", "weighted"):
        theirs = f1_score(reference, predicted, average=name, zero_division=0)
        assert plain[f"{name}_f1"][0] == pytest.approx(theirs)
    # Weights of whole numbers are the same as clips repeated so often.
    if weights.sum() > 0:
        repeated = [np.repeat(side, weights.astype(int)) for side in (reference, predicted)]
        weighted = classification_scores(reference, predicted, weights)
        for name in ("accuracy", "weighted_f1"):
            assert weighted[name][0] == pytest.approx(classification_scores(*repeated)[name][0])
        # A class that all its clips were taken from says nothing, one that never had any scores 0.
        there = [each for each in np.union1d(reference, predicted) if each in repeated[0]]
        strange = np.setdiff1d(predicted, reference)
        theirs = f1_score(*repeated, labels=[*there, *strange], average="macro", zero_division=0)
        assert weighted["macro_f1"][0] == pytest.approx(theirs)


def test_a_class_that_a_draw_missed_does_not_sink_its_macro_f1() -> None:
    reference, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    missed = classification_scores(reference, predicted, np.array([1.0, 1, 0, 1]))
    # Class 0: 2 of 3; class 1 has no clip here, though one was taken for it; class 2: right.
    assert missed["macro_f1"][0] == pytest.approx((2 / 3 + 1) / 2)


def test_tables_equal_scikit_learn() -> None:
    chance = np.random.default_rng(0)
    reference, predicted = chance.integers(0, 4, 200), chance.integers(1, 5, 200)
    train = np.array([0, 0, 3])
    table = class_table(reference, predicted, NAMES, train)
    theirs = precision_recall_fscore_support(reference, predicted, zero_division=0)
    for row, (precision, recall, f1, support) in zip(table, zip(*theirs, strict=True), strict=True):
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision, recall, f1))
        assert row.support == support
    assert [row.name for row in table] == list(NAMES)
    assert [row.support_train for row in table] == [2, 0, 0, 1, 0]
    found = confusion(reference, predicted, NAMES)
    np.testing.assert_array_equal(found.counts, confusion_matrix(reference, predicted))
    assert found.counts.sum() == 200


def test_classes_that_nobody_has_or_predicts_take_no_part() -> None:
    table = class_table(np.array([1, 1]), np.array([1, 3]), NAMES, np.array([0, 1, 3]))
    assert [row.name for row in table] == ["wind", "dog"]
    found = confusion(np.array([1, 1]), np.array([1, 3]), NAMES)
    assert found.names == ("wind", "dog")
    np.testing.assert_array_equal(found.counts, [[1, 1], [0, 0]])


def test_perfect_scores_one_and_empty_scores_zero() -> None:
    labels = np.array([0, 2, 2, 4])
    assert all(values == [1] for values in classification_scores(labels, labels).values())
    assert all(values == [0] for values in classification_scores(labels[:0], labels[:0]).values())


def test_refuses_unknown_labels_and_unlike_lengths() -> None:
    with pytest.raises(RequestError, match="a negative class number means unknown"):
        classification_scores(np.array([0, -1]), np.array([0, 0]))
    with pytest.raises(RequestError, match="predicted: 2 entries are expected, one per vector; given: 3"):
        classification_scores(np.array([0, 1]), np.array([0, 1, 1]))


def test_all_draws_at_once_equal_one_draw_at_a_time() -> None:
    chance = np.random.default_rng(1)
    reference, predicted = chance.integers(0, 5, 60), chance.integers(0, 6, 60)
    weights = chance.integers(0, 4, size=(7, 60)).astype(float)
    weights[3] = 0
    together = classification_scores(reference, predicted, weights)
    for draw, row in enumerate(weights):
        for name, values in classification_scores(reference, predicted, row).items():
            assert together[name][draw] == pytest.approx(values[0], abs=1e-15)


def test_skills_are_one_less_the_losses_of_scikit_learn_over_those_of_guessing() -> None:
    rng, classes = np.random.default_rng(0), np.array([1, 2, 4])
    reference = rng.choice(classes, 50)
    probabilities = rng.dirichlet(np.ones(3), 50) * 0.95 + 0.05 / 3
    frequencies = np.array([0.5, 0.3, 0.2])
    guesses = np.tile(frequencies, (50, 1))
    for name, values in skill_scores(reference, classes, probabilities, frequencies).items():
        loss = {"log_loss_skill": log_loss, "brier_skill": brier_score_loss}[name]
        ours, theirs = (loss(reference, given, labels=classes) for given in (probabilities, guesses))
        assert values.mean() == pytest.approx(1 - ours / theirs), name
        assert skill_scores(reference, classes, guesses, frequencies)[name].mean() == pytest.approx(0)


def test_one_clip_costs_a_bounded_loss_and_a_class_without_a_column_has_probability_zero() -> None:
    classes, frequencies = np.arange(2), np.array([0.5, 0.5])
    scores = skill_scores(np.array([0, 1, 1, 2]), classes, np.eye(2)[[0, 1, 0, 0]], frequencies)
    least, guess = np.log(200), (3 * np.log(2) + np.log(200)) / 4
    np.testing.assert_allclose(scores["log_loss_skill"], 1 - np.array([0, 0, least, least]) / guess)
    guess = (3 * 0.5 + 1.5) / 4
    np.testing.assert_allclose(scores["brier_skill"], 1 - np.array([0, 0, 2, 2]) / guess)
    with pytest.raises(RequestError, match="probabilities"):
        skill_scores(np.array([0, 1]), classes, np.eye(2)[[0]], frequencies)
