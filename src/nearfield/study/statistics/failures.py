"""Trainings that diverge are an outcome of their arm, which can be compared as any other."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from nearfield.metrics.intervals import held
from nearfield.study.records import Failures


def compared(counts: Mapping[str, tuple[int, int]]) -> tuple[Failures, ...]:
    """The share of diverged trainings of each arm, against that of the arm with the smallest.

    Parameters
    ----------
    counts
        Diverged and all trainings of each arm.

    Returns
    -------
    tuple
        One entry per arm, in the same order; empty if no training diverged.
    """
    if not any(diverged for diverged, _ in counts.values()):
        return ()
    known = {arm: each for arm, each in counts.items() if each[1]}
    least = min(known, key=lambda arm: known[arm][0] / known[arm][1])
    few, all_of_least = known[least]
    p_values = [
        None if arm == least else _fisher(diverged, trained, few, all_of_least)
        for arm, (diverged, trained) in known.items()
    ]
    found = []
    for (arm, (diverged, trained)), p in zip(known.items(), held(p_values), strict=True):
        interval = stats.binomtest(diverged, trained).proportion_ci(method="exact")
        found.append(
            Failures(
                arm, diverged, trained, float(interval.low), float(interval.high), 1.0 if p is None else p
            )
        )
    return tuple(found)


def _fisher(few: int, trained: int, others: int, others_trained: int) -> float:
    """Fisher's exact test of two shares, two-sided."""
    table = np.array([[few, trained - few], [others, others_trained - others]])
    return float(stats.fisher_exact(table).pvalue)
