"""How far the vectors of a batch lie apart, some rows at a time, and the way back from distances to vectors.

Conventions: B vectors of D numbers, measured against each other or against reference vectors; a part is a
slice of R rows (anchors). `euclidean` is |x - y|, `squared_euclidean` its square, `cosine` 1 - cos.
Arithmetic is float32, or float64 where that is given.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.types import Distance

FAR = 1e30
"""Stands for "no such cell" among distances: finite, so that nothing times it is still nothing."""

_CELLS = {"cpu": 2**19, "cuda": 2**25}  # a block stays in the cache of a core; a GPU wants few, large steps


Gradient = tuple[Tensor | None, Tensor | None]
"""d value / d vectors and d value / d reference vectors; None for what asks for none or is not there."""


class _Side:
    """The vectors on one side of all pairs, and what their gradient adds up to on the way."""

    def __init__(self, vectors: Tensor, distance: Distance, center: Tensor, wanted: bool) -> None:
        if distance == "cosine":
            self.lengths: Tensor = vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
            self.places: Tensor = vectors / self.lengths
        else:  # distances do not change when all move together, and are exact to more digits near zero
            self.places = vectors - center
        self.squares = self.places.square().sum(1)
        self.wanted = wanted
        self.pulls = torch.zeros_like(self.places) if wanted else self.places
        self.sums = torch.zeros_like(self.squares)

    def gradient(self, scale: Tensor, distance: Distance) -> Tensor | None:
        """`scale` times d loss / d vectors, or None where none was asked for."""
        if not self.wanted:
            return None
        if distance == "cosine":
            along = (self.pulls * self.places).sum(1, keepdim=True)
            found = (self.places * along - self.pulls) / self.lengths
        else:
            found = (self.sums[:, None] * self.places - self.pulls) * 2
        return found * scale.to(found.dtype)


class PairwiseDistances:
    """Vectors ready to be measured against each other or against references, and the way back.

    In a batch by itself both sides of all pairs are the same vectors, and one gradient collects what comes
    from either.
    """

    def __init__(self, vectors: Tensor, distance: Distance, ref_vectors: Tensor | None = None) -> None:
        """`vectors` (B, D), `ref_vectors` (R, D); None: the vectors themselves. Gradients are kept only where
        they are asked for."""
        self.distance = distance
        sides = [vectors] if ref_vectors is None else [vectors, ref_vectors]
        double = torch.float64 in (side.dtype for side in sides)
        given = [side.detach().double() if double else side.detach().float() for side in sides]
        count = sum(len(side) for side in given)
        center = given[0].mean(0) if len(given) == 1 else (given[0].sum(0) + given[1].sum(0)) / max(1, count)
        made = [_Side(g, distance, center, s.requires_grad) for g, s in zip(given, sides, strict=True)]
        self._rows, self._columns = made[0], made[-1]
        self.places = self._rows.places
        self.wanted = any(side.wanted for side in made)
        largest = max((float(side.squares.max()) for side in made if len(side.squares)), default=0.0)
        self._tiny = 8 * torch.finfo(self.places.dtype).eps * largest

    def __len__(self) -> int:
        return len(self.places)

    def parts(self) -> Iterator[slice]:
        """The batch in slices of rows, so few that a slice's distances to all stay in fast memory."""
        cells = _CELLS.get(self.places.device.type, _CELLS["cpu"])
        rows = max(8, cells // max(1, len(self._columns.places)))
        for start in range(0, len(self), rows):
            yield slice(start, min(start + rows, len(self)))

    def distances(self, part: slice) -> Tensor:
        """(R, B) distances of a part's rows to all; what rounding leaves of a zero is zero."""
        rows, columns = self._rows, self._columns
        if self.distance == "cosine":
            return (rows.places[part] @ columns.places.T).neg_().add_(1)
        found = torch.addmm(columns.squares[None, :], rows.places[part], columns.places.T, alpha=-2)
        found.add_(rows.squares[part, None])
        torch.threshold_(found, self._tiny, 0.0)
        return found.sqrt_() if self.distance == "euclidean" else found

    def accumulate_grad(self, part: slice, slopes: Tensor, distances: Tensor) -> None:
        """Takes d loss / d distance (R, B) of a part; both matrices are used up.

        A Euclidean distance has no slope at zero. It is taken as (x - y) / max(|x - y|, r), r being what
        rounding makes of a zero: 0 for equal vectors and finite for all.
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
        """`scale` times d loss / d vectors (B, D) and, of references, times d loss / d references (R, D)."""
        of_rows = self._rows.gradient(scale, self.distance)
        is_square = self._columns is self._rows
        return of_rows, None if is_square else self._columns.gradient(scale, self.distance)


def convert(distances: Tensor, given: Distance, wanted: Distance) -> Tensor:
    """The same nearness in another distance, for vectors of unit length; signs are kept.

    Between the two Euclidean ones it holds for any vectors.
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
    """Raises RequestError where a cosine meets a Euclidean distance and vectors are not of unit length."""
    if (given == "cosine") == (wanted == "cosine"):
        return
    sides = [vectors] if ref_vectors is None else [vectors, ref_vectors]
    lengths = torch.cat([side.detach().float().norm(dim=1) for side in sides])
    if bool(((lengths - 1).abs() > 1e-2).any()):
        raise RequestError(
            f"The miner measures in {given}, the loss in {wanted}; the two agree only for vectors of unit "
            f"length, and here lengths run from {float(lengths.min()):.3g} to {float(lengths.max()):.3g}. "
            "Set embedding.normalize to true, or give miner and loss the same distance."
        )
