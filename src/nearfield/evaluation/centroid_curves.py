"""How the centroids of the labels move apart while a network learns: a curve for each pair of labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats, Ints, Vectors
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.geometry import centroid_scores, centroids


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
    moments: Sequence[tuple[int, Vectors]], labels: Ints, names: tuple[str, ...], spherical: bool = False
) -> CentroidCurves:
    """`moments`: the update and the vectors (N, D) of the same N clips then; `labels` (N,), -1 not known.

    `spherical` takes spherical means, for spaces of unit vectors. Raises RequestError for no moments, or
    for vectors of another number of clips.
    """
    if not moments:
        raise RequestError("centroid_curves: no moments of training were given; give vectors of one or more.")
    found = []
    for step, vectors in moments:
        check_vectors(f"vectors at update {step}", vectors)
        check_lengths(len(labels), vectors=vectors)
        found.append(centroids(vectors, labels, names, spherical))
    present = found[0].names
    first, second = np.triu_indices(len(present), 1)
    return CentroidCurves(
        steps=tuple(step for step, _ in moments),
        pairs=tuple((present[a], present[b]) for a, b in zip(first, second, strict=True)),
        distances=np.array([each.distances[first, second] for each in found]).reshape(len(found), -1),
        spreads=np.array([centroid_scores(each).get("centroid_spread", np.nan) for each in found]),
    )
