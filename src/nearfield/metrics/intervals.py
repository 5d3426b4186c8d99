"""Confidence intervals by resampling groups of clips; paired differences with p values."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import t

from nearfield.core.errors import RequestError
from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints

# Uncertainty of a score because the test set is finite: intervals by resampling groups of clips.
#
# Conventions: clips of one group (speaker, source, recording) are not independent, so whole groups are
# sampled with replacement (cluster bootstrap; Davison and Hinkley 1997, chapter 3.8). A clip of unknown group
# (-1) is a group of its own. All scores of an evaluation use the same resamples, so that differences of
# scores are paired.
#
# Intervals have level 95 %. For proportions and means of proportions (accuracy, recall, F1) they are Student
# t intervals on the logit scale log(p / (1 - p)), with the standard deviation of the resamples (Dean and
# Pagano 2015, on proportions in clustered samples). They stay in 0..1 and account for few groups. Resamples
# of macro F1 have a long lower tail and a lower mean than the score, which itself has little bias; so a
# percentile interval would be too low, and a basic bootstrap interval would end at 1. If all groups have the
# same score (for example all correct), resamples do not differ; the interval then bounds the share of unseen
# groups with another score (`unseen_interval`). benchmarks/intervals.py simulates the coverage of each.
#
# A clip that is sampled twice would retrieve itself, so metrics that search the evaluated clips among
# themselves are not resampled. Their standard error is that of the jackknife of `retrieval.py`.
#
# The average precision of a rare tag is biased upwards in a small set, and more in a resample: the mean over
# 44 tags of 41 recordings is 0.05 too high, twice its standard deviation. Areas are therefore not resampled.
# The jackknife over groups estimates both standard error and bias (Quenouille 1949), and the interval is
# extended by the bias on the side of the true value (`area_interval`). It then covers both possible meanings
# of the true value: the area in a very large set, and the mean area of sets of this size. It is wide for rare
# tags. benchmarks/areas.py simulates both.

CELLS = 2**22
"""Largest number of clip weights in memory."""
NOTHING = 1e-12
"""Standard deviations below this are rounding errors."""


@dataclass(frozen=True)
class Resamples:
    """Bootstrap resamples of groups of clips."""

    counts: npt.NDArray[np.uint16]
    """(draws, G) how often each group was sampled."""
    group_of: Ints
    """(N,) the group (column) of each clip."""

    @classmethod
    def of(cls, groups: Ints, draws: int = 1000, seed: int = 0) -> "Resamples":
        """Creates `draws` resamples of clips with `groups` (N,); -1 means unknown."""
        # Unknown groups get numbers of their own, below all others.
        own = np.where(groups >= 0, groups, -1 - np.arange(len(groups)))
        names, group_of = np.unique(own, return_inverse=True)
        counts = np.zeros((draws, len(names)), dtype=np.uint16)
        rng = stream(seed, "resamples")
        for draw in range(draws if len(names) else 0):
            drawn = rng.integers(len(names), size=len(names))
            counts[draw] = np.bincount(drawn, minlength=len(names))
        return cls(counts, group_of)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.counts.shape[1])

    def groups_with(self, clips: Ints | Bools) -> int:
        """Returns the number of groups with at least one of `clips`, given as positions or as a mask (N,)."""
        return len(np.unique(self.group_of[clips]))

    def weights(self) -> Iterator[Floats]:
        """Yields the number of times that each clip counts, in blocks of resamples (b, N).

        Raises RequestError if there are no resamples.
        """
        if not len(self.counts):
            raise RequestError("draws: an interval needs at least one draw. Given: 0. Use 1000.")
        step = max(1, CELLS // max(len(self.group_of), 1))
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step].astype(np.float64)[:, self.group_of]

    def apply(self, statistic: Callable[[Floats], Floats]) -> Floats:
        """Applies `statistic`, which maps weights (b, N) to values (b, ...), to all resamples."""
        return np.concatenate([statistic(weights) for weights in self.weights()])


def share_interval(
    figure: float,
    values: Floats,
    groups: int,
    level: float = 0.95,
    within: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float] | None:
    """Computes the bootstrap t interval of a proportion, or of another mean of bounded scores.

    It is computed on the logit scale between the bounds. A score without a lower or an upper bound has the
    symmetric interval, cut off at its other bound.

    Parameters
    ----------
    figure
        The score.
    values
        (draws,) its values in the resamples; NaN are left out.
    groups
        Number of groups; t has one degree of freedom less.
    level
        Confidence level.
    within
        Smallest and largest value of the score; infinite without a bound.

    Returns
    -------
    tuple of float or None
        Lower and upper end. None for fewer than two values or groups, and for a score without a bound that
        does not vary.

    Raises
    ------
    ValueError
        If `figure` is not within its bounds.
    """
    kept = values[np.isfinite(values)]
    if len(kept) < 2 or groups < 2:
        return None
    deviation, limit = float(kept.std(ddof=1)), float(t.ppf((1 + level) / 2, groups - 1))
    low, high = within
    if np.isinf(high - low):
        reach = limit * deviation
        return None if deviation < NOTHING else (max(low, figure - reach), min(high, figure + reach))
    size = high - low
    ends = logit_interval((figure - low) / size, deviation / size, limit, groups, level)
    return low + size * ends[0], low + size * ends[1]


def logit_interval(
    figure: float, deviation: float, limit: float, groups: int, level: float = 0.95, bias: float = 0.0
) -> tuple[float, float]:
    """Computes the interval of a proportion from its standard error, on the logit scale.

    Parameters
    ----------
    figure
        The score, in 0..1.
    deviation
        Standard error; if it is 0, the result is `unseen_interval`.
    limit
        Number of standard errors on each side.
    groups
        Number of groups.
    level
        Confidence level.
    bias
        Estimated bias of the score. A positive bias lowers the lower end, a negative one raises the upper.

    Returns
    -------
    tuple of float
        Lower and upper end.

    Raises
    ------
    ValueError
        If `figure` is not in 0..1.
    """
    if not 0 <= figure <= 1:
        raise ValueError(f"{figure} is not in 0..1: this interval is for proportions only.")
    slope = figure * (1 - figure)
    if slope <= 0 or deviation < NOTHING:
        return unseen_interval(figure, groups, level)
    reach = limit * deviation / slope
    low = expit(logit(figure) - reach - max(0.0, bias) / slope)
    high = expit(logit(figure) + reach + max(0.0, -bias) / slope)
    # Rounding of logit and expit must not exclude the figure from its interval.
    return min(float(low), figure), max(float(high), figure)


def jackknife_deviation(without: Floats) -> float:
    """Computes the jackknife standard error of a metric from its values (B,) without each block of clips."""
    return float(np.sqrt((len(without) - 1) * np.var(without)))


def jackknife_interval(
    figure: float, without: Floats, groups: int, level: float = 0.95
) -> tuple[float, float] | None:
    """Computes the jackknife interval of a proportion.

    Parameters
    ----------
    figure
        The score, in 0..1.
    without
        (B,) its values without each block of clips.
    groups
        Number of groups with a score.
    level
        Confidence level.

    Returns
    -------
    tuple of float or None
        Lower and upper end. None for fewer than two groups.
    """
    if groups < 2:
        return None
    limit = float(t.ppf((1 + level) / 2, groups - 1))
    return logit_interval(figure, jackknife_deviation(without), limit, groups, level)


def area_interval(
    figure: float, without: Floats, groups: int, level: float = 0.95
) -> tuple[float, float] | None:
    """Computes the jackknife interval of an area under a curve, extended by the estimated bias.

    Parameters
    ----------
    figure
        The area, in 0..1.
    without
        (B,) its values without each block of clips.
    groups
        Number of blocks with positive clips, or with negative clips if these are fewer.
    level
        Confidence level.

    Returns
    -------
    tuple of float or None
        Lower and upper end. None for fewer than two groups, or if the area is undefined without some block.
    """
    if groups < 2 or not np.isfinite(without).all():
        return None
    bias = (len(without) - 1) * (float(without.mean()) - figure)
    limit = float(t.ppf((1 + level) / 2, groups - 1))
    return logit_interval(figure, jackknife_deviation(without), limit, groups, level, bias)


def unseen_interval(figure: float, groups: int, level: float = 0.95) -> tuple[float, float]:
    """Computes the interval of a proportion that is equal in all groups.

    If a fraction e of all groups had another score, no such group would be sampled with probability
    (1 - e)^groups. The largest e for which this is (1 - level) / 2 (Clopper and Pearson 1934) bounds the
    proportion, for any score of these groups.

    Parameters
    ----------
    figure
        The score, in 0..1.
    groups
        Number of groups.
    level
        Confidence level.

    Returns
    -------
    tuple of float
        Lower and upper end.
    """
    unseen = 1 - ((1 - level) / 2) ** (1 / groups)
    return figure * (1 - unseen), figure + unseen * (1 - figure)


def weighted_mean(scores: Floats) -> Callable[[Floats], Floats]:
    """Makes the statistic "mean of `scores`" for `Resamples.apply`.

    Parameters
    ----------
    scores
        (N,) or (N, M) scores per clip; NaN are left out.

    Returns
    -------
    callable
        Maps weights (b, N) to means (b,) or (b, M).
    """
    defined = np.isfinite(scores)
    filled = np.where(defined, scores, 0.0)

    def mean(weights: Floats) -> Floats:
        count = weights @ defined.astype(np.float64)
        return np.asarray(np.where(count > 0, weights @ filled / np.where(count > 0, count, 1), np.nan))

    return mean


# Differences of two proportions: interval and p value by Student's t, and correction for multiple tests.

LEAST_GROUPS = 3
"""Fewest groups for an interval. With two groups (one degree of freedom) it would extend over 13 standard
errors, and the standard error would come from a single difference."""


def spread(drawn: Floats) -> float | None:
    """Computes the standard error of a score from its resamples (draws,), without NaN; None for fewer than
    two."""
    kept = drawn[np.isfinite(drawn)]
    return None if len(kept) < 2 else float(kept.std(ddof=1))


def by_t(
    difference: float, deviation: float | None, groups: int
) -> tuple[tuple[float, float] | None, float | None]:
    """Computes the 95 % interval and two-sided p value of a difference of two proportions.

    Parameters
    ----------
    difference
        Difference of the two scores.
    deviation
        Its standard error over groups, or None if unknown.
    groups
        Number of groups with a score.

    Returns
    -------
    interval : tuple of float or None
        Lower and upper end, limited to -1..1. None if `deviation` is None or 0, or for fewer than
        `LEAST_GROUPS` groups: equal differences say nothing about further groups.
    p : float or None
        p value. With a standard error of 0 it is 1 for no difference, and None otherwise.
    """
    if deviation is None or groups < LEAST_GROUPS:
        return None, None
    if deviation < NOTHING:
        return None, 1.0 if abs(difference) < NOTHING else None
    reach = float(t.ppf(0.975, groups - 1)) * deviation
    p = float(2 * t.sf(abs(difference) / deviation, groups - 1))
    return (max(-1.0, difference - reach), min(1.0, difference + reach)), p


def holm(values: Floats) -> Floats:
    """Corrects p values for multiple tests (Holm 1979).

    Parameters
    ----------
    values
        (n,) p values.

    Returns
    -------
    ndarray
        (n,) corrected p values, in the given order.
    """
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected


def held(values: Sequence[float | None]) -> list[float | None]:
    """Corrects the p values that are not None like `holm`; None stays None."""
    known = [value for value in values if value is not None]
    corrected = iter(holm(np.array(known)).tolist()) if known else iter(())
    return [None if value is None else next(corrected) for value in values]
