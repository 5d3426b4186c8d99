"""What pulls and pushes: the family of losses over `Pairs`, and those that name tags."""

from typing import Annotated

from nearfield.learning.losses.base import LossMetrics, PairLoss
from nearfield.learning.losses.circle import CircleSettings
from nearfield.learning.losses.contrastive import ContrastiveSettings
from nearfield.learning.losses.library import LibrarySettings
from nearfield.learning.losses.multi_similarity import MultiSimilaritySettings
from nearfield.learning.losses.settings import LOSSES
from nearfield.learning.losses.supcon import NTXentSettings, SupConSettings
from nearfield.learning.losses.tagging import BCESettings, FocalSettings
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

__all__ = ["LossSettings", "PairLoss", "LossMetrics"]
