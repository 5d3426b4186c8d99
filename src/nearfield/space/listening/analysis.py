"""What listeners said: ratings by condition, and each condition less its control, within anchors.

Conventions: the rating of a pair is the mean over the listeners who rated it. Means have intervals of
Student's t over pairs; differences are of the same anchor's two pairs, with intervals and p of the paired t
test over anchors, p held over all differences (Holm 1979). They speak of other clips of this space, judged by
these listeners; what other listeners would say they do not tell.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats
from nearfield.evaluation.paired import held
from nearfield.space.listening.form import HIGHEST, LOWEST
from nearfield.space.listening.pairs import CONTROLS

COLUMNS = ("form", "rater", "pair", "rating")


@dataclass(frozen=True)
class Rated:
    """The ratings of one condition."""

    condition: str
    pairs: int
    mean: float
    interval: tuple[float, float] | None
    """95 %; None for a single pair, and where all are rated the same."""


@dataclass(frozen=True)
class Against:
    """A condition less its control."""

    condition: str
    control: str
    anchors: int
    difference: float
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class Heard:
    """What a listening test found."""

    form: str
    raters: tuple[str, ...]
    answers: int
    conditions: tuple[Rated, ...]
    differences: tuple[Against, ...]
    by_rater: dict[str, dict[str, float]]
    """The mean rating of each condition by each listener."""
    with_distance: float | None
    """Rank correlation of the ratings of pairs with their distance in the space: -1 where near is alike."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self)


def analyse(answers: Sequence[Path], key: Path) -> Heard:
    """Sets the answers of one or more listeners against the key.

    Raises RequestError where a file is not understood, is of another form, holds a pair twice, a rating out
    of range or a pair that the key does not know.
    """
    known = _key(key)
    table = pd.concat([_answers(path, known) for path in answers], ignore_index=True)
    doubled = table[table.duplicated(["rater", "pair"])]
    if len(doubled):
        rater, pair = doubled.iloc[0][["rater", "pair"]]
        raise RequestError(
            f"{rater!r} rated {pair} twice. Give each file once, and each listener a name of their own."
        )
    pairs = pd.DataFrame(known["pairs"]).set_index("pair")
    table = table.join(pairs, on="pair")
    mean = table.groupby("pair")["rating"].mean()
    rated = pairs.loc[mean.index].assign(rating=mean)
    means = table.groupby(["rater", "condition"])["rating"].mean()
    return Heard(
        form=known["form"],
        raters=tuple(sorted(set(table["rater"]))),
        answers=len(table),
        conditions=tuple(_rated(name, rated) for name in _ordered(set(rated["condition"]))),
        differences=_differences(rated),
        by_rater={rater: means[rater].to_dict() for rater in sorted(set(table["rater"]))},
        with_distance=_correlation(rated),
    )


def _key(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if known["pairs"] and known["form"]:
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise RequestError(
        f"{path} is not the key of a listening test: give the JSON file written with the form."
    )


def _answers(path: Path, known: dict[str, Any]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read as CSV: {error}") from None
    missing = [name for name in COLUMNS if name not in table]
    if missing or not len(table):
        raise RequestError(f"{path} holds no answers: it needs the columns {', '.join(COLUMNS)} and a row.")
    if set(table["form"]) != {known["form"]}:
        raise RequestError(
            f"{path} answers the form {table['form'].iloc[0]}, and the key is of {known['form']}. "
            "Give the key that was written with that form."
        )
    ratings = pd.to_numeric(table["rating"], errors="coerce")
    outside = ~ratings.between(LOWEST, HIGHEST)
    if outside.any():
        given = table["rating"][outside].iloc[0]
        raise RequestError(f"{path}: a rating is a number from {LOWEST} to {HIGHEST}. Given: {given!r}.")
    strangers = set(table["pair"]) - {each["pair"] for each in known["pairs"]}
    if strangers:
        raise RequestError(f"{path}: the key has no pair {sorted(strangers)[0]!r}.")
    return table[["rater", "pair"]].assign(rating=ratings)


def _ordered(names: set[str]) -> list[str]:
    """Each condition before its control."""
    usual = [name for pair in CONTROLS.items() for name in pair]
    return sorted(names, key=lambda name: (usual.index(name) if name in usual else len(usual), name))


def _rated(name: str, rated: pd.DataFrame) -> Rated:
    values = rated["rating"][rated["condition"] == name].to_numpy(np.float64)
    return Rated(name, len(values), float(values.mean()), _interval(values))


def _differences(rated: pd.DataFrame) -> tuple[Against, ...]:
    found = []
    for condition, control in CONTROLS.items():
        sides = [
            rated[rated["condition"] == name].set_index("anchor")["rating"] for name in (condition, control)
        ]
        gap = (sides[0] - sides[1]).dropna().to_numpy(np.float64)
        if not len(gap):
            continue
        p = None
        if len(gap) > 1:
            # Equal differences leave the t test nothing to go by, and the sign test all.
            by_sign = 1.0 if gap[0] == 0 else 2.0 ** (1 - len(gap))
            p = by_sign if float(gap.std()) == 0 else float(stats.ttest_1samp(gap, 0).pvalue)
        found.append(Against(condition, control, len(gap), float(gap.mean()), _interval(gap), p, None))
    corrected = held([each.p for each in found])
    return tuple(replace(each, p_holm=p) for each, p in zip(found, corrected, strict=True))


def _interval(values: Floats) -> tuple[float, float] | None:
    if len(values) < 2 or float(values.std()) == 0:
        return None
    reach = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return float(values.mean() - reach), float(values.mean() + reach)


def _correlation(rated: pd.DataFrame) -> float | None:
    """Spearman's; None where either does not vary."""
    if rated["rating"].nunique() < 2 or rated["distance"].nunique() < 2:
        return None
    return float(stats.spearmanr(rated["distance"], rated["rating"]).statistic)
