"""What all miners share: how they are called, and that they only ever leave out."""

from abc import ABC, abstractmethod

import numpy.typing as npt
import torch
from torch import Tensor

from nearfield.core.nouns import Pairs
from nearfield.learning.losses.base import fit


class Miner(ABC):
    """Keeps the telling pairs: clears cells of `Pairs`, or sets the gap that triplets must lie in."""

    def __call__(
        self,
        vectors: Tensor,
        pairs: Pairs | Tensor | npt.ArrayLike,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """What is left of `pairs` (or of (B,) class numbers) for vectors (B, D), without gradient.

        `generator` (CPU) serves the miners that draw; None takes torch's own. Raises RequestError where
        vectors and pairs do not fit.
        """
        fitting = fit(vectors, pairs)
        with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
            return self.mine(vectors.detach(), fitting, generator)

    @abstractmethod
    def mine(self, vectors: Tensor, pairs: Pairs, generator: torch.Generator | None) -> Pairs:
        """What is left of `pairs`, which are of the batch and on its device."""
