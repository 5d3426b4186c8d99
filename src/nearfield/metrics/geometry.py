"""Geometry of an embedding space: class distances, effective rank, hubness, centroids during training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.rng import stream
from nearfield.core.types import Distance, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.neighbors import unit

# Conventions
# -----------
# Embeddings (N, D). A centroid is the mean of the embeddings of a class. The spherical mean is the mean of
# normalized embeddings, normalized again. Distances between centroids are Euclidean.
#
# Metrics
# -------
# - `centroid_spread`: coefficient of variation (population standard deviation over mean) of the distances
#   between centroids; 0 if all classes are equally far apart.
# - `effective_rank`: exp of the entropy of the singular values divided by their sum (Roy and Vetterli 2007),
#   of the embeddings without centering; 1..min(N, D). A collapsed space has 1. (`train/effective_rank` is of
#   centered embeddings.)
# - `hubness`: skewness of how often each clip is among the k nearest neighbors of the others (Radovanovic,
#   Nanopoulos and Ivanovic 2010); above about 1, few clips are neighbors of most others.
# - `alike_distance`, `unlike_distance`: mean distance of pairs of the same class and of different classes.
# - `overlap`: the common area of the histograms of both, 0 (disjoint) to 1 (equal).

PAIRS = 20_000
"""Number of positive and of negative pairs that distances are measured on."""

HUB_NEIGHBOURS = 10

_BINS = 50


@dataclass(frozen=True)
class Centroids:
    """Centroids of the classes and their distances."""

    names: tuple[str, ...]
    vectors: Floats
    """(C, D)"""
    distances: Floats
    """(C, C) Euclidean, symmetric, zeros on the diagonal."""


@dataclass(frozen=True)
class Apart:
    """Distances between the labels."""

    centroids: Centroids
    """Spherical means if the embeddings are normalized, else means."""
    spread: float | None
    """Coefficient of variation of the distances: 0 if all labels are equally far apart."""
    spread_by_chance: float | None
    """Mean spread for shuffled labels."""


def centroids(vectors: Vectors, labels: Ints, names: tuple[str, ...], spherical: bool = False) -> Centroids:
    """Computes the centroid of each class that has clips.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    labels
        (N,) class numbers; -1 means unknown, such clips are ignored.
    names
        Names of the classes.
    spherical
        Whether to use the spherical mean.

    Returns
    -------
    Centroids
        Centroids and their Euclidean distances.
    """
    known = labels >= 0
    given = vectors[known].astype(np.float64)
    if spherical:
        given = unit(given)
    present, codes, counts = np.unique(labels[known], return_inverse=True, return_counts=True)
    sums = np.zeros((len(present), vectors.shape[1]))
    np.add.at(sums, codes, given)
    means = sums / counts[:, None]
    if spherical:
        means = unit(means)
    return Centroids(tuple(names[c] for c in present), means, _distances(means))


def _distances(means: Floats) -> Floats:
    """(C, C) Euclidean distances."""
    from scipy.spatial.distance import cdist  # deferred: opening a run does not need it

    return np.asarray(cdist(means, means))


def centroid_scores(found: Centroids) -> dict[str, float]:
    """Returns `centroid_spread`, `centroid_min` and `centroid_max`; empty for fewer than two centroids."""
    apart = found.distances[np.triu_indices(len(found.names), 1)]
    if not len(apart):
        return {}
    mean = float(apart.mean())
    return {
        "centroid_spread": float(apart.std()) / mean if mean > 0 else 0.0,
        "centroid_min": float(apart.min()),
        "centroid_max": float(apart.max()),
    }


def shuffled_spread(
    vectors: Vectors, labels: Ints, spherical: bool = False, draws: int = 20, seed: int = 0
) -> float | None:
    """Computes the mean `centroid_spread` for shuffled labels.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    labels
        (N,) class numbers; -1 means unknown.
    spherical
        Whether to use the spherical mean.
    draws
        Number of shuffles.
    seed
        Seed of the shuffles.

    Returns
    -------
    float or None
        None for fewer than two classes.
    """
    known = labels >= 0
    given = vectors[known].astype(np.float64)
    if spherical:
        given = unit(given)
    counts = np.unique(labels[known], return_counts=True)[1]
    if len(counts) < 2:
        return None
    starts, rng = np.cumsum(counts) - counts, stream(seed, "shuffled centroids")
    upper = np.triu_indices(len(counts), 1)
    spreads = []
    for _ in range(draws):
        means = np.add.reduceat(rng.permutation(given), starts) / counts[:, None]
        if spherical:
            means = unit(means)
        apart = _distances(means)[upper]
        spreads.append(apart.std() / apart.mean() if apart.mean() > 0 else 0.0)
    return float(np.mean(spreads))


def effective_rank(vectors: Vectors) -> float:
    """Computes the effective rank of embeddings.

    Parameters
    ----------
    vectors
        (N, D) embeddings; they are not centered.

    Returns
    -------
    float
        exp of the entropy of the normalized singular values; 0 if all embeddings are zero, or for N = 0.
    """
    wide = vectors.astype(np.float64)
    # The squares of the singular values are the eigenvalues of the smaller product.
    product = wide.T @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.T
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0)) if len(wide) else np.zeros(0)
    # Values below the rounding error of the product are noise.
    values = values[values > 1e-7 * values.max(initial=0)]
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def hubness(index: Ints) -> float:
    """Computes the hubness of a neighbor list.

    Parameters
    ----------
    index
        (N, k) nearest neighbors of each clip, without the clip itself; -1 for none.

    Returns
    -------
    float
        Skewness of how often each clip is a neighbor of others; 0 if all clips are so equally often.
    """
    occurrence = np.bincount(index[index >= 0], minlength=len(index)).astype(np.float64)
    if not len(occurrence):
        return 0.0
    centered = occurrence - occurrence.mean()
    deviation = float(np.sqrt((centered**2).mean()))
    return float((centered**3).mean()) / deviation**3 if deviation > 0 else 0.0


def mean_norm(vectors: Vectors) -> float:
    """Returns the mean Euclidean norm of (N, D) embeddings; 0 for N = 0."""
    return float(np.linalg.norm(vectors.astype(np.float64), axis=1).mean()) if len(vectors) else 0.0


def pair_scores(
    vectors: Vectors, classes: Ints, distance: Distance = "cosine", seed: int = 0
) -> dict[str, float]:
    """Computes mean distances of positive and negative pairs, and the overlap of their histograms.

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    classes
        (N,) labels or recordings; pairs with equal numbers are positive. -1 is ignored.
    distance
        Distance of the space.
    seed
        Seed of the random pairs; at most `PAIRS` of each kind are used.

    Returns
    -------
    dict
        `alike_distance`, `unlike_distance` and `overlap`; empty without positive or without negative pairs.
    """
    known = np.flatnonzero(classes >= 0)
    positive, negative = _sample_pairs(classes[known], seed)
    if not len(positive) or not len(negative):
        return {}
    chosen = vectors[known].astype(np.float64)
    near, far = (pair_distances(chosen, pairs, distance) for pairs in (positive, negative))
    return {
        "alike_distance": float(near.mean()),
        "unlike_distance": float(far.mean()),
        "overlap": overlap(near, far),
    }


def overlap(near: Floats, far: Floats) -> float:
    """Returns the common area of the histograms of two sets of distances, 0 (disjoint) to 1 (equal)."""
    top = max(float(near.max()), float(far.max()), 1e-12)
    shares = [np.histogram(each, bins=_BINS, range=(0, top))[0] / len(each) for each in (near, far)]
    return float(np.minimum(*shares).sum())


def pair_distances(vectors: Floats, pairs: Ints, distance: Distance) -> Floats:
    """Returns the (P,) distances between the rows of `vectors` given by `pairs` (P, 2)."""
    left, right = (unit(vectors) if distance == "cosine" else vectors)[pairs.T]
    squared = ((left - right) ** 2).sum(axis=1)
    # For unit vectors, 1 - cos is half the squared distance; a zero vector has distance 1 from all others.
    if distance == "cosine":
        return np.asarray(1 - (left * right).sum(axis=1)).clip(0)
    return np.asarray(np.sqrt(squared) if distance == "euclidean" else squared)


def _sample_pairs(classes: Ints, seed: int) -> tuple[Ints, Ints]:
    """(P, 2) positive and (P, 2) negative pairs: all pairs if there are few, else a uniform sample."""
    order = np.argsort(classes, kind="stable")
    counts = np.unique(classes, return_counts=True)[1]
    size, starts = len(classes), np.cumsum(counts) - counts
    if size * size <= 2 * PAIRS:
        first, second = np.triu_indices(size, 1)
        pairs, same = np.stack([first, second], 1), classes[first] == classes[second]
        return pairs[same], pairs[~same]
    rng = stream(seed, "pairs")
    weight = counts * (counts - 1.0)
    if weight.sum() == 0:
        return np.zeros((0, 2), np.int64), np.zeros((1, 2), np.int64)
    drawn = rng.choice(len(counts), size=PAIRS, p=weight / weight.sum())
    first = rng.integers(counts[drawn])
    second = (first + rng.integers(1, counts[drawn])) % counts[drawn]
    positive = order[np.stack([starts[drawn] + first, starts[drawn] + second], 1)]
    pairs = rng.integers(size, size=(4 * PAIRS, 2))
    negative = pairs[classes[pairs[:, 0]] != classes[pairs[:, 1]]][:PAIRS]
    return positive, negative


# Distances between the centroids of the labels during training: one curve for each pair of labels.


@dataclass(frozen=True)
class CentroidCurves:
    """Distances between centroids at S steps of training."""

    steps: tuple[int, ...]
    pairs: tuple[tuple[str, str], ...]
    """P = C (C - 1) / 2 pairs of labels."""
    distances: Floats
    """(S, P) Euclidean."""
    spreads: Floats
    """(S,) coefficient of variation of the distances; 0 if all labels are equally far apart."""

    def curves(self) -> dict[str, list[float]]:
        """Returns the distances of each pair of labels under the name "A_to_B"."""
        named = zip(self.pairs, self.distances.T.tolist(), strict=True)
        return {f"{first}_to_{second}": values for (first, second), values in named}


def centroid_curves(
    validations: Sequence[tuple[int, Vectors]], labels: Ints, names: tuple[str, ...], spherical: bool = False
) -> CentroidCurves:
    """Computes the distances between centroids at several steps of training.

    Parameters
    ----------
    validations
        Step and embeddings (N, D) of the same N clips.
    labels
        (N,) class numbers; -1 means unknown.
    names
        Names of the classes.
    spherical
        Whether to use the spherical mean, for normalized embeddings.

    Returns
    -------
    CentroidCurves
        Distances of all pairs of labels, and their spread.

    Raises
    ------
    RequestError
        If there are no validations, or if the numbers of clips differ.
    """
    if not validations:
        raise RequestError("centroid_curves: no validations are given. Give one or more.")
    found = []
    for step, vectors in validations:
        check_vectors(f"vectors at update {step}", vectors)
        check_lengths(len(labels), vectors=vectors)
        found.append(centroids(vectors, labels, names, spherical))
    present = found[0].names
    first, second = np.triu_indices(len(present), 1)
    return CentroidCurves(
        steps=tuple(step for step, _ in validations),
        pairs=tuple((present[a], present[b]) for a, b in zip(first, second, strict=True)),
        distances=np.array([each.distances[first, second] for each in found]).reshape(len(found), -1),
        spreads=np.array([centroid_scores(each).get("centroid_spread", np.nan) for each in found]),
    )
