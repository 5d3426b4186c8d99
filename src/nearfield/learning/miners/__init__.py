"""Which pairs are worth a pull: the family of miners over `Pairs`."""

from typing import Annotated

from pydantic import Field

from nearfield.learning.miners.base import Miner
from nearfield.learning.miners.distance_weighted import DistanceWeighted
from nearfield.learning.miners.extremes import BatchEasyHard, BatchHard
from nearfield.learning.miners.multi_similarity import MultiSimilarity
from nearfield.learning.miners.pair_margin import PairMargin
from nearfield.learning.miners.triplets import All, Easy, Hard, Semihard

MinerSettings = Annotated[
    All
    | Hard
    | Semihard
    | Easy
    | BatchHard
    | BatchEasyHard
    | MultiSimilarity
    | PairMargin
    | DistanceWeighted,
    Field(discriminator="kind"),
]

__all__ = ["Miner", "MinerSettings"]
