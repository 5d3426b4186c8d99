"""What all miners share: what their settings say, how they are called, and that they only ever leave out."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy.typing as npt
import torch
from torch import Tensor

from nearfield.core.settings import Family, Settings
from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.losses.base import Given, fit


class BaseMinerSettings(Settings):
    """What the settings of every miner extend: a frozen class with `kind`, its settings, and `build`.

    What a miner says of itself decides which losses it can be combined with; nothing else in the package has
    to know its kind. Everything has a default.
    """

    kind: str
    needs_unit_length: ClassVar[bool] = False
    """Whether it works for vectors of unit length alone."""
    hardest_only: ClassVar[bool] = False
    """Whether it keeps only the hardest triplets, from which training collapses most easily."""

    @property
    def keeps_all(self) -> bool:
        """Whether it leaves nothing out, so that it goes with losses that no miner can serve."""
        return False

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange | None:
        """The gap that it sets in place of clearing cells; `distance` and `margin` are the loss's, for where
        it has none of its own. None for a miner that clears cells."""
        return None

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "Miner":
        """The miner; `distance` and `margin` are the loss's, for where it has none of its own."""
        raise NotImplementedError


MINERS = Family("miners", BaseMinerSettings)
"""All kinds of miners; the list is `MinerSettings`, in this package's `__init__`."""


class Miner(ABC):
    """Keeps the telling pairs: clears cells of `Pairs`, or sets the gap that triplets must lie in."""

    def __call__(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """What is left of the pairs, without gradient.

        Parameters
        ----------
        vectors
            (B, D) floating point.
        pairs
            Positives and negatives: `Pairs`, or (B,) class numbers in their place.
        ref_vectors, ref_labels
            (R, D) references that the batch is compared with, and beside class numbers theirs; as of a loss.
        generator
            Of the CPU, for the miners that draw; None takes torch's own.

        Raises
        ------
        RequestError
            Where vectors and pairs do not fit.
        """
        fitting = fit(vectors, pairs, ref_vectors, ref_labels)
        refs = None if ref_vectors is None else ref_vectors.detach()
        with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
            return self.mine(vectors.detach(), fitting, generator, refs)

    @abstractmethod
    def mine(
        self,
        vectors: Tensor,
        pairs: Pairs,
        generator: torch.Generator | None = None,
        ref_vectors: Tensor | None = None,
    ) -> Pairs:
        """What is left of `pairs`, which are of the batch (and its references) and on its device."""
