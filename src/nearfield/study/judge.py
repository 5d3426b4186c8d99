"""Compares the arms of any table of scores, by the statistics of studies."""

import html
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError, RequestError, choose
from nearfield.core.files import write_json, write_text
from nearfield.core.rng import stream
from nearfield.core.text import count, enumerated
from nearfield.core.types import Ints
from nearfield.study.claims import plain, signed, turned
from nearfield.study.document.figures import draw_differences
from nearfield.study.records import Comparison, Conclusion
from nearfield.study.statistics.conclude import LEAST_SEEDS, PlannedTest, conclude
from nearfield.study.statistics.family import FALSE_CLAIMS
from nearfield.study.statistics.looks import ONE_LOOK
from nearfield.study.statistics.planning import MOST_SEEDS, MOST_TIMES, WANTED_POWER, groups_to_decide
from nearfield.study.statistics.two_way import Array, fold_count
from nearfield.training.plotting import MUTED, new_figure, quieten

# From a table of scores to the (arms, seeds, groups) array that the statistics take.

LEAST_GROUPS = 5
"""Without seeds, a comparison needs this many groups."""
MOST_ARMS = 100
LARGEST = 1e100
"""Largest size of a score."""
MISSING = {"", "nan", "na", "n/a", "null", "none"}
"""Cells, in lower case, that are no score."""
METADATA = {"", "id", "index", "split", "row", "number"}
"""Names of columns, in lower case, that are no arm of a wide table."""


