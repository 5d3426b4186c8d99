"""How far the vectors of a batch lie apart, some rows at a time, and the way back from distances to vectors.

Conventions: B vectors of D numbers; a part is a slice of R rows (anchors). `euclidean` is |x - y|,
`squared_euclidean` its square, `cosine` 1 - cos. Arithmetic is float32, or float64 where that is given.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.types import Distance

FAR = 1e30
"""Stands for "no such cell" among distances: finite, so that nothing times it is still nothing."""

_CELLS = {"cpu": 2**19, "cuda": 2**25}  # a block stays in the cache of a core; a GPU wants few, large steps


class PairwiseDistances:
    """The vectors of a batch ready to be measured, and what d loss / d vectors adds up to on the way."""

    def __init__(self, vectors: Tensor, distance: Distance) -> None:
        """`vectors` (B, D). The gradient is kept only where they ask for one."""
        self.distance = distance
        self.wanted = vectors.requires_grad
        given = vectors.detach()
        given = given if given.dtype == torch.float64 else given.float()
        if distance == "cosine":
            self.lengths: Tensor = given.norm(dim=1, keepdim=True).clamp_min(1e-12)
            self.places: Tensor = given / self.lengths
        else:  # distances do not change when all move together, and are exact to more digits near zero
            self.places = given - given.mean(0)
        self.squares = self.places.square().sum(1)
        self._tiny = 8 * torch.finfo(given.dtype).eps * float(self.squares.max()) if len(given) else 0.0
        self._pulls = torch.zeros_like(self.places) if self.wanted else self.places
        self._sums = torch.zeros_like(self.squares)

    def __len__(self) -> int:
        return len(self.places)

    def parts(self) -> Iterator[slice]:
        """The batch in slices of rows, so few that a slice's distances to all stay in fast memory."""
        cells = _CELLS.get(self.places.device.type, _CELLS["cpu"])
        rows = max(8, cells // max(1, len(self)))
        for start in range(0, len(self), rows):
            yield slice(start, min(start + rows, len(self)))

    def distances(self, part: slice) -> Tensor:
        """(R, B) distances of a part's rows to all; what rounding leaves of a zero is zero."""
        if self.distance == "cosine":
            return (self.places[part] @ self.places.T).neg_().add_(1)
        found = torch.addmm(self.squares[None, :], self.places[part], self.places.T, alpha=-2)
        found.add_(self.squares[part, None])
        torch.threshold_(found, self._tiny, 0.0)
        return found.sqrt_() if self.distance == "euclidean" else found

    def accumulate_grad(self, part: slice, slopes: Tensor, distances: Tensor) -> None:
        """Takes d loss / d distance (R, B) of a part; both matrices are used up.

        A Euclidean distance has no slope at zero. It is taken as (x - y) / max(|x - y|, r), r being what
        rounding makes of a zero: 0 for equal vectors and finite for all.
        """
        if not self.wanted:
            return
        if self.distance == "euclidean":
            slopes = slopes.div_(distances.clamp_min_(max(self._tiny, 1e-38) ** 0.5).mul_(2))
        if self.distance != "cosine":
            self._sums += slopes.sum(0)
            self._sums[part] += slopes.sum(1)
        self._pulls[part].addmm_(slopes, self.places)
        self._pulls.addmm_(slopes.T, self.places[part])

    def gradient(self, scale: Tensor) -> Tensor | None:
        """`scale` times d loss / d vectors (B, D), or None where none was asked for."""
        if not self.wanted:
            return None
        if self.distance == "cosine":
            along = (self._pulls * self.places).sum(1, keepdim=True)
            found = (self.places * along - self._pulls) / self.lengths
        else:
            found = (self._sums[:, None] * self.places - self._pulls) * 2
        return found * scale.to(found.dtype)


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


def check_convertible(vectors: Tensor, given: Distance, wanted: Distance) -> None:
    """Raises RequestError where a cosine meets a Euclidean distance and `vectors` are not of unit length."""
    if (given == "cosine") == (wanted == "cosine"):
        return
    lengths = vectors.detach().float().norm(dim=1)
    if bool(((lengths - 1).abs() > 1e-2).any()):
        raise RequestError(
            f"The miner measures in {given}, the loss in {wanted}; the two agree only for vectors of unit "
            f"length, and here lengths run from {float(lengths.min()):.3g} to {float(lengths.max()):.3g}. "
            "Set embedding.normalize to true, or give miner and loss the same distance."
        )
