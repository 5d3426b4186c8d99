"""Miners: which pairs and triplets of a batch a loss uses."""

from typing import Annotated

from nearfield.learning.miners.base import MINERS, Miner
from nearfield.learning.miners.gaps import All, Easy, Hard, Semihard
from nearfield.learning.miners.pairs import (
    BatchEasyHard,
    BatchHard,
    DistanceWeighted,
    MultiSimilarityPairs,
    PairMargin,
)

MinerSettings = Annotated[
    All
    | Hard
    | Semihard
    | Easy
    | BatchHard
    | BatchEasyHard
    | MultiSimilarityPairs
    | PairMargin
    | DistanceWeighted,
    MINERS,
]
MINERS.bind(MinerSettings)

__all__ = ["Miner", "MinerSettings"]