@dataclass(frozen=True)
class ScoreColumns:
    """The names of the columns of a table of scores; None: the usual name, if there is such a column."""

    arm: str | None = None
    """What is compared: a model, a setting. A table without this column is wide: a column for each arm."""
    seed: str | None = None
    """Repetitions of the training, or of the measurement."""
    group: str | None = None
    """What was tested and is a sample of many: a recording, a speaker, a question, a data set."""
    score: str | None = None
    fold: str | None = None
    """The fold of each group in a cross-validation, if each group was tested in one fold only."""
    dataset: str | None = None
    """Data sets, if there are several: each is judged, and all together as a sample of such sets."""
    measure: str | None = None
    """Measures, if there are several: each is judged, at its part of the error rate."""

    def rename(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table with the usual names. Raises RequestError if a column that was named is missing."""
        frame = frame.rename(columns=str)
        names = asdict(self)
        given = {name: usual for usual, name in names.items() if name is not None}
        for name, usual in given.items():
            if name not in frame:
                raise RequestError(
                    f"--{usual}: the table has no column {name!r}. {choose(name, frame.columns)}"
                )
        taken = [usual for usual in given.values() if usual in frame and usual not in given]
        return frame.drop(columns=taken).rename(columns=given)


@dataclass(frozen=True)
class Scores:
    """Scores that can be compared."""

    arms: tuple[str, ...]
    """In the order in which the table names them."""
    table: Array
    """(arms, seeds, groups); without seeds (arms, groups, 1), so that groups count as repetitions."""
    has_seeds: bool
    has_groups: bool
    notes: tuple[str, ...]
    """What was left out or averaged, a sentence each."""
    folds: Ints | None = None
    """The fold (groups,) of each group; None without folds."""
    are_sets: bool = False
    """Whether the groups are data sets."""

    @classmethod
    def of(cls, frame: pd.DataFrame, is_paired: bool = True) -> "Scores":
        """Reads the scores of a table with the usual names of columns, long or wide.

        Raises RequestError if a column is missing or nothing can be compared; DataError for values that are
        not numbers.
        """
        notes = list[str]()
        long = _with_baselines(_nested(_long(frame, notes), is_paired))
        has_seeds, has_groups = "seed" in long, "group" in long
        if not has_seeds and not has_groups:
            raise RequestError(
                "The table has neither a column 'seed' nor 'group': chance cannot be "
                "estimated from one score for each arm. Name a column of repeated trainings (--seed) or of "
                f"test groups (--group). Columns: {', '.join(map(str, frame.columns))}."
            )
        arms = tuple(dict.fromkeys(long["arm"]))
        if len(arms) < 2:
            raise RequestError(f"arm: two arms are needed. Given: {enumerated(arms) or 'none'}.")
        if len(arms) > MOST_ARMS:
            raise RequestError(f"arm: at most {MOST_ARMS} arms are compared. Given: {len(arms)}.")
        if not has_seeds:
            long = long.assign(seed="0")
        elif not is_paired:
            long = _numbered(long)
        if not has_groups:
            long = long.assign(group="0")
        cells = long.groupby(["arm", "seed", "group"])["score"].agg(["mean", "size"])
        most = int(cells["size"].max())
        if most > 1:
            notes.append(
                f"Up to {most} rows have the same arm, seed and group: their mean is one score. If they are "
                "repetitions, name their column as --seed; if they are different tests, as --group."
            )
        cube = np.stack([_square(cells.loc[arm, "mean"], long) for arm in arms])
        cube, kept = _complete(cube, notes)
        folds = _folds(long, kept) if "fold" in long and has_groups and has_seeds else None
        _check_size(cube, has_seeds, has_groups, folds)
        table = cube if has_seeds else cube.transpose(0, 2, 1)
        return cls(arms, table, has_seeds, has_groups, tuple(notes), folds)

    @classmethod
    def in_general(cls, sets: Mapping[str, "Scores"]) -> "Scores":
        """The mean of each arm on each data set; the sets are the groups.

        Raises RequestError if too few sets have all arms.
        """
        arms = tuple(dict.fromkeys(arm for own in sets.values() for arm in own.arms))
        means = np.full((len(arms), len(sets)), np.nan)
        for place, own in enumerate(sets.values()):
            means[[arms.index(arm) for arm in own.arms], place] = own.table.mean((1, 2))
        whole = np.isfinite(means).all(0)
        if whole.sum() < LEAST_SEEDS:
            raise RequestError(
                f"dataset: {count(int(whole.sum()), 'data set')} with all arms; {LEAST_SEEDS} are needed to "
                "judge in general. Judge each by itself, or add data sets."
            )
        notes = list[str]()
        if without := [name for name, is_whole in zip(sets, whole, strict=True) if not is_whole]:
            notes.append(f"{enumerated(without)} left out in general, because an arm has no score there.")
        return cls(arms, means[:, whole, None], False, True, tuple(notes), are_sets=True)

    @property
    def seeds(self) -> int:
        """Repetitions of each arm; 1 if the table has none."""
        return self.table.shape[1] if self.has_seeds else 1

    @property
    def groups(self) -> int:
        """Test groups; 1 if the table has none."""
        if not self.has_groups:
            return 1
        groups: int = self.table.shape[2 if self.has_seeds else 1]
        return groups


def read(path: Path) -> pd.DataFrame:
    """A table of CSV (as text) or Parquet.

    Raises RequestError if there is no such file, DataError if it cannot be read.
    """
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file. Give a table (CSV or Parquet) of scores.")
    cure = "Write it as CSV (UTF-8, with commas) or Parquet."
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of rows that are longer than the head
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            found = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, index_col=False)
    except (ValueError, OSError, Warning) as error:
        raise DataError(f"{path}: the table cannot be read: {str(error).splitlines()[0]}. {cure}") from None
    found.columns = found.columns.str.strip()
    if found.columns.str.contains(r"\.\d+$").any() and _has_duplicates(path, separator):
        raise DataError(f"{path}: two columns have the same name. Rename or remove one.")
    if len(found.columns) == 1:
        raise DataError(f"{path}: the table has a single column, {found.columns[0]!r}. {cure}")
    return found


def _has_duplicates(path: Path, separator: str) -> bool:
    head = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False)
    return bool(head.iloc[0].duplicated().any())


def _numbers(cells: pd.Series) -> tuple[pd.Series, Ints]:
    """The cells as numbers, NaN where there is none, and the places of those that are something else."""
    missing = cells.isna() | cells.astype(str).str.strip().str.lower().isin(MISSING)
    found = pd.to_numeric(cells.where(~missing), errors="coerce").astype(np.float64)
    return found, np.flatnonzero(found.isna() & ~missing)


def _long(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """One row for each score, with arm, seed and group as text."""
    if "arm" not in frame:
        frame = _melted(frame, notes)
    if "score" not in frame:
        raise _missing(frame, "score", "numbers")
    scores, wrong = _numbers(frame["score"])
    infinite = np.flatnonzero(scores.abs() > LARGEST)
    for rows, words in ((wrong, "is not a number"), (infinite, "is not a finite number of usual size")):
        if len(rows):
            raise DataError(
                f"score: {str(frame['score'].iloc[rows[0]])!r} (row {rows[0] + 2}) {words}. Correct it, or "
                "leave the cell empty."
            )
    keys = [name for name in ("arm", "seed", "group", "fold") if name in frame]
    text = {name: frame[name].where(frame[name].notna(), "").astype(str).str.strip() for name in keys}
    found = frame.assign(score=scores, **text)
    for name in keys:
        empty = found[name] == ""
        if empty.any():
            notes.append(f"{count(int(empty.sum()), 'row')} without {name} left out.")
            found = found[~empty]
    without = [str(arm) for arm, own in found.groupby("arm", sort=False)["score"] if own.isna().all()]
    if without:
        verb = "has" if len(without) == 1 else "have"
        raise DataError(
            f"arm: {enumerated(without)} {verb} no score at all. If trainings failed, remove their rows to "
            "compare the others."
        )
    return found.dropna(subset=["score"])


def _melted(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """A wide table in long form. Raises RequestError if its arms are not clear."""
    given = [name for name in ("seed", "group", "fold") if name in frame]
    arms = [name for name in frame.columns if name not in given and not len(_numbers(frame[name])[1])]
    if "score" in arms or len(arms) < 2:
        raise _missing(frame, "arm", "what is compared, such as a model or a setting")
    other = [name for name in arms if name.lower() in METADATA or name.startswith("Unnamed: ")]
    if other:
        raise RequestError(
            f"The table has no column arm, and {enumerated(other)} may be no arm. Remove the column, or name "
            "it with --seed or --group."
        )
    ignored = [name for name in frame.columns if name not in (*given, *arms)]
    words = f" Not numbers, and left out: {enumerated(ignored)}." if ignored else ""
    notes.append(f"The table has no column arm: the arms are its columns {enumerated(arms)}.{words}")
    return frame.melt(given, arms, "arm", "score")


def _missing(frame: pd.DataFrame, name: str, holds: str) -> RequestError:
    return RequestError(
        f"The table has no column {name!r}, which holds {holds}. Name the column with --{name}. "
        f"Columns: {', '.join(frame.columns)}."
    )


def _numbered(long: pd.DataFrame) -> pd.DataFrame:
    """Numbers the seeds of each arm in random order: unpaired repetitions are paired at random.

    The order of the rows must not matter: in a table that is sorted by score, it would pair low with low.
    """
    found = long.copy()
    for number, arm in enumerate(sorted(pd.unique(long["arm"]))):
        own = long["arm"] == arm
        seeds = np.sort(pd.unique(long.loc[own, "seed"]))
        order = stream(0, "unpaired seeds", number).permutation(len(seeds))
        found.loc[own, "seed"] = long.loc[own, "seed"].map(dict(zip(seeds, order.astype(str), strict=True)))
    return found


def _nested(long: pd.DataFrame, is_paired: bool) -> pd.DataFrame:
    """Numbers the trainings within each fold, if each of them tested a single fold.

    Trainings without seeds are one in each fold. Their numbers may also differ from fold to fold.
    """
    if not {"fold", "group"} <= set(long) or long["fold"].nunique() < 2:
        return long
    if "seed" not in long:
        return long.assign(seed="0")
    if (long.groupby("seed")["fold"].nunique() > 1).any():
        return long
    number = long.groupby(["fold"] if is_paired else ["fold", "arm"])["seed"].transform(
        lambda own: pd.factorize(own, sort=True)[0]
    )
    return long.assign(seed=number.astype(str))


def _with_baselines(long: pd.DataFrame) -> pd.DataFrame:
    """Repeats the scores of a study's baselines, which no seed changes, for each seed of the arms."""
    is_baseline = long["arm"].str.startswith("baseline/")
    if "seed" not in long or not is_baseline.any() or is_baseline.all():
        return long
    seeds = long.loc[~is_baseline, "seed"].unique()
    baselines = [own for _, own in long[is_baseline].groupby("arm", sort=False)]
    repeated = [
        pd.concat([own.assign(seed=seed) for seed in seeds]) if own["seed"].nunique() == 1 else own
        for own in baselines
    ]
    return pd.concat([long[~is_baseline], *repeated])


def _square(cells: pd.Series, long: pd.DataFrame) -> Array:
    """(seeds, groups) of one arm, NaN where a cell has no score."""
    seeds, groups = (pd.unique(long[name]) for name in ("seed", "group"))
    return np.asarray(cells.unstack().reindex(index=seeds, columns=groups).to_numpy(np.float64))


def _complete(cube: Array, notes: list[str]) -> tuple[Array, Ints]:
    """The cube without the seeds and groups that lack a score; those that lack most go first.

    Also returns the places of the groups that are left.
    """
    lost, kept = {"seed": 0, "group": 0}, np.arange(cube.shape[2])
    while (gaps := np.isnan(cube)).any():
        by_seed, by_group = gaps.mean((0, 2)), gaps.mean((0, 1))
        if by_seed.max() >= by_group.max():
            cube, lost["seed"] = np.delete(cube, by_seed.argmax(), 1), lost["seed"] + 1
        else:
            kept = np.delete(kept, by_group.argmax())
            cube, lost["group"] = np.delete(cube, by_group.argmax(), 2), lost["group"] + 1
    words = [count(number, name) for name, number in lost.items() if number]
    if words:
        notes.append(f"{enumerated(words)} left out, because not every arm has a score there.")
    return cube, kept


def _folds(long: pd.DataFrame, kept: Ints) -> Ints | None:
    """The fold of each group, from 0; None if there is only one.

    Raises RequestError if a group was tested in several folds.
    """
    by_group = long.groupby("group", sort=False)["fold"]
    several = by_group.nunique()
    if (several > 1).any():
        raise RequestError(
            f"fold: the group {several.idxmax()!r} is in {several.max()} folds. Each group may be tested in "
            "one fold only; for repeated cross-validations, give each repetition a seed (--seed)."
        )
    of_group = by_group.first().reindex(pd.unique(long["group"])[kept])
    folds: Ints = pd.factorize(of_group)[0].astype(np.int64)
    return folds if folds.max(initial=0) > 0 else None


def _check_size(cube: Array, has_seeds: bool, has_groups: bool, folds: Ints | None) -> None:
    """Raises RequestError if too few seeds or groups are left to conclude anything."""
    _, seeds, groups = cube.shape
    if not groups or (not has_seeds and not seeds):
        raise RequestError("group: the arms share no group. Test all arms on the same groups.")
    if has_seeds and seeds * fold_count(folds) < LEAST_SEEDS:
        cure = "Repeat each training with more seeds"
        if not seeds:
            cure += ", or give --unpaired if the seeds of the arms differ"
        raise RequestError(
            f"seed: {count(seeds, 'seed')} that all arms share; {LEAST_SEEDS} are needed. {cure}."
        )
    least = LEAST_GROUPS if not has_seeds else 1
    if groups < least:
        raise RequestError(
            f"group: {count(groups, 'group')} that all arms share; without seeds {LEAST_GROUPS} are "
            "needed. Add a column of repeated trainings (--seed), or test more groups."
        )


# The judgement.

Word = Literal["better", "worse", "equal", "undecided"]


@dataclass(frozen=True)
class Judgement:
    """What a table of scores shows about its arms."""

    candidate: str
    against: str
    """The arm that the candidate was compared with; of several, the one that decides."""
    verdict: Word
    """Of the candidate: better than `against` (or than all others), worse, equal within `meaningful`, or
    undecided."""
    difference: float
    """Mean of the candidate minus mean of `against`, in the units of the score."""
    low: float
    """Lower end of the simultaneous 95 % interval of the difference."""
    high: float
    p: float
    """Corrected for all comparisons, two-sided."""
    p_better: float
    """One-sided p value of a candidate that is not better than `against`, or than all others: the largest of
    its comparisons. A ledger uses it."""
    more_seeds: int | None
    """Seeds in all that would decide it with a probability of 80 %; None if it is decided or none would."""
    more_groups: int | None
    """Groups in all that would."""
    means: dict[str, float]
    candidates: tuple[str, ...]
    """Arms that may be the best."""
    seeds: int
    groups: int
    meaningful: float
    lower_is_better: bool
    notes: tuple[str, ...]
    is_named: bool
    """Whether the caller named the candidate (or there are two arms); otherwise the scores chose it."""
    conclusion: Conclusion
    """All comparisons; with `lower_is_better`, of the negated scores."""
    of: str = ""
    """What was judged, if the table has several measures or data sets: "F1 on esc10"."""
    are_sets: bool = False
    """Whether the groups are data sets."""
    others: tuple["Judgement", ...] = ()
    """The judgements on further measures and on each data set, of the same candidate. All together make a
    false claim with a probability of at most 5 %."""

    @property
    def folds(self) -> int:
        """Number of folds; 1 if the table has none."""
        return self.conclusion.comparisons[0].folds

    @property
    def answer(self) -> str:
        """Two or three sentences: the verdict, its evidence, and what would change it."""
        return " ".join(_answer(self))

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the answer first."""
        return {"answer": self.answer, **asdict(self)}


def judge(
    table: pd.DataFrame | str | Path,
    arm: str | None = None,
    seed: str | None = None,
    group: str | None = None,
    score: str | Sequence[str] | None = None,
    *,
    fold: str | None = None,
    dataset: str | None = None,
    measure: str | None = None,
    candidate: str | None = None,
    against: str | None = None,
    meaningful: float = 0.0,
    lower_is_better: bool = False,
    is_paired: bool = True,
) -> Judgement:
    """Compares the arms of a table of scores: is one better, and how sure is that?

    Seeds and groups are both samples: the intervals say what holds for other trainings and other groups of
    the same kind. Every group has the same weight.

    Parameters
    ----------
    table : DataFrame, or path of a CSV or Parquet file
        Long (a row for each score, with the columns below) or wide (a column for each arm).
    arm, seed, group, score : str, optional
        Names of columns; default: these words. Without seeds, the claim is about these trained models on
        other groups; without groups, about other trainings on this test set. Several scores are several
        measures.
    fold : str, optional
        Column of the fold in which each group was tested, by trainings that never saw it.
    dataset : str, optional
        Column of data sets. The judgement is then about such sets in general, at half of the error rate: the
        means on each set are compared. `others` has the judgement on each of them.
    measure : str, optional
        Column of measures. The judgement is then about the first; `others` has those on the others. All have
        an equal part of the error rate.
    candidate : str, optional
        The arm to judge; default: the second of two, the recommended of several.
    against : str, optional
        The arm to compare it with; default: all others.
    meaningful : float
        The smallest difference that matters; two arms are equal if they surely differ by less. 0: never.
    lower_is_better : bool
        Whether a lower score is better, as of a loss.
    is_paired : bool
        Whether a seed means the same in all arms. False: seeds are only repetitions.

    Returns
    -------
    Judgement

    Raises
    ------
    RequestError
        If a column or an arm is missing, or the table cannot be concluded from; the message says which column
        would help.
    DataError
        If the table cannot be read or a score is not a number.

    Examples
    --------
    >>> import nearfield, pandas
    >>> table = pandas.DataFrame(
    ...     {"group": range(8), "small": [0.6, 0.7] * 4, "large": [0.71, 0.8, 0.69, 0.81] * 2}
    ... )
    >>> nearfield.judge(table).verdict
    'better'
    """
    frame = table if isinstance(table, pd.DataFrame) else read(Path(table))
    if not (math.isfinite(meaningful) and meaningful >= 0):
        raise RequestError(f"meaningful must be 0 or more. Given: {meaningful:g}.")
    scores = dict.fromkeys([score] if isinstance(score, str | None) else score) or {None: None}
    candidate, against = (None if name is None else str(name).strip() for name in (candidate, against))
    found: list[Judgement] = []
    columns = ScoreColumns(arm, seed, group, None, fold, dataset, measure)
    for of, asked, share in _parts(frame, columns, list(scores), is_paired):
        chosen = candidate or (found[0].candidate if found else None)
        with _about(of):
            one = _judged(asked, chosen, against, meaningful, lower_is_better, share)
        found.append(replace(one, of=of, is_named=candidate is not None or len(asked.arms) == 2))
    return replace(found[0], others=tuple(found[1:]))


def _parts(
    frame: pd.DataFrame, columns: ScoreColumns, scores: Sequence[str | None], is_paired: bool
) -> Iterator[tuple[str, Scores, float]]:
    """What is judged: its name, its scores, and its part of the error rate."""
    measured: list[tuple[str, pd.DataFrame]] = []
    for name in scores:
        others = [each for each in scores if each not in (name, None)]
        own = replace(columns, score=name).rename(frame.drop(columns=others, errors="ignore"))
        of = name if name and len(scores) > 1 else ""
        if "measure" in own and "measure" not in (columns.arm, columns.group):
            parts = _divided(own, "measure")
            measured += [(f"{each} ({of})" if of else each, part) for each, part in parts]
        else:
            measured.append((of, own))
    for name, own in measured:
        share = 1 / len(measured)
        if "dataset" not in own or not {"seed", "group"} & set(own):
            with _about(name):  # without either, there is a score for each arm and data set
                asked = Scores.of(own.rename(columns={"dataset": "group"}), is_paired)
            yield name, replace(asked, are_sets="dataset" in own), share
            continue
        by_set: dict[str, Scores] = {}
        for each, part in _divided(own, "dataset"):
            with _about(f"{name} on {each}" if name else f"dataset {each}"):
                by_set[each] = Scores.of(part, is_paired)
        with _about(name):
            general = Scores.in_general(by_set)
        yield f"{name} in general".strip(), general, share / 2
        for each, scores_there in by_set.items():
            yield f"{name} on {each}".strip(), scores_there, share / 2 / len(by_set)


def _divided(frame: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each value of a column, without it. Raises DataError if a row has no value."""
    value = frame[column].where(frame[column].notna(), "").astype(str).str.strip()
    if (empty := np.flatnonzero(value == "")).size:
        raise DataError(f"{column}: row {empty[0] + 2} has no {column}. Fill in the cell, or remove the row.")
    return [(str(each), part) for each, part in frame.drop(columns=column).groupby(value, sort=False)]


@contextmanager
def _about(of: str) -> Iterator[None]:
    """Errors say which measure or data set they are about."""
    try:
        yield
    except (RequestError, DataError) as error:
        raise type(error)(f"{of}: {error}" if of else str(error)) from None


def _judged(
    scores: Scores,
    candidate: str | None,
    against: str | None,
    meaningful: float,
    lower_is_better: bool,
    share: float,
) -> Judgement:
    """The judgement on one table, at a share of the error rate."""
    for option, name in (("candidate", candidate), ("against", against)):
        if name is not None and name not in scores.arms:
            raise RequestError(f"{option}: there is no arm {name!r}. {choose(name, scores.arms)}")
    sign = -1.0 if lower_is_better else 1.0
    look = replace(ONE_LOOK, share=share, after=share)
    asked = PlannedTest("score", meaningful, {}, look=look, folds=scores.folds)
    found = conclude(asked, {name: sign * rows for name, rows in zip(scores.arms, scores.table, strict=True)})
    chosen = candidate or _usual(scores.arms, found, against)
    if chosen == against:
        raise RequestError(f"candidate and against are the same arm, {against!r}. Give two.")
    rows = rows_of(found, chosen, against)
    comparison, verdict = _verdict(rows, meaningful)
    low, high = sorted((sign * comparison.low, sign * comparison.high))
    is_open = verdict == "undecided"
    more_groups = None
    if is_open and scores.has_groups:
        more_groups = groups_to_decide(
            comparison, len(scores.arms), meaningful, FALSE_CLAIMS * share, scores.has_seeds
        )
    return Judgement(
        candidate=chosen,
        against=comparison.other,
        verdict=verdict,
        difference=sign * comparison.difference,
        low=low,
        high=high,
        p=comparison.p,
        p_better=max(map(_p_better, rows)),
        more_seeds=comparison.more_seeds if is_open and scores.has_seeds else None,
        more_groups=more_groups,
        means={name: sign * estimate.mean for name, estimate in found.estimates.items()},
        candidates=found.candidates,
        seeds=scores.seeds,
        groups=scores.groups,
        meaningful=meaningful,
        lower_is_better=lower_is_better,
        notes=scores.notes,
        is_named=candidate is not None or len(scores.arms) == 2,
        are_sets=scores.are_sets,
        conclusion=found,
    )


def _usual(arms: Sequence[str], found: Conclusion, against: str | None) -> str:
    """The second of two arms, the recommended of several."""
    if len(arms) == 2:
        return next(name for name in reversed(arms) if name != against)
    others = [name for name in arms if name != against]
    chosen = found.recommended
    return chosen if chosen in others else max(others, key=lambda name: found.estimates[name].mean)


def rows_of(found: Conclusion, candidate: str, against: str | None = None) -> list[Comparison]:
    """The comparisons of the candidate with all other arms, or with `against`."""
    rows = [
        each if each.one == candidate else turned(each)
        for each in found.comparisons
        if candidate in (each.one, each.other)
    ]
    return [each for each in rows if against in (None, each.other)]


def _p_better(row: Comparison) -> float:
    """One-sided p value, not corrected, of an arm that is not better than the other."""
    return row.p_alone / 2 if row.difference > 0 else 1 - row.p_alone / 2


def _verdict(rows: Sequence[Comparison], meaningful: float) -> tuple[Comparison, Word]:
    """The deciding one of the comparisons of the candidate, and its verdict."""
    if len(rows) == 1:
        return rows[0], rows[0].claim
    worse = [each for each in rows if each.claim == "worse"]
    if worse:
        return min(worse, key=lambda each: each.difference), "worse"
    nearest = min(rows, key=lambda each: each.low)
    if all(each.claim == "better" for each in rows):
        return nearest, "better"
    if all((each.low if each.least is None else each.least) > -meaningful for each in rows):
        return nearest, "equal"
    return nearest, "undecided"


def _answer(found: Judgement) -> list[str]:
    n = _decimals(found)
    arms = len(found.means)
    evidence = (
        f"difference {signed(found.difference, n)}, 95 % interval {signed(found.low, n)} to "
        f"{signed(found.high, n)}, {_sample(found)}"
    )
    among = f" of {arms} arms" if arms > 2 else ""
    heads = {
        "better": f"{found.candidate} is the best{among}: it is better than {found.against}"
        if among
        else f"{found.candidate} is better than {found.against}",
        "worse": f"{found.candidate} is worse than {found.against}",
        "equal": f"{found.candidate} is as good as {found.against}, the nearest{among}, within "
        f"{found.meaningful:g}"
        if among
        else f"{found.candidate} and {found.against} differ by less than {found.meaningful:g}",
        "undecided": f"Not decided between {found.candidate} and {found.against}",
    }
    said = [f"{heads[found.verdict]} ({evidence})."]
    if found.verdict == "undecided":
        if len(found.candidates) > 2:
            said.append(f"Any of {enumerated(found.candidates)} may be the best.")
        said.append(_price(found))
    about = {
        (True, True): "It holds for other trainings and other groups of this kind.",
        (True, False): "It holds for other trainings, on this test set.",
        (False, True): "It holds for these arms as they are, on other groups of this kind.",
    }
    if found.verdict != "undecided":
        general = "It holds in the mean over other data sets of this kind."
        said.append(general if found.are_sets else about[found.seeds * found.folds > 1, found.groups > 1])
    return said


def _sample(found: Judgement) -> str:
    """What the scores were taken from."""
    counted = ((found.seeds, "seed"), (found.groups, _unit(found)))
    folds = f" in {found.folds} folds" if found.folds > 1 else ""
    return " and ".join(count(number, name) for number, name in counted if number > 1) + folds


def _unit(found: Judgement) -> str:
    return "data set" if found.are_sets else "group"


def _price(found: Judgement) -> str:
    """What would decide an open comparison."""
    ways = [
        f"about {count(needed - has, f'more {name}')}"
        for needed, has, name in (
            (found.more_seeds, found.seeds, "seed"),
            (found.more_groups, found.groups, _unit(found)),
        )
        if needed is not None and needed > has
    ]
    if ways:
        return f"{enumerated(ways, 'or')} would decide it.".capitalize()
    parts = rows_of(found.conclusion, found.candidate, found.against)[0].parts
    if found.p == 1 and not any((parts.seed, parts.group, parts.residual)):
        return "Nothing varies, so that chance cannot be estimated."
    more = [f"{MOST_SEEDS} seeds"] if 1 < found.seeds < MOST_SEEDS else []
    if found.groups > 1:
        more.append(f"{MOST_TIMES} times as many {_unit(found)}s")
    if not more:
        return "More seeds will not decide it."
    return (
        f"Not even {enumerated(more, 'or')} would decide it with a probability of {100 * WANTED_POWER:.0f} %."
    )


def _decimals(found: Judgement) -> int:
    """Two digits of the half-width of the interval."""
    half = (found.high - found.low) / 2
    return min(15, max(0, 1 - math.floor(math.log10(half)))) if half > 0 else 3


def means_text(found: Judgement, arm: str) -> str:
    """The mean of an arm with its 95 % interval."""
    estimate, n = found.conclusion.estimates[arm], _decimals(found)
    ends = sorted((-estimate.low, -estimate.high)) if found.lower_is_better else (estimate.low, estimate.high)
    return f"{plain(found.means[arm], n)} [{plain(ends[0], n)}, {plain(ends[1], n)}]"


def _of(found: Judgement) -> str:
    """What a judgement is about, before its answer."""
    return f"{found.of}: " if found.of else ""


def all_notes(found: Judgement) -> list[str]:
    """What was left out or averaged, in all parts of a table."""
    return list(dict.fromkeys(_of(each) + note for each in (found, *found.others) for note in each.notes))


# Files of a judgement.


def write(found: Judgement, folder: Path) -> None:
    """Writes judge.md, judge.json and differences.svg; the figure needs the extra `figures`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "judge.json", found.as_json())
    write_text(folder / "differences.svg", differences_svg(found))
    write_text(folder / "judge.md", "\n".join(_document(found)))


def _document(found: Judgement) -> Iterator[str]:
    yield from ("# Judgement", "", _of(found) + found.answer, "")
    yield from ("| arm | mean [95 % interval] |", "|---|---|")
    for arm in found.means:
        name = " ".join(html.escape(arm, quote=False).replace("|", "\\|").split())
        yield f"| {name} | {means_text(found, arm)} |"
    yield ""
    yield from (f"- {_of(each)}{each.answer}" for each in found.others)
    yield from ("", "![Differences with simultaneous 95 % intervals](differences.svg)", "")
    yield from (f"- {note}" for note in all_notes(found))
    yield (
        f"\nAll pairs of {count(len(found.means), 'arm')} are compared over {_sample(found)}. Intervals are "
        "simultaneous: with a probability of at most 5 % any of them excludes its true difference."
    )
    yield ""


def differences_svg(found: Judgement) -> str:
    """The differences of the candidate from every other arm, with the region that does not matter, as SVG."""
    rows = rows_of(found.conclusion, found.candidate)
    if found.lower_is_better:
        rows = [replace(each, difference=-each.difference, low=-each.high, high=-each.low) for each in rows]
    figure = new_figure(6.4, 0.9 + 0.3 * len(rows))
    axes = figure.subplots()
    names = [f"{each.one} − {each.other}" for each in rows]
    draw_differences(axes, rows, names, found.meaningful, MUTED)
    axes.set_xlabel("difference" + (" (lower is better)" if found.lower_is_better else ""))
    quieten(figure)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
