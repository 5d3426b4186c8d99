"""Which pairs are worth a pull: the family of miners over `Pairs`."""

from typing import Annotated

from pydantic import Field

from nearfield.learning.miners.base import Miner
from nearfield.learning.miners.distance_weighted import DistanceWeighted
from nearfield.learning.miners.extremes import BatchEasyHard, BatchHard
from nearfield.learning.miners.multi_similarity import MultiSimilarity
from nearfield.learning.miners.pair_margin import PairMargin
from nearfield.learning.miners.triplets import All, Easy, Hard, Semihard

INTRODUCTION = (
    "A miner leaves pairs out, so that those remain which still teach. Without one, most pairs of a late "
    "batch are satisfied and dilute the mean (where the mean is over violating triplets alone, that is "
    "mended already). Hard mining learns fast, and wrong labels and outliers lead it, down to a space in "
    "one place; semi-hard mining was made against that (Schroff et al. 2015; Hermans et al. 2017; Wu et "
    "al. 2017). A mined loss is higher than the same loss over all pairs, so the two cannot be compared."
)
"""What the choice of a kind does, and what fails; for the documents of studies."""

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
