"""Nuisance factors: how well a linear probe predicts the microphone, session or speaker from embeddings.

If a probe predicts a further column of the collection better than chance, the embeddings encode it, and clips
may be near each other because of it rather than because of their sound.

Conventions
-----------
Embeddings (N, D); a column is class numbers (N,), -1 where empty. A column is probed if 2 to 50 of its values
occur in both train and the evaluated split. If the splits share too few values (speakers, for example), the
evaluated clips are divided in two halves, with whole recordings in one half if a value has several. The probe
is fitted on one half and evaluated on the other.

Metrics: `nuisance/{column}/macro_f1`, `.../accuracy`, and `.../chance`, the macro F1 of guessing by the
frequencies of the values.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.metrics.chance import guess_scores
from nearfield.metrics.checks import check_lengths
from nearfield.metrics.classification import classification_scores
from nearfield.metrics.intervals import Resamples, share_interval
from nearfield.metrics.probes import Labelled, fit_label_probe
from nearfield.metrics.result import Case, Findings

MOST = 50
"""Largest number of values of a probed column; with more, it identifies clips rather than conditions."""


@dataclass(frozen=True)
class ColumnScore:
    """Scores of a probe that predicts a column."""

    macro_f1: float
    accuracy: float
    chance: float
    """Macro F1 of guessing by the frequencies of the values."""
    interval: tuple[float, float] | None
    """95 % interval of macro F1 for the finite set of evaluated clips."""
    values: int
    """Number of values of the column in both parts."""
    at: Ints
    """(n,) evaluated rows."""
    predicted: Ints
    """(n,) predicted class numbers."""
    halved: bool
    """Whether the evaluated clips were halved, because the splits share too few values."""


def column_probe(
    vectors: Vectors,
    column: Ints,
    train: Ints,
    test: Ints,
    val: Ints | None = None,
    sources: Ints | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> ColumnScore | None:
    """Fits a linear probe that predicts a column from embeddings, and evaluates it.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    column
        (N,) class numbers of the column; -1 means empty.
    train, test
        Rows for fitting and for evaluation.
    val
        Rows that choose the regularization; without them C is 1.
    sources
        (N,) groups to resample for the interval, which are kept whole when clips are halved; without them,
        clips are resampled.
    draws
        Number of resamples; 0 for no interval.
    seed
        Seed of resamples and halves.

    Returns
    -------
    ColumnScore or None
        None if fewer than two or more than `MOST` values can be probed.
    """
    check_lengths(len(vectors), column=column, sources=sources)
    sources = np.full(len(column), -1) if sources is None else sources
    parts = _fit_and_test_rows(column, train, test, sources, seed)
    if parts is None:
        return None
    fitted, tested, halved = parts
    choose = None
    if val is not None and not halved:
        rows = val[np.isin(column[val], column[fitted])]
        choose = Labelled(vectors[rows], column[rows]) if len(rows) else None
    probe = fit_label_probe(Labelled(vectors[fitted], column[fitted]), choose)
    predicted, reference = probe.predict(vectors[tested]), column[tested]
    scores = {name: float(values[0]) for name, values in classification_scores(reference, predicted).items()}
    interval = None
    if draws:
        resamples = Resamples.of(sources[tested], draws, seed)
        drawn = resamples.apply(lambda weights: _macro_f1(reference, predicted, weights))
        interval = share_interval(scores["macro_f1"], drawn, resamples.groups)
    chance = guess_scores(column[fitted], reference)["macro_f1"]
    values = len(probe.classes)
    return ColumnScore(
        scores["macro_f1"], scores["accuracy"], chance, interval, values, tested, predicted, halved
    )


def measure_columns(case: Case, found: Findings) -> None:
    """Adds the metrics of each column of the settings that can be probed."""
    here, train = case.here, case.train
    for name in case.settings.columns:
        if name not in here.metadata.columns:
            continue
        size = len(here)
        score = column_probe(
            np.concatenate([here.vectors, train.vectors]),
            np.concatenate([here.metadata.columns[name], train.metadata.columns[name]]),
            size + np.arange(len(train)),
            np.arange(size),
            sources=np.concatenate([here.sources, train.sources]),
            draws=0,
            seed=case.settings.seed,
        )
        if score is None:
            found.note(f"nuisance: no probe of {name!r}: 2 to {MOST} values in both splits are needed.")
            continue
        if score.halved:
            found.note(
                f"nuisance: the splits share too few values of {name!r}; the probe was fitted on one half of "
                "the evaluated clips and evaluated on the other."
            )
        found.metrics |= {
            f"nuisance/{name}/macro_f1": score.macro_f1,
            f"nuisance/{name}/accuracy": score.accuracy,
            f"nuisance/{name}/chance": score.chance,
        }
        if found.resamples is not None:
            drawn = _resampled(found.resamples, here.metadata.columns[name], score)
            found.drawn(f"nuisance/{name}/macro_f1", drawn, score.at)


def _resampled(resamples: Resamples, column: Ints, score: ColumnScore) -> Floats:
    """(draws,) macro F1 of the evaluated clips in the resamples of the evaluation."""
    reference = column[score.at]
    return resamples.apply(lambda weights: _macro_f1(reference, score.predicted, weights[:, score.at]))


def _macro_f1(reference: Ints, predicted: Ints, weights: Floats) -> Floats:
    return classification_scores(reference, predicted, weights)["macro_f1"]


def _fit_and_test_rows(
    column: Ints, train: Ints, test: Ints, sources: Ints, seed: int
) -> tuple[Ints, Ints, bool] | None:
    """Rows for fitting, rows for evaluation, and whether they are halves of `test`."""
    known = [rows[column[rows] >= 0] for rows in (train, test)]
    both = np.intersect1d(column[known[0]], column[known[1]])
    if len(both) > MOST:
        return None
    if len(both) > 1:
        fitted, tested = (rows[np.isin(column[rows], both)] for rows in known)
        return fitted, tested, False
    first = _half(column[known[1]], sources[known[1]], seed)
    fitted, tested = known[1][first], known[1][~first]
    shared = np.intersect1d(column[fitted], column[tested])
    if not 2 <= len(shared) <= MOST:
        return None
    fitted, tested = (rows[np.isin(column[rows], shared)] for rows in (fitted, tested))
    return fitted, tested, True


def _half(values: Ints, sources: Ints, seed: int) -> Bools:
    """(n,) mask of a random half of each value's sources, or of its clips if it has one source."""
    rng, first = stream(seed, "halves of a column"), np.zeros(len(values), dtype=bool)
    units = np.where(sources >= 0, sources, -1 - np.arange(len(sources)))
    for value in np.unique(values).tolist():
        rows = np.flatnonzero(values == value)
        names = np.unique(units[rows])
        parts = (
            [rows[units[rows] == name] for name in names]
            if len(names) > 1
            else [rows[[i]] for i in range(len(rows))]
        )
        order = rng.permutation(len(parts))
        for place in order[: len(parts) // 2]:
            first[parts[place]] = True
    return first
