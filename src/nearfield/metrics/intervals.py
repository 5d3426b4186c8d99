"""Intervals by resampling groups of clips; paired differences with p values."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import t

from nearfield.core.errors import RequestError
from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints

# How far a score could be off because the test set is finite: intervals by resampling groups of clips.
#
# Conventions: clips of one group (speaker, source, recording) are not independent, so whole groups are
# drawn, with putting back, as many as there are (cluster bootstrap; Davison and Hinkley 1997, chapter 3.8).
# A clip whose group is not known (-1) is a group of its own. Every score of an evaluation uses the same
# draws, so that differences of scores are paired.
#
# Intervals are for 95 %. Shares and means of shares (accuracy, recall, F1) have intervals of Student's t on
# the scale of log(p / (1 - p)), the deviation being that of the draws (Dean and Pagano 2015, on proportions
# in clustered samples): they never leave 0..1 and allow for few groups. Draws of macro F1 have a long tail
# below and lie lower than the figure, which itself is hardly biased; a percentile interval leans down with
# them, and its mirror image about the figure ends at 1. Where all groups score alike (all are right, say) no
# draw differs; then the bound is that of the groups which could score otherwise and were not met
# (`unseen_interval`). benchmarks/intervals.py simulates how often each holds the truth.
#
# A clip drawn twice would find itself, so measures that search the judged clips among themselves are not
# resampled: their deviation is that of leaving each group out on both sides (`left_out.py`).
#
# The average precision of a rare tag is biased upwards in a small set, and more in a resample of it: the mean
# over 44 tags of 41 recordings is 0.05 too high, twice its standard deviation. So areas are not resampled
# either: each group is left out, which estimates both the deviation and the bias (Quenouille 1949), and the
# bias lengthens the interval on the side where the truth lies (`area_interval`). Such an interval holds both
# values that a reader may mean by the truth: the area in a very large set, and the mean area of sets as small
# as this one. It is wide where tags are rare. benchmarks/areas.py simulates both.

CELLS = 2**22
"""Clip weights held at once."""
NOTHING = 1e-12
"""A deviation below this is rounding."""


@dataclass(frozen=True)
class Resamples:
    """How often each group was drawn."""

    counts: npt.NDArray[np.uint16]
    """(draws, G)"""
    group_of: Ints
    """(N,) the column of each clip."""

    @classmethod
    def of(cls, groups: Ints, draws: int = 1000, seed: int = 0) -> "Resamples":
        """Draws for clips of `groups` (N,), -1 where not known; the seed fixes them."""
        # Unknown groups get numbers of their own, below all others.
        own = np.where(groups >= 0, groups, -1 - np.arange(len(groups)))
        names, group_of = np.unique(own, return_inverse=True)
        counts = np.zeros((draws, len(names)), dtype=np.uint16)
        chance = stream(seed, "resamples")
        for draw in range(draws if len(names) else 0):
            drawn = chance.integers(len(names), size=len(names))
            counts[draw] = np.bincount(drawn, minlength=len(names))
        return cls(counts, group_of)

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.counts.shape[1])

    def groups_with(self, clips: Ints | Bools) -> int:
        """How many groups have one of `clips`, positions or a mask (N,): those that a score can differ by."""
        return len(np.unique(self.group_of[clips]))

    def weights(self) -> Iterator[Floats]:
        """Yields (some draws, N) blocks of how often each clip counts. Raises RequestError without draws."""
        if not len(self.counts):
            raise RequestError("draws: an interval needs one draw at least. Given: 0.")
        step = max(1, CELLS // max(len(self.group_of), 1))
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step].astype(np.float64)[:, self.group_of]

    def apply(self, statistic: Callable[[Floats], Floats]) -> Floats:
        """`statistic` maps weights (some draws, N) to (some draws, ...); gives all draws' values."""
        return np.concatenate([statistic(weights) for weights in self.weights()])


def share_interval(
    figure: float, values: Floats, groups: int, level: float = 0.95
) -> tuple[float, float] | None:
    """The interval of a share, or of a mean of shares, from its `values` (draws,) under resampling.

    The figure plus and minus the quantile of t, with one degree of freedom less than `groups`, times the
    deviation of the draws, all on the scale of log(p / (1 - p)). Draws in which the score is undefined are
    left out; None where fewer than two are left or there is but one group.
    Raises ValueError where `figure` is no share.
    """
    kept = values[np.isfinite(values)]
    if len(kept) < 2 or groups < 2:
        return None
    return logit_interval(
        figure, float(kept.std(ddof=1)), float(t.ppf((1 + level) / 2, groups - 1)), groups, level
    )


