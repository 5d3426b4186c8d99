"""Do the classes form clusters: agreement of k-means with the labels, and how well the labels separate.

Conventions
-----------
Vectors (N, D), labels class numbers, all known. Distances are Euclidean, on unit vectors where the space's
distance is the cosine. Beyond `MOST` clips a fixed drawn subset is measured; `clips` says how many.

Metrics
-------
- `nmi`: normalised mutual information (arithmetic mean) of the labels and a k-means clustering with as many
  clusters as there are classes; 0..1. It rises with the number of clusters, so `ami`, adjusted for chance
  (Vinh, Epps and Bailey 2010), stands beside it.
- `silhouette`: mean of (b - a) / max(a, b) under the labels (Rousseeuw 1987); -1..1.
"""

import numpy as np

from nearfield.core.nouns import Distance, Floats, Ints, Vectors
from nearfield.core.seeds import entropy, stream
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.neighbours import unit

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
