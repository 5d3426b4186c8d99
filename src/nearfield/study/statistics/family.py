"""Correction for multiple comparisons: the family-wise error rate of a study is 5 %.

All pairs of arms are compared, because the best arm is chosen after looking at the results. Only what is
poorly known is pooled: the seeds' part of the variance over all pairs (three seeds give 2 degrees of freedom
to a single pair, 14 to eight arms), with a part of a pair's excess kept. The groups' part is a pair's own,
because two similar arms fail on the same recordings, drawn to the average where groups are few
(`MeanSquares.borrowing`). A difference must exceed a number of standard errors from Tukey's studentized range
q for that many arms: the average of the limits for the seeds and for the groups, weighted by their shares of
the variance. (Cochran 1964. His bound for unequal variances errs on the safe side; Satterthwaite's degrees of
freedom, estimated from three seeds, err on the other.)

    bound = (share q[dof of seeds] + (1 - share) q[dof of groups]) / sqrt(2)

`benchmarks/calibration.py` measures the alternatives. With each pair's own variance, up to a third of all
studies of eight equal arms claim a difference. With the pooled variance alone, a tenth do if the seeds of one
arm vary more; with seeds but no groups, a sixth; with a bootstrap over five seeds, most. Sign flips of five
seeds can never claim a difference. The larger of pooled and own variance (version 0.1.0) makes as few false
claims as this rule, and fewer true ones.

Comparisons with baselines are a second family, and both share the error rate. A baseline is one more arm of
the family of all arms; Bonferroni corrects over baselines.

Choosing an arm asks less than comparing all pairs: the best arm is among the candidates, and the recommended
one loses at most so much. That statement has its own rate of 5 %, by comparisons with the best (Hsu 1984),
whose limit is Dunnett's one-sided one. Equality within the meaningful difference has its own rate, too: both
one-sided bounds of a difference must lie within it (Schuirmann 1987).
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import ndtr

from nearfield.core.types import Ints
from nearfield.study.statistics.two_way import Array, MeanSquares, differences

FALSE_CLAIMS = 0.05
"""The family-wise error rate: the largest share of studies of equal arms that may claim any difference."""
FOR_ARMS = 0.04
"""The part of `FALSE_CLAIMS` for comparisons between arms, if there are baselines too."""
FOR_BASELINES = 0.01
"""The part of `FALSE_CLAIMS` for comparisons of arms with baselines, if there is more than one arm."""

_RATIOS = np.concatenate([np.linspace(0, 6, 21), np.geomspace(6.5, 1000, 19)])
_LEVELS = np.geomspace(1e-7, 0.9999, 300)
_TABULATED_DOF = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60, 120, 10_000)


@dataclass(frozen=True)
class Bound:
    """The limit on a difference between two of `arms` equal arms, in standard errors.

    For two arms, q / sqrt(2) is Student's t.
    """

    arms: int
    by_seed: int
    """Degrees of freedom of the seeds."""
    by_group: int
    """Degrees of freedom of the groups."""

    def limit(self, share: Array, level: float) -> Array:
        """The limit that any two arms exceed with a probability of at most `level`.

        `share` is `MeanSquares.share`, the part of the variance due to the seeds.
        """
        return np.asarray(
            share * _quantile(self.arms, self.by_seed, level)
            + (1 - share) * _quantile(self.arms, self.by_group, level)
        )

    def best_limit(self, share: Array, level: float) -> Array:
        """The limit of comparisons with the best: one-sided, of all arms against any one."""
        seeds, groups = (dunnett(self.arms - 1, dof, level) for dof in (self.by_seed, self.by_group))
        return np.asarray(share * seeds + (1 - share) * groups)

    def p_value(self, ratio: float, share: float) -> float:
        """The corrected p value of a difference of `ratio` standard errors: the level with that limit."""
        seeds, groups = (_quantiles(self.arms, dof) for dof in (self.by_seed, self.by_group))
        limits = share * seeds + (1 - share) * groups
        return float(np.exp(np.interp(-ratio, -limits, np.log(_LEVELS))))


def all_pairs(scores: Array, folds: Ints | None = None) -> tuple[MeanSquares, Array, Array, Bound]:
    """(..., A, S, G) scores -> mean squares, standard errors and shares (..., pairs), and the bound.

    `folds` (G,) numbers the fold of each group; None: all groups are judged by the same trainings.
    """
    arms = scores.shape[-3]
    own = MeanSquares.of(differences(scores), folds)
    used = own.borrowing(own.pooled(arms - 1))
    return own, np.asarray(np.sqrt(used.variance)), used.share, Bound(arms, *used.dof)


def against_baseline(
    scores: Array, baseline: Array, folds: Ints | None = None
) -> tuple[MeanSquares, Array, Array, Bound]:
    """(..., A, S, G) scores and those of a baseline -> mean squares, standard errors, shares (..., A), bound.

    The baseline is one more arm of the family of all arms, whose studentized range bounds the differences of
    the arms from it (Dunnett's bound, made a little wider). All differences share the baseline's groups, so
    that no degrees of freedom are borrowed.
    """
    arms = scores.shape[-3]
    own = MeanSquares.of(scores - baseline, folds)
    used = replace(own.borrowing(own.pooled(arms)), borrowed_dof=0)
    return own, np.asarray(np.sqrt(used.variance)), used.share, Bound(arms + 1, *used.dof)


def candidates(gaps: Array, limits: Array) -> tuple[npt.NDArray[np.bool_], Array]:
    """Comparisons with the best (Hsu 1984; for unequal errors Hsu 1996, section 4.2).

    Parameters
    ----------
    gaps
        Differences (..., A, A): the arm of the row minus that of the column.
    limits
        Limits (..., A, A) of the differences: Dunnett's one-sided ones.

    Returns
    -------
    tuple
        Whether each arm (..., A) may be the best, and the most (..., A) that it may lie below the best.
    """
    arms = gaps.shape[-1]
    others = ~np.eye(arms, dtype=bool)
    may = np.where(others, gaps + limits, np.inf).min(-1) >= 0
    below = np.where(others & may[..., None, :], limits - gaps, -np.inf).max(-1)
    return may, np.maximum(below, 0.0)


@cache
def dunnett(others: int, dof: int, level: float) -> float:
    """Dunnett's one-sided limit (1955): `others` equal arms against one, with equal errors.

    The largest of `others` differences exceeds that many standard errors with probability `level`.
    """
    most = float(stats.t.isf(level / others, dof))  # Bonferroni's, which is exact for a single other arm
    if others == 1:
        return most
    z, weight = np.polynomial.legendre.leggauss(96)
    z, weight = 8 * z, 8 * weight * stats.norm.pdf(8 * z)
    place = (np.arange(400) + 0.5) / 400  # cubed: at low levels, the smallest scales decide
    scale, share = np.sqrt(stats.chi2.ppf(place**3, dof) / dof), 3 * place**2 / 400

    def above(limit: float) -> float:
        return float(1 - share @ (ndtr(z + 2**0.5 * limit * scale[:, None]) ** others @ weight)) - level

    return min(most, float(brentq(above, 0.0, 1.1 * most, xtol=1e-4)))


def _quantile(arms: int, dof: int, level: float) -> float:
    return float(np.interp(np.log(level), np.log(_LEVELS), _quantiles(arms, dof)))


def _quantiles(arms: int, dof: int) -> Array:
    """q / sqrt(2) at each of `_LEVELS`, to three digits; interpolated in 1 / dof between tabulated values."""
    if arms == 2:
        return np.asarray(stats.t.isf(_LEVELS / 2, dof))
    above = next((each for each in _TABULATED_DOF if each >= dof), _TABULATED_DOF[-1])
    below = max(each for each in _TABULATED_DOF if each <= dof)
    if above == below:
        return _tukeys(arms, above)
    share = (1 / dof - 1 / above) / (1 / below - 1 / above)
    return np.asarray(share * _tukeys(arms, below) + (1 - share) * _tukeys(arms, above))


@cache
def _tukeys(arms: int, dof: int) -> Array:
    """q / sqrt(2) at each of `_LEVELS`, from scipy's tail probabilities at `_RATIOS`, which are slow."""
    tails = np.asarray(stats.studentized_range.sf(_RATIOS * 2**0.5, arms, dof), np.float64)
    falls = np.concatenate([[True], np.diff(tails) < 0]) & (tails > 1e-12)  # the precision of scipy
    logs = -np.log(tails[falls])
    wanted = np.minimum(-np.log(_LEVELS), logs[-1])
    return np.asarray(PchipInterpolator(logs, _RATIOS[falls])(wanted))
