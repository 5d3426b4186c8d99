"""Tagging by binary cross-entropy: each tag is a question of its own, answered with a probability."""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nearfield.core.errors import RequestError
from nearfield.core.settings import Settings
from nearfield.learning.losses.tagging import TaggingLoss


class BCE(Settings):
    """Tells for each tag whether a clip has it: binary cross-entropy on a linear layer over the vectors."""

    kind: Literal["bce"] = "bce"
    class_weights: Literal["none", "balanced"] = "none"
    """What a tag that a clip has weighs: as much as one that it lacks, or more the rarer the tag is: clips
    without it divided by clips with it, counted over the training clips."""

    introductions: ClassVar[dict[str, str]] = {
        "class_weights": (
            "Most clips lack most tags, so that a tagger is right nearly everywhere by saying no. Weights "
            "make the few positives of a tag count as much as its many negatives: rare tags are found more "
            "often, and named wrongly more often; the probabilities are then too high by design, so that "
            "rankings (ROC-AUC, average precision) can be compared and the numbers themselves cannot."
        ),
    }

    needs: ClassVar[frozenset[str]] = frozenset({"tags"})

    def build(self, size: int = 0, classes: int = 0) -> "BCELoss":
        """The loss for vectors of `size` numbers and `classes` tags; RequestError without the two."""
        return BCELoss(self, size, classes)


class BCELoss(TaggingLoss):
    """Mean over clips and tags of -w log p for a tag that the clip has, -log(1 - p) for one it lacks.

    Balanced weights w need `see_frequencies` first. They are of the loss's state.
    """

    weights: Tensor

    def __init__(self, settings: BCE, size: int, classes: int) -> None:
        """See `BCE.build`."""
        super().__init__(size, classes, settings.kind)
        unknown = torch.nan if settings.class_weights == "balanced" else 1.0
        self.register_buffer("weights", torch.full((classes,), unknown))
        self.settings = settings

    def see_frequencies(self, shares: Tensor) -> None:
        """Takes the share (0..1) of training clips that have each tag, (K,); even weights ignore it.

        A tag that no clip has, or every one, keeps the weight 1: there is nothing to balance.
        """
        if shares.shape != self.weights.shape:
            raise RequestError(
                f"loss: {self.kind} was built for {len(self.weights)} tags. "
                f"Given: frequencies of shape {tuple(shares.shape)}."
            )
        if self.settings.class_weights == "balanced":
            share = shares.to(self.weights)
            self.weights.copy_(torch.where((share > 0) & (share < 1), (1 - share) / share, 1.0))

    def costs(self, right: Tensor, has: Tensor) -> Tensor:
        """(R, K), from the log odds: without overflow, however sure the head is."""
        if bool(self.weights.isnan().any()):
            raise RequestError(
                "loss.class_weights: balanced needs the share of clips that have each tag. Call "
                "see_frequencies before training, or set loss.class_weights to none."
            )
        return softplus(-right) * torch.where(has, self.weights, 1.0)
