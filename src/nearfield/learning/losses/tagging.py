"""Tagging losses: a linear head with binary cross-entropy or focal loss."""

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from nearfield.core.errors import RequestError
from nearfield.core.types import Pairs
from nearfield.learning.losses.base import Given, LossMetrics, PairLoss, fit
from nearfield.learning.losses.margins import checked
from nearfield.learning.losses.settings import BaseLossSettings, Need

# What the tagging losses share: a linear head on the vectors, and a cost for every clip and tag.
#
# Conventions: R of the B clips of a batch have known tags, K tags; logits are natural-log odds.


class TaggingLoss(PairLoss):
    """Asks the vectors for each tag, and takes the mean cost of the answers over clips and tags.

    The head's weights are the loss's parameters. Clips whose tags are not known take no part; where no clip
    has any the loss is 0. Parts: `active_fraction`, the share of (clip, tag) cells whose probability is on
    the wrong side of a half; `positive_probability` and `negative_probability`, the mean probability of the
    tags that clips have and of those that they have not (0 where there are none).
    """

    def __init__(self, size: int, classes: int, settings: BaseLossSettings) -> None:
        """Vectors of `size` numbers, `classes` tags; RequestError where either is not given."""
        super().__init__()
        kind = settings.kind
        for name, number, what in (("size", size, "numbers a vector"), ("classes", classes, "tags")):
            if number < 1:
                raise RequestError(f"loss: {kind} needs to know how many {what} there are. Give {name}.")
        self.kind, self.settings = kind, settings
        self.tags = nn.Linear(size, classes)

    def logits(self, vectors: Tensor) -> Tensor:
        """(B, K) what the head says of (B, D) vectors; the sigmoid of it is the probability of each tag."""
        answers: Tensor = self.tags(vectors.to(self.tags.weight.dtype))
        return answers

    def forward_with_metrics(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> tuple[Tensor, LossMetrics]:
        """The loss, in the head's arithmetic. Raises RequestError where the pairs bring no tags."""
        if ref_vectors is not None:
            raise RequestError(
                f"loss: {self.kind} reads the tags of each clip and compares no vectors, so it takes no "
                "references. Leave ref_vectors out, or take a loss over pairs."
            )
        truth = self._truth(fit(vectors, pairs, ref_vectors, ref_labels))
        known = ~truth.isnan().any(1)
        has = truth[known] > 0.5
        with torch.autocast(vectors.device.type, enabled=False):
            logits = self.logits(vectors[known])
            costs = self.costs(torch.where(has, logits, -logits), has)
            value = costs.sum() / max(1, costs.numel())  # of nothing: 0, with a gradient of zeros
        return value, _parts(logits.detach(), has)

    def see_frequencies(self, shares: Tensor) -> None:
        """Takes the share (0..1) of training clips that have each tag, (K,), before training; not all ask."""

    @abstractmethod
    def costs(self, right: Tensor, has: Tensor) -> Tensor:
        """(R, K) costs, from the log odds of the right answer and from which tags (R, K) the clips have."""

    def _truth(self, pairs: Pairs) -> Tensor:
        if pairs.tags is None:
            raise RequestError(
                f"loss: {self.kind} reads tags, and this batch brings none. Set relation.kind to tags and "
                "sampler.kind to one that leaves the pairs to the relation: balanced_tags, shuffle."
            )
        wanted = (len(pairs), self.tags.out_features)
        if pairs.tags.shape != wanted:
            raise RequestError(
                f"loss: {self.kind} was built for {self.tags.out_features} tags. This batch of {len(pairs)} "
                f"clips brings tags of shape {tuple(pairs.tags.shape)}; it must be {wanted}."
            )
        return pairs.tags


def _parts(logits: Tensor, has: Tensor) -> LossMetrics:
    probabilities = logits.sigmoid()
    wrong = torch.where(has, logits < 0, logits > 0)
    return {
        "active_fraction": _mean(wrong.float(), torch.ones_like(has)),
        "positive_probability": _mean(probabilities, has),
        "negative_probability": _mean(probabilities, ~has),
    }


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen cells; 0 where there are none."""
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp_min(1)


# Tagging by binary cross-entropy: each tag is a question of its own, answered with a probability.


class BCESettings(BaseLossSettings):
    """Tells for each tag whether a clip has it: binary cross-entropy on a linear layer over the vectors."""

    kind: Literal["bce"] = "bce"
    class_weights: Literal["none", "balanced"] = "none"
    """What a tag that a clip has weighs: as much as one that it lacks, or more the rarer the tag is: clips
    without it divided by clips with it, counted over the training clips."""

    needs: ClassVar[frozenset[Need]] = frozenset({"tags"})
    distance: ClassVar[None] = None

    def build(self, size: int = 0, classes: int = 0) -> "BCELoss":
        """The loss for vectors of `size` numbers and `classes` tags; RequestError without the two."""
        return BCELoss(size, classes, **self.arguments())


class BCELoss(TaggingLoss):
    """Mean over clips and tags of -w log p for a tag that the clip has, -log(1 - p) for one it lacks.

    Balanced weights w need `see_frequencies` first. They are of the loss's state.

    Parameters
    ----------
    size, classes
        How many numbers a vector has, and how many tags there are.
    class_weights
        Whether rare tags count more: clips without a tag divided by clips with it.
    """

    settings: BCESettings
    weights: Tensor

    def __init__(
        self,
        size: int,
        classes: int,
        class_weights: Literal["none", "balanced"] = "none",
    ) -> None:
        super().__init__(size, classes, checked(BCESettings, class_weights=class_weights))
        unknown = torch.nan if class_weights == "balanced" else 1.0
        self.register_buffer("weights", torch.full((classes,), unknown))

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


# Tagging by focal loss: cross-entropy in which questions already answered well hardly count.
#
# Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", ICCV 2017, equations 4 and 5.


class FocalSettings(BaseLossSettings):
    """Binary cross-entropy for each tag, weighed down where the answer is already good."""

    kind: Literal["focal"] = "focal"
    gamma: float = Field(2.0, ge=0)
    """How strongly good answers are weighed down; 0 is plain cross-entropy."""
    alpha: float | None = Field(None, gt=0, lt=1)
    """Weight of the tags that a clip has, with 1 - alpha for those that it lacks; none: both weigh 1."""

    needs: ClassVar[frozenset[Need]] = frozenset({"tags"})
    distance: ClassVar[None] = None

    def build(self, size: int = 0, classes: int = 0) -> "FocalLoss":
        """The loss for vectors of `size` numbers and `classes` tags; RequestError without the two."""
        return FocalLoss(size, classes, **self.arguments())


class FocalLoss(TaggingLoss):
    """Mean over clips and tags of -alpha_t (1 - p_t)^gamma log p_t, p_t being the truth's probability.

    Parameters
    ----------
    size, classes
        How many numbers a vector has, and how many tags there are.
    gamma
        How strongly good answers are weighed down; 0 is plain cross-entropy.
    alpha
        Weight of the tags that a clip has, with 1 - alpha for those that it lacks; None: both weigh 1.
    """

    settings: FocalSettings

    def __init__(
        self,
        size: int,
        classes: int,
        gamma: float = 2.0,
        alpha: float | None = None,
    ) -> None:
        super().__init__(size, classes, checked(FocalSettings, gamma=gamma, alpha=alpha))

    def costs(self, right: Tensor, has: Tensor) -> Tensor:
        """(R, K), from the log odds: neither overflows nor has an infinite slope, for any gamma."""
        fading = (self.settings.gamma * logsigmoid(-right)).exp()
        costs = -fading * logsigmoid(right)
        alpha = self.settings.alpha
        return costs if alpha is None else torch.where(has, alpha * costs, (1 - alpha) * costs)
