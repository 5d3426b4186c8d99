"""Clusters: agreement of k-means with labels, and how many clusters there are."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.rng import entropy, stream
from nearfield.core.types import Distance, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.neighbors import unit

# Agreement of k-means clusters with labels.
#
# Conventions
# -----------
# Embeddings (N, D); labels are class numbers, all known. Distances are Euclidean; for the cosine distance,
# embeddings are normalized first. Above `MOST` clips, a fixed random subset is measured; `clips` is its size.
#
# Metrics
# -------
# - `nmi`: normalized mutual information (arithmetic mean) of the labels and a k-means clustering with as many
#   clusters as there are classes; 0..1. It increases with the number of clusters; `ami` is adjusted for
#   chance (Vinh, Epps and Bailey 2010).
# - `silhouette`: mean of (b - a) / max(a, b) for the labels (Rousseeuw 1987); -1..1.

MOST = 5000
"""Number of clips above which a random subset is measured."""

_STARTS = 4


def cluster_scores(
    vectors: Vectors, labels: Ints, distance: Distance = "cosine", seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """Computes NMI, AMI and silhouette of labels, and the same for shuffled labels.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    labels
        (N,) class numbers, all known.
    distance
        Distance of the space; `cosine` normalizes the embeddings first.
    seed
        Seed of k-means, of the subset and of the shuffle.

    Returns
    -------
    scores : dict
        `nmi`, `ami`, `silhouette` and `clips`, the number of clips measured.
    baseline : dict
        The same metrics for shuffled labels. Both are empty if there are fewer than two classes, or as many
        classes as clips.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), labels=labels)
    rng = stream(seed, "clusters")
    if len(vectors) > MOST:
        kept = np.sort(rng.choice(len(vectors), MOST, replace=False))
        vectors, labels = vectors[kept], labels[kept]
    classes = len(np.unique(labels))
    if not 2 <= classes < len(vectors):
        return {}, {}
    space = vectors.astype(np.float64)
    if distance == "cosine":
        space = unit(space)
    found = _k_means(space, classes, seed)
    scores = _agreement(space, labels, found)
    baseline = _agreement(space, rng.permutation(labels), found)
    return scores | {"clips": float(len(vectors))}, baseline


def silhouette(vectors: Vectors, labels: Ints, distance: Distance = "cosine", seed: int = 0) -> float | None:
    """Computes the silhouette of the clips with a known label.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    labels
        (N,) class numbers; -1 means unknown.
    distance
        Distance of the space; `cosine` normalizes the embeddings first.
    seed
        Seed of the subset above `MOST` clips.

    Returns
    -------
    float or None
        None if there are fewer than two classes, or as many classes as clips.
    """
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


# The number of clusters without labels: k-means for a range of numbers, and two rules that choose one.
#
# - Elbow: the number whose point on the curve of inertia is farthest below the chord from the first to the
#   last number, with both axes scaled to 0..1 (Satopaa et al. 2011, "Finding a Kneedle in a Haystack").
# - Silhouette: the number, from two on, with the largest mean silhouette (Rousseeuw 1987).

SILHOUETTE_CLIPS = 1500
"""Number of clips above which silhouettes are measured on a random subset: their cost is quadratic."""

_RESTARTS = 4


@dataclass(frozen=True)
class KMeansPath:
    """k-means for a range of numbers of clusters."""

    counts: tuple[int, ...]
    """Numbers of clusters, ascending from 1."""
    inertias: Floats
    """Sum of squared distances to the nearest center, for each count."""
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
        """The count with the largest silhouette; None if no silhouette is defined."""
        if not np.isfinite(self.silhouettes).any():
            return None
        return self.counts[int(np.nanargmax(self.silhouettes))]

    def at(self, count: int) -> Ints:
        """Returns the (N,) cluster numbers for one of `counts`."""
        return self.members[self.counts.index(count)]


def elbow(counts: tuple[int, ...], inertias: Floats) -> int:
    """Finds the elbow of a curve of inertia.

    Parameters
    ----------
    counts
        Numbers of clusters, ascending.
    inertias
        Inertia for each count.

    Returns
    -------
    int
        The count whose point is farthest below the chord; the first count if the curve has no elbow.
    """
    x = np.asarray(counts, dtype=np.float64)
    if len(x) < 3 or inertias[0] <= inertias[-1]:
        return counts[0]
    across = (x - x[0]) / (x[-1] - x[0])
    height = (inertias - inertias[-1]) / (inertias[0] - inertias[-1])
    # The chord decreases from 1 to 0, so the curve is 1 - across - height below it, up to a constant factor.
    return counts[int(np.argmax(1 - across - height))]


def k_means_path(space: Floats, most: int = 20, seed: int = 0, also: int | None = None) -> KMeansPath:
    """Runs k-means for a range of numbers of clusters.

    Parameters
    ----------
    space
        (N, D) points.
    most
        Largest number of clusters; limited by the number of distinct points.
    seed
        Seed of k-means and of the subset for silhouettes.
    also
        A further number of clusters.

    Returns
    -------
    KMeansPath
        Inertia, silhouette and cluster numbers for each number of clusters.

    Raises
    ------
    RequestError
        If there are no points.
    """
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
