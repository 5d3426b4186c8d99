"""Clusters: agreement of k-means with labels, and how many clusters there are."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.rng import entropy, stream
from nearfield.core.types import Distance, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.neighbors import unit

# Do the classes form clusters: agreement of k-means with the labels, and how well the labels separate.
#
# Conventions
# -----------
# Vectors (N, D), labels class numbers, all known. Distances are Euclidean, on unit vectors where the space's
# distance is the cosine. Beyond `MOST` clips a fixed drawn subset is measured; `clips` says how many.
#
# Metrics
# -------
# - `nmi`: normalized mutual information (arithmetic mean) of the labels and a k-means clustering with as many
#   clusters as there are classes; 0..1. It rises with the number of clusters, so `ami`, adjusted for chance
#   (Vinh, Epps and Bailey 2010), stands beside it.
# - `silhouette`: mean of (b - a) / max(a, b) under the labels (Rousseeuw 1987); -1..1.

MOST = 5000
"""Clips beyond which a drawn subset is measured."""

_STARTS = 4


def cluster_scores(
    vectors: Vectors, labels: Ints, distance: Distance = "cosine", seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """Every metric of this file, and the same under shuffled labels: what chance gives.

    Empty where there are fewer than two classes or as many as there are clips.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), labels=labels)
    chance = stream(seed, "clusters")
    if len(vectors) > MOST:
        kept = np.sort(chance.choice(len(vectors), MOST, replace=False))
        vectors, labels = vectors[kept], labels[kept]
    classes = len(np.unique(labels))
    if not 2 <= classes < len(vectors):
        return {}, {}
    space = vectors.astype(np.float64)
    if distance == "cosine":
        space = unit(space)
    found = _k_means(space, classes, seed)
    scores = _agreement(space, labels, found)
    baseline = _agreement(space, chance.permutation(labels), found)
    return scores | {"clips": float(len(vectors))}, baseline


def silhouette(vectors: Vectors, labels: Ints, distance: Distance = "cosine", seed: int = 0) -> float | None:
    """The silhouette alone, of (N, D) vectors with a known label (the others are left out); None where there
    are fewer than two classes or as many as there are clips."""
    from sklearn.metrics import silhouette_score

    kept = np.flatnonzero(labels >= 0)
    if len(kept) > MOST:
        kept = np.sort(stream(seed, "clusters").choice(kept, MOST, replace=False))
    if not 2 <= len(np.unique(labels[kept])) < len(kept):
        return None
    space = vectors[kept].astype(np.float64)
    return float(silhouette_score(unit(space) if distance == "cosine" else space, labels[kept]))


def _k_means(space: Floats, classes: int, seed: int) -> Ints:
    """(N,) cluster numbers by scikit-learn's k-means, the best of a few starts."""
    from sklearn.cluster import KMeans

    # A collapsed space may hold fewer distinct points than classes.
    distinct = min(classes, len(np.unique(space, axis=0)))
    state = entropy(seed, "k-means") % 2**32
    found = KMeans(distinct, n_init=_STARTS, random_state=state).fit_predict(space)
    return np.asarray(found, dtype=np.int64)


def _agreement(space: Floats, labels: Ints, found: Ints) -> dict[str, float]:
    from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score, silhouette_score

    return {
        "nmi": float(normalized_mutual_info_score(labels, found)),
        "ami": float(adjusted_mutual_info_score(labels, found)),
        "silhouette": float(silhouette_score(space, labels)),
    }


# How many clusters, asked without labels: k-means for every number, and two rules that choose one.
#
# - Elbow: the number whose point on the curve of inertia lies farthest below the chord from the first number
#   to the last, both axes brought to 0..1 (Satopaa et al. 2011, "Finding a Kneedle in a Haystack").
# - Silhouette: the number with the largest mean silhouette (Rousseeuw 1987), from two clusters on.

SILHOUETTE_CLIPS = 1500
"""Clips beyond which silhouettes are measured on a drawn subset: they cost the square."""

_RESTARTS = 4


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
        model = KMeans(count, n_init=_RESTARTS, random_state=entropy(seed, "k-means", count) % 2**32).fit(
            space
        )
        found = np.asarray(model.labels_, dtype=np.int64)
        inertias.append(float(model.inertia_))
        several = 2 <= len(np.unique(found[chosen])) < len(chosen)
        silhouettes.append(float(silhouette_score(space[chosen], found[chosen])) if several else np.nan)
        members.append(found)
    return KMeansPath(counts, np.array(inertias), np.array(silhouettes), tuple(members))
