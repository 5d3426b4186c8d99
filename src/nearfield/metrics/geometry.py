"""Geometry: distances of classes, dimensions in use, hubs, centroids while a network learns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.rng import stream
from nearfield.core.types import Distance, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.neighbors import unit

# The shape of a space: how far classes lie apart, how many directions it uses, whether it has hubs.
#
# Conventions ----------- Vectors (N, D). A centroid is the mean of a class's vectors; the spherical mean is
# that of the vectors at unit length, brought back to unit length. Distances between centroids are Euclidean.
#
# Metrics
# -------
# - `centroid_spread`: coefficient of variation (population deviation over mean) of the distances between
#   centroids; 0 where all classes lie equally far apart.
# - `effective_rank`: exp of the entropy of the singular values divided by their sum (Roy and Vetterli 2007),
#   of the vectors as they are; 1..min(N, D). A collapsed space has 1. (`train/effective_rank` is of centred
#   ones.)
# - `hubness`: skewness of how often each clip stands among the k nearest of the others (Radovanovic,
#   Nanopoulos and Ivanovic 2010); above about 1, few clips are everybody's neighbour.
# - `alike_distance`, `unlike_distance`: mean distance of pairs of the same class and of pairs of two classes.
# - `overlap`: the area that the histograms of the two share, 0 (apart) to 1 (the same).

PAIRS = 20_000
"""Pairs of each sort that distances are measured on."""

HUB_NEIGHBOURS = 10

_BINS = 50


@dataclass(frozen=True)
class Centroids:
    """Where the classes lie."""

    names: tuple[str, ...]
    vectors: Floats
    """(C, D)"""
    distances: Floats
    """(C, C) Euclidean, symmetric, zeros on the diagonal."""


@dataclass(frozen=True)
class Apart:
    """How far apart the labels lie."""

    centroids: Centroids
    """Spherical means where the space is of unit vectors, else means."""
    spread: float | None
    """Coefficient of variation of the distances: 0 where all labels lie equally far apart."""
    spread_by_chance: float | None
    """The mean of the same under shuffled labels."""


def centroids(vectors: Vectors, labels: Ints, names: tuple[str, ...], spherical: bool = False) -> Centroids:
    """The mean, or spherical mean, of every class that has clips; -1 is not known and takes no part."""
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
    """(C, C)"""
    from scipy.spatial.distance import cdist  # not where a run is only opened

    return np.asarray(cdist(means, means))


def centroid_scores(found: Centroids) -> dict[str, float]:
    """Spread, smallest and largest distance between centroids; empty where there are fewer than two."""
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
    """The mean `centroid_spread` under shuffled labels: what chance gives. None below two classes."""
    known = labels >= 0
    given = vectors[known].astype(np.float64)
    if spherical:
        given = unit(given)
    counts = np.unique(labels[known], return_counts=True)[1]
    if len(counts) < 2:
        return None
    starts, chance = np.cumsum(counts) - counts, stream(seed, "shuffled centroids")
    upper = np.triu_indices(len(counts), 1)
    spreads = []
    for _ in range(draws):
        means = np.add.reduceat(chance.permutation(given), starts) / counts[:, None]
        if spherical:
            means = unit(means)
        apart = _distances(means)[upper]
        spreads.append(apart.std() / apart.mean() if apart.mean() > 0 else 0.0)
    return float(np.mean(spreads))


def effective_rank(vectors: Vectors) -> float:
    """How many directions (N, D) vectors use; 0 where all are zero or there are none."""
    wide = vectors.astype(np.float64)
    # The squares of the singular values are the eigenvalues of the smaller product.
    product = wide.T @ wide if wide.shape[0] >= wide.shape[1] else wide @ wide.T
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0)) if len(wide) else np.zeros(0)
    # Below the rounding of the product there is no direction, only noise.
    values = values[values > 1e-7 * values.max(initial=0)]
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def hubness(index: Ints) -> float:
    """Skewness of how often each of N clips stands among the nearest of the others; 0 where it is even.

    `index` (N, k) lists the neighbours of every clip, the clip itself left out; -1 stands for none.
    """
    occurrence = np.bincount(index[index >= 0], minlength=len(index)).astype(np.float64)
    if not len(occurrence):
        return 0.0
    centred = occurrence - occurrence.mean()
    deviation = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean()) / deviation**3 if deviation > 0 else 0.0


def mean_norm(vectors: Vectors) -> float:
    """Mean Euclidean length; 0 for no vectors."""
    return float(np.linalg.norm(vectors.astype(np.float64), axis=1).mean()) if len(vectors) else 0.0


def pair_scores(
    vectors: Vectors, classes: Ints, distance: Distance = "cosine", seed: int = 0
) -> dict[str, float]:
    """Mean distance of alike and of unlike pairs and the overlap of their histograms, on `PAIRS` drawn pairs.

    `classes` are labels or recordings, -1 takes no part. Empty where there is no alike or no unlike pair.
    """
    known = np.flatnonzero(classes >= 0)
    positive, negative = _draw_pairs(classes[known], seed)
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
    """The area that the histograms of two sets of distances share, 0 (apart) to 1 (the same)."""
    top = max(float(near.max()), float(far.max()), 1e-12)
    shares = [np.histogram(side, bins=_BINS, range=(0, top))[0] / len(side) for side in (near, far)]
    return float(np.minimum(*shares).sum())


def pair_distances(vectors: Floats, pairs: Ints, distance: Distance) -> Floats:
    """(P,) distances between the rows of `vectors` that each of `pairs` (P, 2) names."""
    left, right = (unit(vectors) if distance == "cosine" else vectors)[pairs.T]
    squared = ((left - right) ** 2).sum(axis=1)
    # Between unit vectors 1 - cos is half the squared distance; a zero vector is at 1 from all.
    if distance == "cosine":
        return np.asarray(1 - (left * right).sum(axis=1)).clip(0)
    return np.asarray(np.sqrt(squared) if distance == "euclidean" else squared)


def _draw_pairs(classes: Ints, seed: int) -> tuple[Ints, Ints]:
    """(P, 2) pairs of the same class and (P, 2) of two: all of them where few, else drawn evenly from all."""
    order = np.argsort(classes, kind="stable")
    counts = np.unique(classes, return_counts=True)[1]
    size, starts = len(classes), np.cumsum(counts) - counts
    if size * size <= 2 * PAIRS:
        first, second = np.triu_indices(size, 1)
        pairs, same = np.stack([first, second], 1), classes[first] == classes[second]
        return pairs[same], pairs[~same]
    chance = stream(seed, "pairs")
    weight = counts * (counts - 1.0)
    if weight.sum() == 0:
        return np.zeros((0, 2), np.int64), np.zeros((1, 2), np.int64)
    drawn = chance.choice(len(counts), size=PAIRS, p=weight / weight.sum())
    first = chance.integers(counts[drawn])
    second = (first + chance.integers(1, counts[drawn])) % counts[drawn]
    positive = order[np.stack([starts[drawn] + first, starts[drawn] + second], 1)]
    pairs = chance.integers(size, size=(4 * PAIRS, 2))
    negative = pairs[classes[pairs[:, 0]] != classes[pairs[:, 1]]][:PAIRS]
    return positive, negative


# How the centroids of the labels move apart while a network learns: a curve for each pair of labels.


@dataclass(frozen=True)
class CentroidCurves:
    """Distances between centroids at S moments of training."""

    steps: tuple[int, ...]
    pairs: tuple[tuple[str, str], ...]
    """P = C (C - 1) / 2 pairs of labels."""
    distances: Floats
    """(S, P) Euclidean."""
    spreads: Floats
    """(S,) coefficient of variation of the distances; 0 where all labels lie equally far apart."""

    def curves(self) -> dict[str, list[float]]:
        """One list a pair, named "A_to_B"."""
        named = zip(self.pairs, self.distances.T.tolist(), strict=True)
        return {f"{first}_to_{second}": values for (first, second), values in named}


def centroid_curves(
    validations: Sequence[tuple[int, Vectors]], labels: Ints, names: tuple[str, ...], spherical: bool = False
) -> CentroidCurves:
    """`validations`: the update and the vectors (N, D) of the same N clips then; `labels` (N,), -1 not known.

    `spherical` takes spherical means, for spaces of unit vectors. Raises RequestError for no moments, or
    for vectors of another number of clips.
    """
    if not validations:
        raise RequestError("centroid_curves: no moments of training were given; give vectors of one or more.")
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
