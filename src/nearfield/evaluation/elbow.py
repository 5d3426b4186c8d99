"""How many clusters, asked without labels: k-means for every number, and two rules that choose one.

- Elbow: the number whose point on the curve of inertia lies farthest below the chord from the first number
  to the last, both axes brought to 0..1 (Satopaa et al. 2011, "Finding a Kneedle in a Haystack").
- Silhouette: the number with the largest mean silhouette (Rousseeuw 1987), from two clusters on.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats, Ints
from nearfield.core.seeds import entropy, stream

SILHOUETTE_CLIPS = 1500
"""Clips beyond which silhouettes are measured on a drawn subset: they cost the square."""

_STARTS = 4


@dataclass(frozen=True)
class KMeansPath:
    """k-means for every number of clusters from 1 on."""

    counts: tuple[int, ...]
    inertias: Floats
    """Sum of squared distances to the nearest centre, for each count."""
    silhouettes: Floats
    """NaN for one cluster."""
    members: tuple[Ints, ...]
    """(N,) cluster numbers, for each count."""

    @property
    def elbow(self) -> int:
        """The count at the elbow."""
        return elbow(self.counts, self.inertias)

    @property
    def by_silhouette(self) -> int | None:
        """The count of the largest silhouette; None where there is none."""
        if not np.isfinite(self.silhouettes).any():
            return None
        return self.counts[int(np.nanargmax(self.silhouettes))]

    def at(self, count: int) -> Ints:
        """(N,) cluster numbers for a count of the path."""
        return self.members[self.counts.index(count)]


def elbow(counts: tuple[int, ...], inertias: Floats) -> int:
    """The count farthest below the chord; the first where the curve has no bend."""
    x = np.asarray(counts, dtype=np.float64)
    if len(x) < 3 or inertias[0] <= inertias[-1]:
        return counts[0]
    across = (x - x[0]) / (x[-1] - x[0])
    height = (inertias - inertias[-1]) / (inertias[0] - inertias[-1])
    # The chord falls from 1 to 0, so the way down to the curve is 1 - across - height, up to a constant.
    return counts[int(np.argmax(1 - across - height))]


def k_means_path(space: Floats, most: int = 20, seed: int = 0, also: int | None = None) -> KMeansPath:
    """k-means of `space` (N, D) for 1 to `most` clusters, and for `also`; fewer where points are fewer."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    if not len(space):
        raise RequestError("k-means: there are no clips to cluster.")
    distinct = len(np.unique(space, axis=0))
    wanted = {*range(1, most + 1), *([also] if also else [])}
    counts = tuple(sorted(count for count in wanted if count <= distinct))
    chosen = np.arange(len(space))
    if len(space) > SILHOUETTE_CLIPS:
        chosen = stream(seed, "silhouettes").choice(len(space), SILHOUETTE_CLIPS, replace=False)
    inertias, silhouettes, members = [], [], []
    for count in counts:
        model = KMeans(count, n_init=_STARTS, random_state=entropy(seed, "k-means", count) % 2**32).fit(space)
        found = np.asarray(model.labels_, dtype=np.int64)
        inertias.append(float(model.inertia_))
        several = 2 <= len(np.unique(found[chosen])) < len(chosen)
        silhouettes.append(float(silhouette_score(space[chosen], found[chosen])) if several else np.nan)
        members.append(found)
    return KMeansPath(counts, np.array(inertias), np.array(silhouettes), tuple(members))
