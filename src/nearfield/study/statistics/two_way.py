"""Variance of a mean over seeds and test groups, by a two-way random-effects layout.

For a table d of one number for each seed s and group g (scores of an arm, or differences of two arms):

    d[s, g] = mean + seed[s] + group[g] + rest[s, g]            all three random
    Var(mean over S seeds and G groups) = var_seed / S + var_group / G + var_rest / (S G)

The mean squares MS_seed, MS_group and MS_rest of the two-way layout estimate it as

    (MS_seed + max(0, MS_group - MS_rest)) / (S G)

This is the analysis of multi-reader multi-case studies (Dorfman, Berbaum & Metz 1992; Obuchowski & Rockette
1995; Hillis 2007 for the constrained sum), where the seed is the reader and the group is the case. Leading
axes are batch axes: a simulation computes thousands of layouts in one call.

With F folds, every group is judged by S trainings that never saw its fold, and trainings are nested in folds:

    d[s, g] = mean + fold[f] + seed[f, s] + group[g] + rest[s, g]           f: the fold of group g

MS_seed is then that of trainings within folds, with F (S - 1) degrees of freedom, and MS_group that of groups
within folds. A fold counts by its groups, as in the mean; uneven folds have fewer degrees of freedom. Two
kinds of chance do not show in them: that of the training clips, which folds share (Bengio & Grandvalet 2004:
no unbiased estimate exists), and that of the partition. Both shrink with the number of groups, as the groups'
part does, so that the groups' part counts `OVERLAP` times (`benchmarks/folds.py` calibrates the factor with
learners of three sorts). With one seed, what folds vary more than groups do is the part of the trainings,
with F - 1 degrees of freedom. With fewer than two groups in a fold on average, hardly anything shows how
groups vary within folds: MS_group is then that of all groups, with G - 1 degrees of freedom, which also holds
what folds vary.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.types import Ints

Array = npt.NDArray[np.float64]

SEED_PRIOR = 4
"""Degrees of freedom that the average of all pairs counts for where the seeds of a pair vary more than it."""
GROUP_PRIOR = 20
"""Degrees of freedom that the average of all pairs counts for in the part of the groups."""
OVERLAP = 2.0
"""Factor of the groups' part with folds, whose training clips overlap."""
OVERLAP_OF_ONE = 1.35
"""The same with one seed, where the groups' part also holds the remainder."""


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of two-way layouts of S seeds and G groups, with any leading axes."""

    mean: Array
    seed: Array
    group: Array
    """Zero if there is only one group."""
    rest: Array
    seeds: int
    groups: int
    seed_layouts: int = 1
    """Number of independent layouts in `seed`; multiplies its degrees of freedom."""
    group_layouts: int = 1
    """Number of independent layouts in `group` and `rest`; multiplies their degrees of freedom."""
    borrowed_dof: int = 0
    """Further degrees of freedom of the groups, from other layouts (see `borrowing`)."""
    folds: int = 1
    """Number of folds; 1: all groups are judged by the same trainings."""
    even_folds: float = 0.0
    """Number of equal folds with as many degrees of freedom (Satterthwaite 1946); 0: `folds`."""

    @classmethod
    def of(cls, table: Array, folds: Ints | None = None) -> "MeanSquares":
        """Mean squares of (..., S, G) tables.

        Without folds, S must be at least 2; G = 1 shows the effect of seeds only. `folds` (G,) numbers the
        fold of each group, from 0; S may then be 1.
        """
        if folds is not None and fold_count(folds) > 1:
            return cls._in_folds(table, folds)
        seeds, groups = table.shape[-2:]
        mean = table.mean((-2, -1))
        by_seed, by_group = table.mean(-1), table.mean(-2)
        seed = groups * ((by_seed - mean[..., None]) ** 2).sum(-1) / (seeds - 1)
        if groups == 1:
            return cls(mean, seed, np.zeros_like(seed), np.zeros_like(seed), seeds, groups)
        group = seeds * ((by_group - mean[..., None]) ** 2).sum(-1) / (groups - 1)
        rest = table - by_seed[..., :, None] - by_group[..., None, :] + mean[..., None, None]
        residual = (rest**2).sum((-2, -1)) / ((seeds - 1) * (groups - 1))
        return cls(mean, seed, group, residual, seeds, groups)

    @classmethod
    def _in_folds(cls, table: Array, folds: Ints) -> "MeanSquares":
        """Mean squares of trainings and of groups within folds."""
        seeds, groups = table.shape[-2:]
        _, fold, sizes = np.unique(folds, return_inverse=True, return_counts=True)
        number = len(sizes)
        average = np.eye(number)[fold] / sizes  # (G, F)
        by_training, by_group = table @ average, table.mean(-2)  # (..., S, F) and (..., G)
        by_fold = by_training.mean(-2)
        mean = np.asarray(table.mean((-2, -1)))
        within = by_group - by_fold[..., fold]
        varied = within if group_dof(groups, number) == groups - number else by_group - mean[..., None]
        group = seeds * (varied**2).sum(-1) / group_dof(groups, number)
        if seeds == 1:
            between = (sizes * (by_fold - mean[..., None]) ** 2).sum(-1) / (number - 1)
            # Groups of a larger fold share their training, which counts more in the mean than between folds.
            size = (sizes**2).sum() / groups
            more = np.maximum(between - group, 0.0) * size * (number - 1) / (groups - size)
            return cls(mean, more, group, np.zeros_like(group), 1, groups, folds=number)
        # A fold counts by its groups, as in the mean.
        spread = sizes**2 / groups * (by_training - by_fold[..., None, :]) ** 2
        seed = spread.sum((-2, -1)) / (seeds - 1)
        rest = table - by_training[..., fold] - within[..., None, :]
        residual = (rest**2).sum((-2, -1)) / max(1, (seeds - 1) * (groups - number))
        even = float((sizes**2).sum() ** 2 / (sizes**4).sum())
        return cls(mean, seed, group, residual, seeds, groups, folds=number, even_folds=even)

    def pooled(self, layouts: int) -> "MeanSquares":
        """The average over the last axis, which counts as `layouts` independent layouts."""

        def over(values: Array) -> Array:
            return np.asarray(values.mean(-1, keepdims=True))

        return replace(
            self,
            seed=over(self.seed),
            group=over(self.group),
            rest=over(self.rest),
            seed_layouts=layouts,
            group_layouts=layouts,
        )

    def borrowing(self, together: "MeanSquares") -> "MeanSquares":
        """These mean squares, each drawn to those of all layouts as far as its own are poorly known.

        The seeds' part is that of `together` (see `pooled`), or more: a part of its own excess is kept, with
        the weight of its degrees of freedom against `SEED_PRIOR`. The groups' part is its own, drawn to the
        average with the weight of `GROUP_PRIOR` degrees of freedom. Half of them count in `dof`; all of them
        would be too many where the groups of one arm vary more.
        """
        by_seed, by_group = self._own_dof
        own, most = by_seed / (by_seed + SEED_PRIOR), np.maximum(self.seed, together.seed)
        seed = own * most + (1 - own) * together.seed
        own = by_group / (by_group + GROUP_PRIOR)
        excess = own * (self.group - self.rest) + (1 - own) * (together.group - together.rest)
        others = (together.group_layouts - 1) * by_group
        return replace(
            self,
            seed=seed,
            group=self.rest + np.maximum(excess, 0.0),
            seed_layouts=together.seed_layouts,
            borrowed_dof=min(GROUP_PRIOR // 2, others),
        )

    def single(self) -> "MeanSquares":
        """The result of `pooled` for one set of layouts, as scalars."""
        return replace(self, seed=self.seed[0], group=self.group[0], rest=self.rest[0])

    def at(self, place: int) -> "MeanSquares":
        """One layout of several, as scalars."""
        return replace(
            self,
            mean=self.mean[place],
            seed=self.seed[place],
            group=self.group[place],
            rest=self.rest[place],
        )

    @property
    def excess(self) -> Array:
        """MS_group - MS_rest, at least 0."""
        return np.asarray(np.maximum(self.group - self.rest, 0.0))

    @property
    def overlap(self) -> float:
        """The factor of the groups' part (see `factor`)."""
        return self.factor(self.seeds, self.folds)

    @staticmethod
    def factor(seeds: int, folds: int) -> float:
        """The factor of the groups' part: 1 without folds."""
        if folds == 1:
            return 1.0
        return OVERLAP if seeds > 1 else OVERLAP_OF_ONE

    @property
    def variance(self) -> Array:
        """Variance of the mean."""
        return np.asarray((self.seed + self.overlap * self.excess) / (self.seeds * self.groups))

    @property
    def share(self) -> Array:
        """Share of the variance that the seeds explain; the groups explain the rest. 1 if nothing varies."""
        whole = self.seed + self.overlap * self.excess
        return np.asarray(np.divide(self.seed, whole, out=np.ones_like(whole), where=whole > 0))

    @property
    def dof(self) -> tuple[int, int]:
        """Degrees of freedom of the seeds and of the groups."""
        by_seed, by_group = self._own_dof
        return by_seed * self.seed_layouts, by_group * self.group_layouts + self.borrowed_dof

    @property
    def _own_dof(self) -> tuple[int, int]:
        """Degrees of freedom of the seeds and of the groups of one layout."""
        by_seed = math.floor((self.even_folds or self.folds) * (self.seeds - 1) + 1e-9) or self.folds - 1
        return by_seed, group_dof(self.groups, self.folds)

    def parts(self) -> tuple[Any, Any, Any]:
        """Estimated (var_seed, var_group, var_rest), none negative."""
        seed = np.maximum(self.seed - self.rest, 0.0) / self.groups
        return seed, self.excess / self.seeds, self.rest


def group_dof(groups: int, folds: int) -> int:
    """Degrees of freedom of the groups: within folds, or of all groups where a fold has fewer than two."""
    return max(1, groups - (folds if groups >= 2 * folds else 1))


def fold_count(folds: Ints | None) -> int:
    """Number of folds, from that of each group; 1 without folds."""
    return 1 if folds is None else len(np.unique(folds))


def differences(scores: Array) -> Array:
    """(..., A, S, G) scores to (..., A (A - 1) / 2, S, G): each arm minus each later one."""
    one, other = pairs(scores.shape[-3])
    return np.asarray(scores[..., one, :, :] - scores[..., other, :, :])


def pairs(arms: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of both arms of every pair, in the order of `differences`."""
    one, other = np.triu_indices(arms, 1)
    return one, other
