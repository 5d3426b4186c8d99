"""Does a space give away what it should not: the microphone, the session, the speaker?

A linear probe tries to read a further column of the collection. What it reads above chance is in the space,
and may be what makes clips near each other instead of their sound.

Conventions
-----------
Vectors (N, D); a column is class numbers (N,), -1 where empty. A column is asked about where 2 to 50 of its
values occur on both sides. Where the split keeps the values apart (speakers, say), the probe cannot be judged
across it: then the clips of the judged side are halved, whole recordings together where a value has
several, and the probe learns on one half and is judged on the other.

Metrics: `nuisance/{column}/macro_f1`, `.../accuracy`, and `.../chance`, the macro F1 of guessing by the
values' shares.
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
"""Values beyond which a column is left alone: it names clips rather than conditions."""


@dataclass(frozen=True)
class ColumnScore:
    """How well a column can be read out of a space."""

    macro_f1: float
    accuracy: float
    chance: float
    """Macro F1 of guessing by the values' shares."""
    interval: tuple[float, float] | None
    """95 % interval of macro F1 for the finite set of judged clips."""
    values: int
    """Values of the column on both sides."""
    at: Ints
    """(n,) rows that were judged."""
    predicted: Ints
    """(n,) what was read."""
    halved: bool
    """Whether the values stood on one side only, and the judged clips were halved."""


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
    """Reads `column` (N,) out of `vectors` (N, D): rows `train` teach, rows `test` judge.

    `val` rows choose the probe's strength, which is 1 without them. `sources` (N,) are resampled for the
    interval and kept whole where clips are halved; without them clips are. None where fewer than two values,
    or more than `MOST`, can be asked about.
    """
    check_lengths(len(vectors), column=column, sources=sources)
    sources = np.full(len(column), -1) if sources is None else sources
    splits = _sides(column, train, test, sources, seed)
    if splits is None:
        return None
    teach, judged, halved = splits
    choose = None
    if val is not None and not halved:
        rows = val[np.isin(column[val], column[teach])]
        choose = Labelled(vectors[rows], column[rows]) if len(rows) else None
    probe = fit_label_probe(Labelled(vectors[teach], column[teach]), choose)
    predicted, reference = probe.predict(vectors[judged]), column[judged]
    scores = {name: float(values[0]) for name, values in classification_scores(reference, predicted).items()}
    interval = None
    if draws:
        resamples = Resamples.of(sources[judged], draws, seed)
        drawn = resamples.apply(lambda weights: _macro_f1(reference, predicted, weights))
        interval = share_interval(scores["macro_f1"], drawn, resamples.groups)
    chance = guess_scores(column[teach], reference)["macro_f1"]
    values = len(probe.classes)
    return ColumnScore(
        scores["macro_f1"], scores["accuracy"], chance, interval, values, judged, predicted, halved
    )


def measure_columns(case: Case, found: Findings) -> None:
    """Adds the metrics of every column of the settings that the split allows to ask about."""
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
            found.note(f"nuisance: no probe of {name!r}: 2 to {MOST} values on both sides are needed.")
            continue
        if score.halved:
            found.note(
                f"nuisance: the split keeps the values of {name!r} apart; its probe learnt on one half of "
                "the judged clips and was judged on the other."
            )
        found.metrics |= {
            f"nuisance/{name}/macro_f1": score.macro_f1,
            f"nuisance/{name}/accuracy": score.accuracy,
            f"nuisance/{name}/chance": score.chance,
        }
        if found.resamples is not None:
            drawn = _redrawn(found.resamples, here.metadata.columns[name], score)
            found.drawn(f"nuisance/{name}/macro_f1", drawn, score.at)


def _redrawn(resamples: Resamples, column: Ints, score: ColumnScore) -> Floats:
    """(draws,) macro F1 of the judged clips in the evaluation's own draws."""
    reference = column[score.at]
    return resamples.apply(lambda weights: _macro_f1(reference, score.predicted, weights[:, score.at]))


def _macro_f1(reference: Ints, predicted: Ints, weights: Floats) -> Floats:
    return classification_scores(reference, predicted, weights)["macro_f1"]


def _sides(column: Ints, train: Ints, test: Ints, sources: Ints, seed: int) -> tuple[Ints, Ints, bool] | None:
    """Rows that teach, rows that judge, and whether they are halves of `test`."""
    known = [rows[column[rows] >= 0] for rows in (train, test)]
    both = np.intersect1d(column[known[0]], column[known[1]])
    if len(both) > MOST:
        return None
    if len(both) > 1:
        teach, judged = (rows[np.isin(column[rows], both)] for rows in known)
        return teach, judged, False
    first = _half(column[known[1]], sources[known[1]], seed)
    teach, judged = known[1][first], known[1][~first]
    shared = np.intersect1d(column[teach], column[judged])
    if not 2 <= len(shared) <= MOST:
        return None
    teach, judged = (rows[np.isin(column[rows], shared)] for rows in (teach, judged))
    return teach, judged, True


def _half(values: Ints, sources: Ints, seed: int) -> Bools:
    """(n,) the first half of every value's clips: of its sources where it has several, else of its clips."""
    chance, first = stream(seed, "halves of a column"), np.zeros(len(values), dtype=bool)
    units = np.where(sources >= 0, sources, -1 - np.arange(len(sources)))
    for value in np.unique(values).tolist():
        rows = np.flatnonzero(values == value)
        names = np.unique(units[rows])
        parts = (
            [rows[units[rows] == name] for name in names]
            if len(names) > 1
            else [rows[[i]] for i in range(len(rows))]
        )
        order = chance.permutation(len(parts))
        for place in order[: len(parts) // 2]:
            first[parts[place]] = True
    return first
