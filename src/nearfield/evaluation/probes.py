"""What simple readers make of a frozen space: a linear probe solved to tolerance, the nearest clips' vote.

Conventions
-----------
Vectors (N, D), labels class numbers 0..; clips of unknown label are left out before. A probe is fitted on
train alone; its strength C (smaller is stronger regularisation) is chosen on val by macro F1, ties going to
the stronger, and without val it is 1. Each clip is scored once. A class that train does not hold cannot be
predicted; its clips count as wrong.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats, Ints, Vectors
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.classification import classification_scores
from nearfield.evaluation.logistic import ROUGH, Logistic, Scaling, fit
from nearfield.evaluation.neighbours import Search, nearest

STRENGTHS = tuple(10.0**power for power in range(-4, 3))
"""The grid of C, from the strongest regularisation to the weakest."""

NEIGHBOURS = 5
"""Clips that vote in the nearest-neighbour probe."""


@dataclass(frozen=True)
class Labelled:
    """Clips with the one label of each."""

    vectors: Vectors
    """(N, D)"""
    labels: Ints
    """(N,) class numbers, none negative."""

    def __post_init__(self) -> None:
        check_vectors("vectors", self.vectors)
        check_lengths(len(self.vectors), labels=self.labels)
        if (self.labels < 0).any():
            raise RequestError("labels: a negative class number means not known; leave such clips out first.")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LabelProbe:
    """A linear reader of labels."""

    scaling: Scaling
    model: Logistic
    classes: Ints
    """The class number of each output."""
    strength: float
    """C"""
    chosen: bool
    """Whether C was chosen on val."""

    def probabilities(self, vectors: Vectors) -> Floats:
        """(N, classes of train), rows sum to one."""
        return self.model.probabilities(self.scaling(vectors))

    def predict(self, vectors: Vectors) -> Ints:
        """(N,) class numbers."""
        return np.asarray(self.classes[self.model.logits(self.scaling(vectors)).argmax(axis=1)])


def fit_label_probe(
    train: Labelled, val: Labelled | None = None, balanced: bool = False, strength: float | None = None
) -> LabelProbe:
    """Multinomial logistic regression on standardised vectors.

    `balanced` weights clips so that every class weighs alike; `strength` fixes C. Raises RequestError where
    train holds fewer than two classes.
    """
    classes, codes, counts = np.unique(train.labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise RequestError(f"probe: train must hold two classes or more; given: {len(classes)}.")
    scaling = Scaling.of(train.vectors)
    features, targets = scaling(train.vectors), np.eye(len(classes))[codes]
    weights = (len(codes) / (len(classes) * counts))[codes][:, None] if balanced else None
    if strength is not None or val is None or not len(val):
        model = fit(features, targets, "softmax", strength or 1.0, weights)
        return LabelProbe(scaling, model, classes, strength or 1.0, chosen=False)

    held_out, best, best_score = scaling(val.vectors), 0, -1.0
    path: list[Logistic] = []
    for number, candidate in enumerate(STRENGTHS):
        start = path[-1] if path else None
        path.append(fit(features, targets, "softmax", candidate, weights, start, ROUGH))
        predicted = classes[path[-1].logits(held_out).argmax(axis=1)]
        score = float(classification_scores(val.labels, predicted)["macro_f1"][0])
        if score > best_score:
            best, best_score = number, score
    model = fit(features, targets, "softmax", STRENGTHS[best], weights, path[best])
    return LabelProbe(scaling, model, classes, STRENGTHS[best], chosen=True)


def vote(search: Search, gallery_labels: Ints, neighbours: int = NEIGHBOURS) -> Ints:
    """(Q,) the label that most of the nearest gallery clips carry; of equals, the one met first.

    -1 where a query may find nobody.
    """
    index, _ = nearest(search, neighbours)
    padded = np.append(gallery_labels, -1)[index]
    votes = (padded[:, :, None] == padded[:, None, :]).sum(axis=2)
    votes[index < 0] = 0
    winner = votes.argmax(axis=1)
    return np.asarray(padded[np.arange(len(padded)), winner])
