"""Scores of predicted labels: accuracy, F1, skill of probabilities, scores per class, confusion matrix.

Conventions
-----------
Labels are class numbers 0..C-1; `reference` comes before `predicted`. Scores are in 0..1, 1 is best. A class
that is neither in the reference nor predicted is ignored; 0 / 0 is 0, as in scikit-learn. `weights` are the
number of times that each clip counts, as needed for resampling. Macro F1 of a resample is the mean over the
classes that it has clips of. Other classes are left out: their F1 is unknown, and a single false positive
would set it to 0.

Metrics
-------
- `accuracy`: fraction of clips with the correct label.
- `macro_f1`: mean over classes of F1 = 2 tp / (2 tp + fp + fn); rare and frequent classes weigh the same.
- `weighted_f1`: the same, with classes weighted by their number of clips in the reference.
- `log_loss_skill`, `brier_skill`: 1 - L / L0, where L is the mean over clips of a loss of the predicted
  probabilities p, and L0 that of guessing with the frequencies of the classes. 1 is best, 0 is guessing; a
  classifier that is sure and wrong is below 0. The loss of a clip of class y is -ln p_y, where p_y below
  `LEAST` / C counts as that, or the sum over C classes of (p_k - [k = y])^2 (Brier 1950).

Skill scores (Murphy 1973) are the losses on a scale on which higher is better, as for all other scores, and
on which 0 and 1 mean the same for any number of classes.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.types import Floats, Ints
from nearfield.metrics.checks import check_lengths


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    """Number of clips of the class in the reference."""
    support_train: int
    """Number of clips of the class in train."""


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix with its class names."""

    names: tuple[str, ...]
    counts: Ints
    """(C, C): rows are the reference, columns the predictions."""


def classification_scores(
    reference: Ints, predicted: Ints, weights: Floats | None = None
) -> dict[str, Floats]:
    """Computes accuracy, macro F1 and weighted F1.

    Parameters
    ----------
    reference, predicted
        (N,) class numbers.
    weights
        (draws, N) number of times that each clip counts in each resample.

    Returns
    -------
    dict
        `accuracy`, `macro_f1` and `weighted_f1`, each (draws,), or (1,) without weights; 0 for no clips.

    Raises
    ------
    RequestError
        If a label is negative or lengths differ.
    """
    validate(reference, predicted)
    given = np.ones((1, len(reference))) if weights is None else np.atleast_2d(weights)
    classes = int(max(reference.max(initial=-1), predicted.max(initial=-1))) + 1
    right, support, claimed = _counts(reference, predicted, classes, given)
    total = given.sum(axis=1)
    f1 = 2 * right / np.where(support + claimed > 0, support + claimed, 1)
    in_all = np.bincount(reference, minlength=classes) > 0
    named = np.bincount(predicted, minlength=classes) > 0
    taken = np.where(in_all, support > 0, named)
    safe_total = np.where(total > 0, total, 1)
    return {
        "accuracy": right.sum(axis=1) / safe_total,
        "macro_f1": (f1 * taken).sum(axis=1) / np.maximum(taken.sum(axis=1), 1),
        "weighted_f1": (f1 * support).sum(axis=1) / safe_total,
    }


LEAST = 0.01
"""The smallest probability in a logarithm, in units of 1 / C: the loss of a clip is at most ln(C / LEAST)."""


def skill_scores(
    reference: Ints, classes: Ints, probabilities: Floats, frequencies: Floats
) -> dict[str, Floats]:
    """Computes the skill of predicted probabilities by log-loss and by Brier score.

    Parameters
    ----------
    reference
        (N,) class numbers.
    classes
        (C,) the class number of each column, ascending. A clip of another class has probability 0.
    probabilities
        (N, C) predicted probabilities.
    frequencies
        (C,) probabilities of the guess, which both losses are compared with.

    Returns
    -------
    dict
        `log_loss_skill` and `brier_skill`, each (N,): 1 - the loss of the clip / the mean loss of the guess,
        so that their means are the skill scores.

    Raises
    ------
    RequestError
        If lengths differ.
    """
    check_lengths(len(reference), probabilities=probabilities)
    check_lengths(len(classes), probabilities=probabilities.T, frequencies=frequencies)
    truth = (reference[:, None] == classes).astype(np.float64)
    losses, guessed = (_losses(truth, given) for given in (probabilities, frequencies[None]))
    return {f"{name}_skill": 1 - loss / guessed[name].mean() for name, loss in losses.items()}


