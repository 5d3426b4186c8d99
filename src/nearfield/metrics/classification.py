"""Scores of predicted labels: accuracy, F1, the table per class, the confusion matrix.

Conventions
-----------
Labels are class numbers 0..C-1; `reference` comes before `predicted`. Scores are in 0..1, 1 is best. A class
that is neither in the reference nor predicted takes no part; a share of nothing is 0, as in scikit-learn.
`weights` (N,) count a clip several times or not at all, which is how resampling asks for a score. Macro F1 is
then the mean over the classes that the draw has clips of: what a class would score there is not known, and 0,
which one clip wrongly taken for it would make of it, would sink the draw.

Metrics
-------
- `accuracy`: share of clips with the right label.
- `macro_f1`: mean over classes of F1 = 2 tp / (2 tp + fp + fn); rare classes count like common ones.
- `weighted_f1`: the same, classes weighted by their clips in the reference.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.types import Floats, Ints
from nearfield.metrics.checks import check_lengths


@dataclass(frozen=True)
class ClassScore:
    """How one class fared."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    """Clips of the class in the reference."""
    support_train: int
    """Clips of the class that the probe could learn from."""


@dataclass(frozen=True)
class Confusion:
    """Who is taken for whom."""

    names: tuple[str, ...]
    counts: Ints
    """(C, C): rows are the reference, columns what was predicted."""


def classification_scores(
    reference: Ints, predicted: Ints, weights: Floats | None = None
) -> dict[str, Floats]:
    """Every metric of this file: names to (draws,) for `weights` (draws, N), or to (1,) without weights.

    Raises RequestError where a label is negative or lengths differ. No clips at all score 0.
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


def class_table(
    reference: Ints, predicted: Ints, names: tuple[str, ...], train_labels: Ints
) -> tuple[ClassScore, ...]:
    """Precision, recall, F1 and supports of every class that is in the reference or predicted."""
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
    """The confusion matrix over the classes that are in the reference or predicted."""
    validate(reference, predicted)
    present = np.union1d(reference, predicted)
    counts = np.zeros((len(present), len(present)), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(present, reference), np.searchsorted(present, predicted)), 1)
    return Confusion(tuple(names[number] for number in present), counts)


def report(found: Confusion) -> Floats:
    """(C, 3) precision, recall and F1 of each class of a confusion matrix."""
    right, support, claimed = np.diag(found.counts), found.counts.sum(1), found.counts.sum(0)
    parts = (claimed, support, (support + claimed) / 2)
    return np.stack([right / np.where(part > 0, part, 1) for part in parts], axis=1)


def validate(reference: Ints, predicted: Ints) -> None:
    """Raises RequestError unless both are class numbers of the same clips."""
    check_lengths(len(reference), predicted=predicted)
    if min(reference.min(initial=0), predicted.min(initial=0)) < 0:
        raise RequestError("labels: a negative class number means not known; leave such clips out first.")


def _counts(reference: Ints, predicted: Ints, classes: int, weights: Floats) -> Floats:
    """(3, draws, C): clips rightly of each class, of it, predicted as it, under `weights` (draws, N)."""
    hits, every = np.flatnonzero(reference == predicted), np.arange(len(reference))
    rows = np.concatenate([hits, every, every])
    columns = np.concatenate([reference[hits], classes + reference, 2 * classes + predicted])
    # One sparse product for all draws: a count a draw and class would take a pass over the clips each.
    from scipy.sparse import csr_array  # at the first use: many commands load this and count nothing

    places = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(reference), 3 * classes))
    counts = np.asarray(places.T @ weights.T)
    return counts.reshape(3, classes, len(weights)).transpose(0, 2, 1)
