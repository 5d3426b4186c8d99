"""Whitening: the directions of a space brought to equal spread, by what unlabelled clips say of them.

A contrastive space spreads most along a few directions, which then decide every cosine alone. Jégou and Chum
2012, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening"; of
learned spaces Su et al. 2021, "Whitening sentence representations for better semantics and faster retrieval".
"""

import torch
from torch import Tensor, nn

from nearfield.core.errors import DataError

FLOOR = 0.01
"""Added to every direction's spread, as a share of the largest one: what hardly spreads is rounding."""


class Whitening(nn.Module):
    """(B, D) -> (B, D): takes the clips' mean away and divides each principal direction by its spread.

    `power` 1 makes all spreads alike, 0.5 their square roots, 0 leaves them. Directions are turned back, so
    that each number keeps its meaning. Before `fit` (or loading) rows come out as they went in.
    """

    mean: Tensor
    turn: Tensor

    def __init__(self, size: int, power: float) -> None:
        super().__init__()
        self.power = power
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("turn", torch.eye(size))

    @torch.no_grad()
    def fit(self, vectors: Tensor) -> None:
        """Sets mean and directions from (N, D) vectors of training clips. DataError where N is below 2."""
        if len(vectors) < 2:
            raise DataError(
                f"embedding.whiten: two clips are needed to spread, and there are {len(vectors)}."
            )
        rows = vectors.double()
        centred = rows - rows.mean(0)
        squares, directions = torch.linalg.eigh(centred.T @ centred / len(rows))
        spread = squares.clamp(min=0).sqrt()
        scale = (spread + FLOOR * spread.max()).clamp(min=1e-12).pow(-self.power)
        self.mean.copy_(rows.mean(0))
        self.turn.copy_((directions * scale) @ directions.T)

    def forward(self, vectors: Tensor) -> Tensor:
        with torch.autocast(vectors.device.type, enabled=False):
            return (vectors.float() - self.mean) @ self.turn