def _losses(truth: Floats, probabilities: Floats) -> dict[str, Floats]:
    """(N,) losses of (N, C) or (1, C) probabilities; `truth` (N, C) has a 1 for the class of each clip."""
    right = (truth * probabilities).sum(axis=1)
    squares = ((probabilities - truth) ** 2).sum(axis=1)
    return {
        "log_loss": -np.log(np.maximum(right, LEAST / truth.shape[1])),
        # A class without a column is a column of zeros, whose error is 1.
        "brier": squares + (1 - truth.sum(axis=1)),
    }


def class_table(
    reference: Ints, predicted: Ints, names: tuple[str, ...], train_labels: Ints
) -> tuple[ClassScore, ...]:
    """Computes precision, recall, F1 and supports of each class in the reference or in the predictions.

    Parameters
    ----------
    reference, predicted
        (N,) class numbers.
    names
        Names of the classes.
    train_labels
        Class numbers of train, for `support_train`.

    Returns
    -------
    tuple of ClassScore
        One entry per class.
    """
    validate(reference, predicted)
    right, support, claimed = _counts(reference, predicted, len(names), np.ones((1, len(reference))))[:, 0]
    in_train = np.bincount(train_labels, minlength=len(names))
    table = []
    for number in np.flatnonzero(support + claimed > 0).tolist():
        hits, here, named = float(right[number]), float(support[number]), float(claimed[number])
        table.append(
            ClassScore(
                name=names[number],
                precision=hits / named if named else 0.0,
                recall=hits / here if here else 0.0,
                f1=2 * hits / (here + named),
                support=int(here),
                support_train=int(in_train[number]),
            )
        )
    return tuple(table)


def confusion(reference: Ints, predicted: Ints, names: tuple[str, ...]) -> Confusion:
    """Computes the confusion matrix of the classes in the reference or in the predictions.

    Parameters
    ----------
    reference, predicted
        (N,) class numbers.
    names
        Names of the classes.

    Returns
    -------
    Confusion
        Counts, with the reference in rows.
    """
    validate(reference, predicted)
    present = np.union1d(reference, predicted)
    counts = np.zeros((len(present), len(present)), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(present, reference), np.searchsorted(present, predicted)), 1)
    return Confusion(tuple(names[number] for number in present), counts)


def report(found: Confusion) -> Floats:
    """Returns precision, recall and F1 of each class of a confusion matrix, (C, 3)."""
    right, support, claimed = np.diag(found.counts), found.counts.sum(1), found.counts.sum(0)
    parts = (claimed, support, (support + claimed) / 2)
    return np.stack([right / np.where(part > 0, part, 1) for part in parts], axis=1)


def validate(reference: Ints, predicted: Ints) -> None:
    """Raises RequestError unless both arrays are class numbers of the same length."""
    check_lengths(len(reference), predicted=predicted)
    if min(reference.min(initial=0), predicted.min(initial=0)) < 0:
        raise RequestError("labels: a negative class number means unknown. Leave such clips out.")


def _counts(reference: Ints, predicted: Ints, classes: int, weights: Floats) -> Floats:
    """(3, draws, C): correct, reference and predicted clips per class, under `weights` (draws, N)."""
    hits, every = np.flatnonzero(reference == predicted), np.arange(len(reference))
    rows = np.concatenate([hits, every, every])
    columns = np.concatenate([reference[hits], classes + reference, 2 * classes + predicted])
    # One sparse product counts all draws and classes in a single pass over the clips.
    from scipy.sparse import csr_array  # deferred: many commands import this module without using it

    places = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(reference), 3 * classes))
    counts = np.asarray(places.T @ weights.T)
    return counts.reshape(3, classes, len(weights)).transpose(0, 2, 1)
