"""What listeners said: ratings by condition, and each condition less its control, within anchors.

Conventions: the rating of a pair is the mean over the listeners who rated it. Means have 95 % intervals of
Student's t over pairs. Differences are of the same anchor's two pairs: interval and p are of one paired t
test over anchors, and both are held over all differences by Bonferroni's rule (m differences have intervals
for 1 - 0.05 / m each, and p is multiplied by m), so that an interval leaves 0 out exactly where p < 0.05.
Holm's rule, which is sharper, has no intervals as simple that agree with it.

Ratings have ends: no mean can lie outside the scale, no difference beyond its length, and intervals are cut
there, which takes nothing from them that could be true. The t test is kept for few anchors because a test by
turned signs cannot speak there: with 5 anchors its smallest p is 2 / 2^5 = 0.06. Only where all differences
are equal, and t has nothing to go by, p is that of turned signs, and there is no interval.

They speak of other clips of this space, judged by these listeners; what other listeners would say they do not
tell.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats
from nearfield.space.listening.form import HIGHEST, LOWEST
from nearfield.space.listening.pairs import CONTROLS

COLUMNS = ("form", "rater", "pair", "rating")
_ROUNDING = 1e-9
"""Up to which means over listeners are equal: 10/3 - 3 and 4/3 - 1 differ in their last bits."""


@dataclass(frozen=True)
class Rated:
    """The ratings of one condition."""

    condition: str
    pairs: int
    mean: float
    interval: tuple[float, float] | None
    """95 %, within the scale; None for a single pair, and where all are rated the same."""


@dataclass(frozen=True)
class Against:
    """A condition less its control."""

    condition: str
    control: str
    anchors: int
    difference: float
    interval: tuple[float, float] | None
    """95 % for all differences together; None for a single anchor, and where all differ by the same."""
    p: float | None
    """Held over all differences, as the interval is."""


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
    return Rated(name, len(values), float(values.mean()), _interval(values, (LOWEST, HIGHEST)))


def _differences(rated: pd.DataFrame) -> tuple[Against, ...]:
    gaps = {pair: _gap(rated, *pair) for pair in CONTROLS.items()}
    compared = sum(len(gap) > 1 for gap in gaps.values())
    most = float(HIGHEST - LOWEST)
    return tuple(
        Against(
            condition,
            control,
            len(gap),
            float(gap.mean()),
            _interval(gap, (-most, most), 1 - 0.05 / max(compared, 1)),
            _p(gap, compared),
        )
        for (condition, control), gap in gaps.items()
        if len(gap)
    )


def _gap(rated: pd.DataFrame, condition: str, control: str) -> Floats:
    """(anchors,) the rating of each anchor's pair less that of its control."""
    sides = [rated[rated["condition"] == name].set_index("anchor")["rating"] for name in (condition, control)]
    return np.asarray((sides[0] - sides[1]).dropna(), np.float64)


def _p(gap: Floats, compared: int) -> float | None:
    """Of the paired t test, times how many differences are `compared`."""
    if len(gap) < 2:
        return None
    if _all_equal(gap):
        p = 1.0 if abs(gap[0]) <= _ROUNDING else 2.0 ** (1 - len(gap))
    else:
        p = float(stats.ttest_1samp(gap, 0).pvalue)
    return min(1.0, compared * p)


def _interval(values: Floats, scale: tuple[float, float], level: float = 0.95) -> tuple[float, float] | None:
    """Of the mean, by t, cut at the ends of the scale."""
    if len(values) < 2 or _all_equal(values):
        return None
    found = stats.ttest_1samp(values, 0).confidence_interval(level)
    return max(scale[0], float(found.low)), min(scale[1], float(found.high))


def _all_equal(values: Floats) -> bool:
    return float(np.ptp(values)) <= _ROUNDING


def _correlation(rated: pd.DataFrame) -> float | None:
    """Spearman's; None where either does not vary."""
    if rated["rating"].nunique() < 2 or rated["distance"].nunique() < 2:
        return None
    return float(stats.spearmanr(rated["distance"], rated["rating"]).statistic)
