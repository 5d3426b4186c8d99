"""All comparisons of a study at once: what may be claimed with one chance in twenty of any false claim.

Arms are compared in all pairs, because the best one is chosen by looking. The variance of a difference is
that of all pairs together (three seeds give 2 degrees of freedom to a pair alone, 14 to eight arms), or the
pair's own where that is larger. How many standard errors a difference must exceed is, by Tukey's studentised
range q for that many arms, the average of what the seeds and what the groups ask for, each weighed by its
share of the variance (Cochran 1964, whose bound for unlike variances errs to the safe side where
Satterthwaite's degrees of freedom, estimated from three seeds, err to the other):

    bound = (share q[seeds' freedom] + (1 - share) q[groups' freedom]) / sqrt(2)

Rivals, as `benchmarks/calibration.py` measures them: with each pair's own variance up to a third of all
studies of eight equal arms claim something; with the pooled variance alone a tenth do where the seeds of one
arm vary more; seeds without groups a sixth; a bootstrap over five seeds most of them; sign flips of five
seeds can claim nothing at all.

Comparisons with baselines are a second family, Bonferroni's; the two share the error rate.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats
from scipy.interpolate import PchipInterpolator

from nearfield.study.statistics.two_way import Array, MeanSquares, differences

FALSE_CLAIMS = 0.05
"""Largest share of studies of equal arms that may claim any difference."""
FOR_ARMS = 0.04
"""Of which for the arms among each other ..."""
FOR_BASELINES = 0.01
"""... and for the arms against the baselines."""

_RATIOS = np.concatenate([np.linspace(0, 6, 21), np.geomspace(6.5, 1000, 19)])
_LEVELS = np.geomspace(1e-7, 0.9999, 300)
_FREEDOMS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60, 120, 10_000)


@dataclass(frozen=True)
class Bound:
    """How many standard errors two of `arms` equal ones may differ by. For two arms q / sqrt(2) is
    Student's t."""

    arms: int
    by_seed: int
    """Degrees of freedom of what the seeds show."""
    by_group: int

    def limit(self, share: Array, level: float) -> Array:
        """In standard errors: exceeded by any two with a chance of `level` at most. `share` as in Squares."""
        return np.asarray(
            share * _quantile(self.arms, self.by_seed, level)
            + (1 - share) * _quantile(self.arms, self.by_group, level)
        )

    def chance(self, ratio: float, share: float) -> float:
        """The level at which `ratio` would be the limit: the corrected p of a difference that large."""
        seeds, groups = (_quantiles(self.arms, freedom) for freedom in (self.by_seed, self.by_group))
        limits = share * seeds + (1 - share) * groups
        return float(np.exp(np.interp(-ratio, -limits, np.log(_LEVELS))))


def all_pairs(scores: Array) -> tuple[MeanSquares, Array, Array, Bound]:
    """(..., A, S, G) scores -> squares of each pair, (..., pairs) standard errors, seeds' shares, bound."""
    arms = scores.shape[-3]
    own = MeanSquares.of(differences(scores))
    together = own.pooled(arms - 1)
    errors = np.sqrt(np.maximum(own.variance, together.variance))
    return own, errors, np.broadcast_to(together.share, errors.shape), Bound(arms, *together.dof)


def _quantile(arms: int, freedom: int, level: float) -> float:
    return float(np.interp(np.log(level), np.log(_LEVELS), _quantiles(arms, freedom)))


def _quantiles(arms: int, freedom: int) -> Array:
    """q / sqrt(2) at each of `_LEVELS`, good to three digits; between tables by 1 / freedom, as is usual."""
    if arms == 2:
        return np.asarray(stats.t.isf(_LEVELS / 2, freedom))
    above = next((each for each in _FREEDOMS if each >= freedom), _FREEDOMS[-1])
    below = max(each for each in _FREEDOMS if each <= freedom)
    if above == below:
        return _tukeys(arms, above)
    share = (1 / freedom - 1 / above) / (1 / below - 1 / above)
    return np.asarray(share * _tukeys(arms, below) + (1 - share) * _tukeys(arms, above))


@cache
def _tukeys(arms: int, freedom: int) -> Array:
    """From scipy's tails at `_RATIOS`, which take their time."""
    tails = np.asarray(stats.studentized_range.sf(_RATIOS * 2**0.5, arms, freedom), np.float64)
    falls = np.concatenate([[True], np.diff(tails) < 0]) & (tails > 1e-12)  # scipy's digits end there
    logs = -np.log(tails[falls])
    wanted = np.minimum(-np.log(_LEVELS), logs[-1])
    return np.asarray(PchipInterpolator(logs, _RATIOS[falls])(wanted))