def logit_interval(
    figure: float, deviation: float, limit: float, groups: int, level: float = 0.95, bias: float = 0.0
) -> tuple[float, float]:
    """The interval of a share whose standard error is `deviation`: `limit` of them on either side, on the
    scale of log(p / (1 - p)). Without any deviation, what `groups` that score alike allow.

    `bias` is how much too high the figure is estimated to be: the interval reaches further down by it, or
    further up where it is negative. Raises ValueError where `figure` is no share.
    """
    if not 0 <= figure <= 1:
        raise ValueError(f"{figure} is no share: intervals of other measures need another scale.")
    slope = figure * (1 - figure)
    if slope <= 0 or deviation < NOTHING:
        return unseen_interval(figure, groups, level)
    reach = limit * deviation / slope
    low = expit(logit(figure) - reach - max(0.0, bias) / slope)
    high = expit(logit(figure) + reach + max(0.0, -bias) / slope)
    # Rounding on the way there and back must not part the ends from the figure.
    return min(float(low), figure), max(float(high), figure)


def jackknife_deviation(without: Floats) -> float:
    """The standard error of a measure from its values (B,) without each block of clips."""
    return float(np.sqrt((len(without) - 1) * np.var(without)))


def jackknife_interval(
    figure: float, without: Floats, groups: int, level: float = 0.95
) -> tuple[float, float] | None:
    """The interval of a share from its values (B,) without each block of clips, of which `groups` hold a clip
    that has a score; None where fewer than two do."""
    if groups < 2:
        return None
    limit = float(t.ppf((1 + level) / 2, groups - 1))
    return logit_interval(figure, jackknife_deviation(without), limit, groups, level)


def area_interval(
    figure: float, without: Floats, groups: int, level: float = 0.95
) -> tuple[float, float] | None:
    """The interval of an area under a curve from its values (B,) without each block of clips.

    As `jackknife_interval`, lengthened by the jackknife's estimate of the bias. `groups` is how many blocks
    can tell: those that have the tag, or those that lack it, if these are fewer. None where fewer than two
    can, or where the area is not defined without one of the blocks.
    """
    if groups < 2 or not np.isfinite(without).all():
        return None
    bias = (len(without) - 1) * (float(without.mean()) - figure)
    limit = float(t.ppf((1 + level) / 2, groups - 1))
    return logit_interval(figure, jackknife_deviation(without), limit, groups, level, bias)


def unseen_interval(figure: float, groups: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of a share that is the same in all of `groups`.

    A share e of all groups that score otherwise goes unmet with a chance of (1 - e)^groups; the largest e for
    which that is (1 - level) / 2 (Clopper and Pearson 1934) bounds the share, whatever those would score.
    """
    unseen = 1 - ((1 - level) / 2) ** (1 / groups)
    return figure * (1 - unseen), figure + unseen * (1 - figure)


def weighted_mean(scores: Floats) -> Callable[[Floats], Floats]:
    """A statistic: the mean of per-clip `scores` (N,), or of every column of (N, M), leaving out NaN."""
    defined = np.isfinite(scores)
    filled = np.where(defined, scores, 0.0)

    def mean(weights: Floats) -> Floats:
        count = weights @ defined.astype(np.float64)
        return np.asarray(np.where(count > 0, weights @ filled / np.where(count > 0, count, 1), np.nan))

    return mean


# Differences of two shares: interval and p by Student's t, and p values held over many of them.

LEAST_GROUPS = 3
"""Fewer groups give no interval: of two, one degree of freedom, t asks for 13 standard errors of a deviation
that is itself known by a single number."""


def spread(drawn: Floats) -> float | None:
    """The standard error of a figure, from its values (draws,) under resampling; NaN are left out. None where
    fewer than two are left."""
    kept = drawn[np.isfinite(drawn)]
    return None if len(kept) < 2 else float(kept.std(ddof=1))


def by_t(
    difference: float, deviation: float | None, groups: int
) -> tuple[tuple[float, float] | None, float | None]:
    """The 95 % interval and the two-sided p of a difference of two shares whose standard error, over `groups`
    that can tell, is `deviation`. The interval ends where such a difference does, at -1 and 1.

    Both are None with fewer than LEAST_GROUPS or no deviation. Where nothing deviates there is no interval,
    for that says nothing of how other groups would; p is 1 of no difference, None of another.
    """
    if deviation is None or groups < LEAST_GROUPS:
        return None, None
    if deviation < NOTHING:
        return None, 1.0 if abs(difference) < NOTHING else None
    reach = float(t.ppf(0.975, groups - 1)) * deviation
    p = float(2 * t.sf(abs(difference) / deviation, groups - 1))
    return (max(-1.0, difference - reach), min(1.0, difference + reach)), p


def holm(values: Floats) -> Floats:
    """(n,) p values held over all of them (Holm 1979), in the order given."""
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    held = np.empty(len(values))
    held[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return held


def held(values: Sequence[float | None]) -> list[float | None]:
    """The same over those that have a p; None stays None."""
    known = [value for value in values if value is not None]
    corrected = iter(holm(np.array(known)).tolist()) if known else iter(())
    return [None if value is None else next(corrected) for value in values]
