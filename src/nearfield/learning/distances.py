"""Pairwise distances of a batch, a block of rows at a time, and their gradient with respect to the vectors.

Conventions: B vectors of dimension D, compared with each other or with reference vectors; a part is a slice
of
R rows (anchors). `euclidean` is |x - y|, `squared_euclidean` its square, `cosine` 1 - cos. Computed in
float32,
or in float64 if the vectors are.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.types import Distance

FAR = 1e30
"""Distance of cells to be ignored; finite, so that its product with 0 is 0."""

_CELLS = {"cpu": 2**19, "cuda": 2**25}  # a block fits the cache of a core; a GPU needs few, large steps


Gradient = tuple[Tensor | None, Tensor | None]
"""Gradient of a value by vectors and by reference vectors; None if not required or without references."""


class _Points:
    """The vectors of rows or columns, and their accumulated gradient."""

    def __init__(self, vectors: Tensor, distance: Distance, center: Tensor, wanted: bool) -> None:
        if distance == "cosine":
            self.lengths: Tensor = vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
            self.places: Tensor = vectors / self.lengths
        else:  # centering does not change distances, and makes them more precise
            self.places = vectors - center
        self.squares = self.places.square().sum(1)
        self.wanted = wanted
        self.pulls = torch.zeros_like(self.places) if wanted else self.places
        self.sums = torch.zeros_like(self.squares)

    def gradient(self, scale: Tensor, distance: Distance) -> Tensor | None:
        """Returns `scale` times the gradient by the vectors, or None if it is not required."""
        if not self.wanted:
            return None
        if distance == "cosine":
            along = (self.pulls * self.places).sum(1, keepdim=True)
            found = (self.places * along - self.pulls) / self.lengths
        else:
            found = (self.sums[:, None] * self.places - self.pulls) * 2
        return found * scale.to(found.dtype)


class PairwiseDistances:
    """Distances of vectors from each other or from references, and the gradient by both.

    Without references, rows and columns are the same vectors and share one gradient.
    """

    def __init__(self, vectors: Tensor, distance: Distance, ref_vectors: Tensor | None = None) -> None:
        """Prepares `vectors` (B, D) and `ref_vectors` (R, D); None: the vectors themselves. Gradients are
        computed for tensors that require them."""
        self.distance = distance
        sides = [vectors] if ref_vectors is None else [vectors, ref_vectors]
        double = torch.float64 in (side.dtype for side in sides)
        given = [side.detach().double() if double else side.detach().float() for side in sides]
        count = sum(len(side) for side in given)
        center = given[0].mean(0) if len(given) == 1 else (given[0].sum(0) + given[1].sum(0)) / max(1, count)
        made = [_Points(g, distance, center, s.requires_grad) for g, s in zip(given, sides, strict=True)]
        self._rows, self._columns = made[0], made[-1]
        self.places = self._rows.places
        self.wanted = any(side.wanted for side in made)
        largest = max((float(side.squares.max()) for side in made if len(side.squares)), default=0.0)
        self._tiny = 8 * torch.finfo(self.places.dtype).eps * largest

    def __len__(self) -> int:
        return len(self.places)

    def parts(self) -> Iterator[slice]:
        """Yields slices of rows whose distances to all columns fit the cache."""
        cells = _CELLS.get(self.places.device.type, _CELLS["cpu"])
        rows = max(8, cells // max(1, len(self._columns.places)))
        for start in range(0, len(self), rows):
            yield slice(start, min(start + rows, len(self)))

    def distances(self, part: slice) -> Tensor:
        """Computes (R, B) distances of the rows of a part to all columns; values below rounding error are
        0."""
        rows, columns = self._rows, self._columns
        if self.distance == "cosine":
            return (rows.places[part] @ columns.places.T).neg_().add_(1)
        found = torch.addmm(columns.squares[None, :], rows.places[part], columns.places.T, alpha=-2)
        found.add_(rows.squares[part, None])
        torch.threshold_(found, self._tiny, 0.0)
        return found.sqrt_() if self.distance == "euclidean" else found

    def accumulate_grad(self, part: slice, slopes: Tensor, distances: Tensor) -> None:
        """Adds the gradient by the distances (R, B) of a part; overwrites both matrices.

        The Euclidean distance is not differentiable at 0. Its gradient is computed as (x - y) / max(|x - y|,
        r),
        where r is the rounding error: 0 for equal vectors, and always finite.
        """
        rows, columns = self._rows, self._columns
        if not self.wanted:
            return
        if self.distance == "euclidean":
            slopes = slopes.div_(distances.clamp_min_(max(self._tiny, 1e-38) ** 0.5).mul_(2))
        if self.distance != "cosine":
            columns.sums += slopes.sum(0)
            rows.sums[part] += slopes.sum(1)
        if rows.wanted:
            rows.pulls[part].addmm_(slopes, columns.places)
        if columns.wanted:
            columns.pulls.addmm_(slopes.T, rows.places[part])

    def gradient(self, scale: Tensor) -> Gradient:
        """Returns `scale` times the gradient by the vectors (B, D) and by the references (R, D)."""
        of_rows = self._rows.gradient(scale, self.distance)
        is_square = self._columns is self._rows
        return of_rows, None if is_square else self._columns.gradient(scale, self.distance)


def convert(distances: Tensor, given: Distance, wanted: Distance) -> Tensor:
    """Converts distances of vectors of unit length to another distance; signs are kept.

    Conversion between `euclidean` and `squared_euclidean` is valid for any vectors.
    """
    if given == wanted:
        return distances
    if given == "cosine":
        distances = distances * 2
    elif given == "euclidean":
        distances = distances * distances.abs()
    if wanted == "cosine":
        return distances / 2
    return distances.sign() * distances.abs().sqrt() if wanted == "euclidean" else distances


def check_convertible(
    vectors: Tensor, given: Distance, wanted: Distance, ref_vectors: Tensor | None = None
) -> None:
    """Raises RequestError if `convert` is not valid because the vectors do not have unit length."""
    if (given == "cosine") == (wanted == "cosine"):
        return
    sides = [vectors] if ref_vectors is None else [vectors, ref_vectors]
    lengths = torch.cat([side.detach().float().norm(dim=1) for side in sides])
    if bool(((lengths - 1).abs() > 1e-2).any()):
        raise RequestError(
            f"The distance of the miner is {given} and that of the loss {wanted}; these agree only for "
            f"vectors of unit length. Given: lengths from {float(lengths.min()):.3g} to "
            f"{float(lengths.max()):.3g}. Set embedding.normalize to true, or give miner and loss the same "
            "distance."
        )
