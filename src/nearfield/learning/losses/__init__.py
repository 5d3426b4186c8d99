"""What pulls and pushes: the family of losses over `Pairs`, and those that name tags."""

from typing import Annotated

from nearfield.learning.losses.base import LossMetrics, PairLoss
from nearfield.learning.losses.circle import Circle
from nearfield.learning.losses.contrastive import Contrastive
from nearfield.learning.losses.library import Library
from nearfield.learning.losses.multi_similarity import MultiSimilarity
from nearfield.learning.losses.settings import LOSSES
from nearfield.learning.losses.supcon import NTXent, SupCon
from nearfield.learning.losses.tagging import BCE, Focal
from nearfield.learning.losses.triplet import Triplet

LossSettings = Annotated[
    Triplet | Circle | Contrastive | NTXent | SupCon | MultiSimilarity | BCE | Focal | Library, LOSSES
]
LOSSES.bind(LossSettings)

__all__ = ["LossSettings", "PairLoss", "LossMetrics"]
