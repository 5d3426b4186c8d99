"""Losses as classes, to use in a training loop of one's own: `losses.Triplet(margin=0.3)(vectors, labels)`.

The same as `nearfield.loss("triplet", margin=0.3)`, with a signature that an editor completes. `AutogradLoss`
is the base of a loss written as one method, `PairLoss` that of all; `nearfield.losses.pml` has six of them
under pytorch-metric-learning's names and call.
"""

from nearfield.learning.losses.autograd import AutogradLoss
from nearfield.learning.losses.base import PairLoss
from nearfield.learning.losses.circle import CircleLoss as Circle
from nearfield.learning.losses.contrastive import ContrastiveLoss as Contrastive
from nearfield.learning.losses.multi_similarity import MultiSimilarityLoss as MultiSimilarity
from nearfield.learning.losses.supcon import NTXentLoss as NTXent
from nearfield.learning.losses.supcon import SupConLoss as SupCon
from nearfield.learning.losses.tagging import BCELoss as BCE  # noqa: N814
from nearfield.learning.losses.tagging import FocalLoss as Focal
from nearfield.learning.losses.triplet import TripletLoss as Triplet

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
