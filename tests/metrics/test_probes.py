"""Probes: against scikit-learn, choice on val only, classes that train lacks, the vote."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from nearfield.core.errors import RequestError
from nearfield.core.rng import torch_stream
from nearfield.metrics.classification import classification_scores
from nearfield.metrics.neighbors import Search
from nearfield.metrics.probes import (
    EPOCHS,
    STRENGTHS,
    Labelled,
    dense_predictions,
    fit_label_probe,
    probe_curve,
    vote,
)


def _clips(count: int, seed: int, apart: float = 0.9) -> Labelled:
    chance = np.random.default_rng(seed)
    labels = chance.choice([0, 2, 3, 7], size=count, p=[0.4, 0.3, 0.2, 0.1])
    centres = np.random.default_rng(99).standard_normal((8, 10)) * apart
    vectors = centres[labels] + chance.standard_normal((count, 10))
    return Labelled((vectors * np.arange(1, 11)).astype(np.float32), labels)


def test_equals_scikit_learn_on_standardised_vectors() -> None:
    train, test = _clips(200, 0), _clips(300, 1)
    probe = fit_label_probe(train, strength=1.0)
    scaler = StandardScaler().fit(train.vectors.astype(float))
    here, there = (scaler.transform(side.vectors.astype(float)) for side in (train, test))
    theirs = LogisticRegression(C=1.0, tol=1e-9, max_iter=10_000).fit(here, train.labels)
    np.testing.assert_allclose(probe.probabilities(test.vectors), theirs.predict_proba(there), atol=1e-6)
    np.testing.assert_array_equal(probe.predict(test.vectors), theirs.predict(there))
    assert probe.model.converged
    assert probe.classes.tolist() == [0, 2, 3, 7]


def test_strength_is_the_best_on_val_and_the_model_still_only_train() -> None:
    train, val = _clips(60, 2, apart=0.4), _clips(200, 3, apart=0.4)
    probe = fit_label_probe(train, val)
    scores = [
        float(
            classification_scores(val.labels, fit_label_probe(train, strength=strength).predict(val.vectors))[
                "macro_f1"
            ][0]
        )
        for strength in STRENGTHS
    ]
    assert probe.chosen
    assert probe.strength == STRENGTHS[int(np.argmax(scores))]
    again = fit_label_probe(train, strength=probe.strength)
    np.testing.assert_allclose(probe.model.weights, again.model.weights, atol=1e-3)


def test_probabilities_are_of_the_strength_with_the_least_log_loss_on_val() -> None:
    train, val, test = _clips(60, 2, apart=0.6), _clips(200, 3, apart=0.6), _clips(50, 4, apart=0.6)
    probe = fit_label_probe(train, val)
    fitted = [fit_label_probe(train, strength=strength) for strength in STRENGTHS]
    losses = [log_loss(val.labels, each.probabilities(val.vectors)) for each in fitted]
    best = fitted[int(np.argmin(losses))]
    assert best.strength != probe.strength
    assert probe.calibrated.converged
    np.testing.assert_allclose(probe.probabilities(test.vectors), best.probabilities(test.vectors), atol=1e-4)


def test_ties_go_to_the_stronger_regularisation() -> None:
    train = Labelled(np.array([[-1.0], [-1.0], [1.0], [1.0]], dtype=np.float32), np.array([0, 0, 1, 1]))
    assert fit_label_probe(train, train).strength == STRENGTHS[0]
    assert fit_label_probe(train).strength == 1.0
    assert not fit_label_probe(train).chosen


def test_balanced_probes_hear_rare_classes_more_often() -> None:
    train, test = _clips(300, 4, apart=0.3), _clips(500, 5, apart=0.3)
    plain = fit_label_probe(train, strength=0.1).predict(test.vectors)
    fair = fit_label_probe(train, strength=0.1, balanced=True).predict(test.vectors)
    assert (fair == 7).sum() > (plain == 7).sum()


def test_a_class_that_train_lacks_is_never_predicted_and_one_class_is_refused() -> None:
    train, test = _clips(100, 6), _clips(50, 7)
    known = train.labels != 7
    probe = fit_label_probe(Labelled(train.vectors[known], train.labels[known]), test)
    assert 7 not in probe.predict(test.vectors)
    with pytest.raises(RequestError, match="two classes or more; given: 1"):
        fit_label_probe(Labelled(train.vectors[:3], np.array([2, 2, 2])))
    with pytest.raises(RequestError, match="negative class number"):
        Labelled(train.vectors[:2], np.array([0, -1]))


def test_vote_equals_scikit_learn_where_it_is_not_tied() -> None:
    train, test = _clips(150, 8), _clips(100, 9)
    search = Search(test.vectors, train.vectors, "euclidean")
    for count in (1, 5):
        theirs = KNeighborsClassifier(count).fit(train.vectors, train.labels)
        probabilities = np.sort(theirs.predict_proba(test.vectors), axis=1)
        clear = probabilities[:, -1] > probabilities[:, -2]
        ours = vote(search, train.labels, count)
        np.testing.assert_array_equal(ours[clear], theirs.predict(test.vectors)[clear])


def test_a_tied_vote_goes_to_the_nearest_and_nobody_gives_no_label() -> None:
    gallery = np.array([[1.0], [2.0], [3.0], [4.0]], dtype=np.float32)
    query = np.zeros((1, 1), dtype=np.float32)
    labels = np.array([5, 1, 1, 5])
    assert vote(Search(query, gallery, "euclidean"), np.array([5, 1, 5, 1]), 4).tolist() == [5]
    assert vote(Search(query, gallery, "euclidean"), labels, 4).tolist() == [5]
    assert vote(Search(query, gallery, "euclidean"), labels, 3).tolist() == [1]
    # Fewer clips than voters: those there are.
    assert vote(Search(query, gallery, "euclidean"), labels, 9).tolist() == [5]
    assert vote(Search(query, gallery[:0], "euclidean"), labels[:0]).tolist() == [-1]


def test_the_dense_probe_reads_what_no_plane_divides_and_repeats_itself() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.uniform(-1, 1, (600, 2)).astype(np.float32)
    labels = (vectors[:, 0] * vectors[:, 1] > 0).astype(np.int64)
    train, val = Labelled(vectors[:300], labels[:300]), Labelled(vectors[300:400], labels[300:400])
    dense = dense_predictions(train, val, vectors[400:])
    straight = fit_label_probe(train, val).predict(vectors[400:])
    assert (dense == labels[400:]).mean() > 0.9
    assert (straight == labels[400:]).mean() < 0.7
    np.testing.assert_array_equal(dense, dense_predictions(train, val, vectors[400:]))
    assert (dense_predictions(train, None, vectors[400:]) == labels[400:]).mean() > 0.8


def test_the_probes_curve_goes_from_chance_to_where_plain_torch_goes() -> None:
    """The same layer, steps and order by torch alone; the solved probe's figures by scikit-learn."""
    train, here = _clips(200, 0), _clips(300, 1)
    here.labels[:7] = 5  # a class that train lacks: wrong in F1, left out of the cross-entropy
    probe = fit_label_probe(train, strength=1.0)
    curve = probe_curve(probe, train, here)
    assert curve is not None
    scaler = StandardScaler().fit(train.vectors.astype(float))
    given = torch.from_numpy(scaler.transform(train.vectors.astype(float)).astype(np.float32))
    codes = torch.from_numpy(np.searchsorted([0, 2, 3, 7], train.labels))
    layer = torch.nn.Linear(10, 4)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    adam, chance, wanted = torch.optim.Adam(layer.parameters(), lr=1e-3), torch_stream(0, "probe curve"), []
    for _ in range(EPOCHS):
        order = torch.randperm(200, generator=chance)
        for start in range(0, 200, 64):
            loss = torch.nn.functional.cross_entropy(
                layer(given[order[start : start + 64]]), codes[order[start : start + 64]]
            )
            adam.zero_grad()
            loss.backward()
            adam.step()
        wanted.append(log_loss(train.labels, torch.softmax(layer(given), 1).detach().numpy()))
    assert curve.train_cross_entropy == pytest.approx(wanted, rel=1e-3)
    assert curve.train_cross_entropy[0] < np.log(4)
    assert curve.train_cross_entropy[-1] < 0.8 * curve.train_cross_entropy[0]
    told = probe.probabilities(here.vectors)
    assert curve.solved_cross_entropy == pytest.approx(
        log_loss(here.labels[7:], told[7:], labels=[0, 2, 3, 7]), rel=1e-6
    )
    classes = sorted(set(here.labels) | set(probe.predict(here.vectors)))
    score = f1_score(here.labels, probe.predict(here.vectors), average="macro", labels=classes)
    assert curve.solved_macro_f1 == pytest.approx(score)
    assert len(curve.macro_f1) == len(curve.cross_entropy) == EPOCHS
    assert probe_curve(probe, train, Labelled(here.vectors[:7], here.labels[:7])) is None
