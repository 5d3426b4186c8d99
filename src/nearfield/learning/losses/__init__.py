"""Losses over `Pairs` and tagging losses: the list of their settings and of their classes.

A loss is listed twice, both times here: in `LossSettings` for recipes, and in `__all__`, by a short name, for
`nearfield.losses`.
"""

from typing import Annotated

from nearfield.learning.losses.autograd import AutogradLoss
from nearfield.learning.losses.base import LossMetrics as LossMetrics
from nearfield.learning.losses.base import PairLoss
from nearfield.learning.losses.circle import CircleLoss as Circle
from nearfield.learning.losses.circle import CircleSettings
from nearfield.learning.losses.contrastive import ContrastiveLoss as Contrastive
from nearfield.learning.losses.contrastive import ContrastiveSettings
from nearfield.learning.losses.library import LibrarySettings
from nearfield.learning.losses.multi_similarity import MultiSimilarityLoss as MultiSimilarity
from nearfield.learning.losses.multi_similarity import MultiSimilaritySettings
from nearfield.learning.losses.settings import LOSSES
from nearfield.learning.losses.supcon import NTXentLoss as NTXent
from nearfield.learning.losses.supcon import NTXentSettings, SupConSettings
from nearfield.learning.losses.supcon import SupConLoss as SupCon
from nearfield.learning.losses.tagging import BCELoss as BCE  # noqa: N814
from nearfield.learning.losses.tagging import BCESettings, FocalSettings
from nearfield.learning.losses.tagging import FocalLoss as Focal
from nearfield.learning.losses.triplet import TripletLoss as Triplet
from nearfield.learning.losses.triplet import TripletSettings

LossSettings = Annotated[
    TripletSettings
    | CircleSettings
    | ContrastiveSettings
    | NTXentSettings
    | SupConSettings
    | MultiSimilaritySettings
    | BCESettings
    | FocalSettings
    | LibrarySettings,
    LOSSES,
]
LOSSES.bind(LossSettings)

__all__ = [
    "AutogradLoss",
    "BCE",
    "Circle",
    "Contrastive",
    "Focal",
    "MultiSimilarity",
    "NTXent",
    "PairLoss",
    "SupCon",
    "Triplet",
]
