"""The base classes of miners, which select pairs and never add any."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy.typing as npt
import torch
from torch import Tensor

from nearfield.core.settings import Family, Settings
from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.losses.base import Given, fit


class BaseMinerSettings(Settings):
    """Base of the settings of a miner: a frozen class with `kind`, its settings, and `build`.

    The class variables and properties decide which losses a miner can be combined with; no other module
    refers to its kind. All have defaults.
    """

    kind: str
    needs_unit_length: ClassVar[bool] = False
    """Whether it requires vectors of unit length."""
    hardest_only: ClassVar[bool] = False
    """Whether it keeps only the hardest triplets, with which training collapses most easily."""

    @property
    def keeps_all(self) -> bool:
        """Whether it keeps all pairs, so that it can be combined with losses that do not support miners."""
        return False

    def triplet_range(self, distance: Distance = "euclidean", margin: float = 0.2) -> TripletRange | None:
        """Returns the triplet range that it sets on `Pairs`; None if it clears cells of the masks instead.

        `distance` and `margin` are those of the loss, used if the miner has none.
        """
        return None

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> "Miner":
        """Creates the miner; `distance` and `margin` are those of the loss, used if the miner has none."""
        raise NotImplementedError


MINERS = Family("miners", BaseMinerSettings)
"""All kinds of miners; their union is `MinerSettings` in this package's `__init__`."""


class Miner(ABC):
    """Selects pairs: clears cells of `Pairs`, or sets a triplet range."""

    def __call__(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Selects pairs, without gradient.

        Parameters
        ----------
        vectors
            (B, D) embeddings, floating point.
        pairs
            Positives and negatives: `Pairs`, or (B,) class numbers.
        ref_vectors, ref_labels
            (R, D) references to compare the batch with, and their (R,) class numbers; see `PairLoss.forward`.
        generator
            Generator on the CPU for miners that draw at random; None: that of torch.

        Returns
        -------
        Pairs
            The selected pairs.

        Raises
        ------
        RequestError
            If the arguments do not fit each other.
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
        """Returns the selected pairs; `pairs` fit the vectors and are on the same device."""
