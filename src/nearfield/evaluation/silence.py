"""Is a cluster just the quiet clips? The level of every cluster, and where the silent clips went."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.checks import check_lengths

SILENT = -60.0
"""Level in dB of full scale below which a clip counts as silent."""

FLOOR = -120.0
"""Level taken for digital silence, which has none."""


@dataclass(frozen=True)
class ClusterLevel:
    """One cluster by its loudness."""

    cluster: int
    clips: int
    level: float
    """Mean level in dB of full scale."""
    silent: int
    """Silent clips in it."""
    silent_share: float
    """Of the cluster's clips: how purely it is a cluster of silence."""
    of_all_silent: float
    """Of all silent clips: how much of the silence it holds; 0 where no clip is silent."""


@dataclass(frozen=True)
class SilenceReport:
    """The clusters, quietest first."""

    clusters: tuple[ClusterLevel, ...]
    threshold: float
    silent_share: float
    """Of all clips in clusters: what `silent_share` of a cluster would be by chance."""
    explained: float
    """Share of the variance of level that the clusters explain (eta squared), 0..1."""

    @property
    def quiet(self) -> ClusterLevel:
        """The cluster with the lowest mean level."""
        return self.clusters[0]


def silence_report(levels: Floats, clusters: Ints, threshold: float = SILENT) -> SilenceReport:
    """Sets clusters against loudness.

    `levels` (N,) in dB of full scale, -inf for digital silence; `clusters` (N,) numbers, -1 in none. Raises
    RequestError where no clip is in a cluster, or a level is not a number.
    """
    check_lengths(len(clusters), levels=levels)
    kept = clusters >= 0
    if not kept.any():
        raise RequestError("silence: no clip is in a cluster; cluster the space first.")
    if np.isnan(levels[kept]).any():
        raise RequestError("silence: a level is not a number; leave clips that could not be measured out.")
    heard, members = np.maximum(levels[kept], FLOOR), clusters[kept]
    silent = heard < threshold
    rows = [_level(number, heard, silent, members == number) for number in np.unique(members).tolist()]
    total = float(((heard - heard.mean()) ** 2).sum())
    between = sum(row.clips * (row.level - float(heard.mean())) ** 2 for row in rows)
    return SilenceReport(
        clusters=tuple(sorted(rows, key=lambda row: (row.level, row.cluster))),
        threshold=threshold,
        silent_share=float(silent.mean()),
        explained=between / total if total > 0 else 0.0,
    )


def _level(number: int, levels: Floats, silent: Bools, inside: Bools) -> ClusterLevel:
    count, quiet, everywhere = int(inside.sum()), int(silent[inside].sum()), int(silent.sum())
    return ClusterLevel(
        cluster=number,
        clips=count,
        level=float(levels[inside].mean()),
        silent=quiet,
        silent_share=quiet / count,
        of_all_silent=quiet / everywhere if everywhere else 0.0,
    )
