"""Tagging by focal loss: cross-entropy in which questions already answered well hardly count.

Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", ICCV 2017, equations 4 and 5.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from nearfield.core.settings import Settings
from nearfield.learning.losses.tagging import TaggingLoss


class Focal(Settings):
    """Binary cross-entropy for each tag, weighed down where the answer is already good."""

    kind: Literal["focal"] = "focal"
    gamma: float = Field(2.0, ge=0)
    """How strongly good answers are weighed down; 0 is plain cross-entropy."""
    alpha: float | None = Field(None, gt=0, lt=1)
    """Weight of the tags that a clip has, with 1 - alpha for those that it lacks; none: both weigh 1."""

    introductions: ClassVar[dict[str, str]] = {
        "gamma": (
            "A tag of which the tagger gives the truth the probability p costs (1 - p) to the power gamma "
            "times its cross-entropy. At 0 all tags count; with more, the many easy absences fade and the "
            "loss looks at what is still wrong, wrong tags in the data among it (Lin et al. 2017). The "
            "probabilities come out less sure than the truth, and the value of the loss falls with gamma "
            "whatever is learnt, so that losses at different gammas cannot be compared."
        ),
        "alpha": (
            "What a tag that a clip has weighs against one that it lacks. It shifts the balance between "
            "missed and wrong tags; the best value falls as gamma rises (Lin et al. 2017)."
        ),
    }

    needs: ClassVar[frozenset[str]] = frozenset({"tags"})

    def build(self, size: int = 0, classes: int = 0) -> "FocalLoss":
        """The loss for vectors of `size` numbers and `classes` tags; RequestError without the two."""
        return FocalLoss(self, size, classes)


class FocalLoss(TaggingLoss):
    """Mean over clips and tags of -alpha_t (1 - p_t)^gamma log p_t, p_t being the truth's probability."""

    def __init__(self, settings: Focal, size: int, classes: int) -> None:
        """See `Focal.build`."""
        super().__init__(size, classes, settings.kind)
        self.settings = settings

    def costs(self, right: Tensor, has: Tensor) -> Tensor:
        """(R, K), from the log odds: neither overflows nor has an infinite slope, for any gamma."""
        fading = (self.settings.gamma * logsigmoid(-right)).exp()
        costs = -fading * logsigmoid(right)
        alpha = self.settings.alpha
        return costs if alpha is None else torch.where(has, alpha * costs, (1 - alpha) * costs)
