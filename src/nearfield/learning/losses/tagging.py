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

# The base of tagging losses: a linear head on the embeddings, and a cost for every clip and tag.
#
# Conventions: R of the B clips of a batch have known tags, K tags; logits are natural-log odds.


class TaggingLoss(PairLoss):
    """Base of tagging losses: predicts each tag from the embedding; the mean cost over clips and tags.

    The weights of the linear head are parameters of the loss. Clips with unknown tags are ignored; if no clip
    has known tags, the loss is 0. Metrics: `active_fraction`, the fraction of (clip, tag) predictions on the
    wrong side of 0.5; `positive_probability` and `negative_probability`, the mean predicted probability of
    the tags that clips have and of those that they lack (0 if there are none).
    """

    def __init__(self, size: int, classes: int, settings: BaseLossSettings) -> None:
        """Creates the head for dimension `size` and `classes` tags. Raises RequestError if either is 0."""
        super().__init__()
        kind = settings.kind
        for name, number, what in (
            ("size", size, "dimension of the vectors"),
            ("classes", classes, "number of tags"),
        ):
            if number < 1:
                raise RequestError(f"loss: {kind} needs the {what}. Pass {name}.")
        self.kind, self.settings = kind, settings
        self.tags = nn.Linear(size, classes)

    def logits(self, vectors: Tensor) -> Tensor:
        """Returns (B, K) logits of (B, D) vectors; their sigmoid is the probability of each tag."""
        logits: Tensor = self.tags(vectors.to(self.tags.weight.dtype))
        return logits

    def forward_with_metrics(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> tuple[Tensor, LossMetrics]:
        """Returns the loss, in the precision of the head. Raises RequestError if the pairs have no tags."""
        if ref_vectors is not None:
            raise RequestError(
                f"loss: {self.kind} uses the tags of each clip and compares no vectors, so it has no "
                "references. Leave out ref_vectors, or use a loss over pairs."
            )
        truth = self._truth(fit(vectors, pairs, ref_vectors, ref_labels))
        known = ~truth.isnan().any(1)
        has = truth[known] > 0.5
        with torch.autocast(vectors.device.type, enabled=False):
            logits = self.logits(vectors[known])
            costs = self.costs(torch.where(has, logits, -logits), has)
            value = costs.sum() / max(1, costs.numel())  # 0 with a gradient of zeros if empty
        return value, _parts(logits.detach(), has)

    def see_frequencies(self, shares: Tensor) -> None:
        """Sets (K,) the fraction of training clips with each tag, before training; the base ignores it."""

    @abstractmethod
    def costs(self, right: Tensor, has: Tensor) -> Tensor:
        """Computes (R, K) costs.

        Parameters
        ----------
        right
            (R, K) log odds of the correct answer.
        has
            (R, K) bool, the tags of the clips.
        """

    def _truth(self, pairs: Pairs) -> Tensor:
        if pairs.tags is None:
            raise RequestError(
                f"loss: {self.kind} uses tags, and this batch has none. Set relation.kind to tags and "
                "sampler.kind to balanced_tags or shuffle, which leave the pairs to the relation."
            )
        wanted = (len(pairs), self.tags.out_features)
        if pairs.tags.shape != wanted:
            raise RequestError(
                f"loss: {self.kind} was built for {self.tags.out_features} tags. This batch of {len(pairs)} "
                f"clips has tags of shape {tuple(pairs.tags.shape)}; it must be {wanted}."
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
    """Returns the mean of the chosen cells; 0 if there are none."""
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp_min(1)


# Tagging by binary cross-entropy, one probability per tag.


class BCESettings(BaseLossSettings):
    """Binary cross-entropy of each tag, predicted by a linear layer on the embedding."""

    kind: Literal["bce"] = "bce"
    class_weights: Literal["none", "balanced"] = "none"
    """Weight of the tags that a clip has: 1 (none), or clips without the tag divided by clips with it, from
    the training clips (balanced). Tags that a clip lacks have weight 1."""

    needs: ClassVar[frozenset[Need]] = frozenset({"tags"})
    distance: ClassVar[None] = None

    def build(self, size: int = 0, classes: int = 0) -> "BCELoss":
        """Creates the loss for dimension `size` and `classes` tags. Raises RequestError if either is 0."""
        return BCELoss(size, classes, **self.arguments())


class BCELoss(TaggingLoss):
    """Mean over clips and tags of -w log p for a tag that the clip has, -log(1 - p) for one it lacks.

    Balanced weights w must be set with `see_frequencies` first. They belong to the state of the loss.

    Parameters
    ----------
    size, classes
        Dimension of the vectors, and number of tags.
    class_weights
        none: w = 1; balanced: w = clips without the tag divided by clips with it.
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
        """Sets balanced weights from (K,) the fraction of training clips with each tag.

        The weight of a tag of no clip or of all clips remains 1. Without balanced weights, nothing changes.
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
        """Computes (R, K) costs from the log odds, which does not overflow."""
        if bool(self.weights.isnan().any()):
            raise RequestError(
                "loss.class_weights: balanced needs the fraction of clips with each tag. Call "
                "see_frequencies before training, or set loss.class_weights to none."
            )
        return softplus(-right) * torch.where(has, self.weights, 1.0)


# Tagging by focal loss: cross-entropy with small weights for tags that are predicted well.
#
# Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", ICCV 2017, equations 4 and 5.


class FocalSettings(BaseLossSettings):
    """Focal loss of each tag: binary cross-entropy with small weights for tags that are predicted well."""

    kind: Literal["focal"] = "focal"
    gamma: float = Field(2.0, ge=0)
    """Exponent of the weight (1 - p)^gamma of a prediction, where p is the probability of the correct answer;
    0 is cross-entropy."""
    alpha: float | None = Field(None, gt=0, lt=1)
    """Weight of the tags that a clip has, between 0 and 1; those that it lacks have 1 - alpha. none: all have
    weight 1."""

    needs: ClassVar[frozenset[Need]] = frozenset({"tags"})
    distance: ClassVar[None] = None

    def build(self, size: int = 0, classes: int = 0) -> "FocalLoss":
        """Creates the loss for dimension `size` and `classes` tags. Raises RequestError if either is 0."""
        return FocalLoss(size, classes, **self.arguments())


class FocalLoss(TaggingLoss):
    """Mean over clips and tags of -alpha_t (1 - p_t)^gamma log p_t; p_t: probability of the correct answer.

    Parameters
    ----------
    size, classes
        Dimension of the vectors, and number of tags.
    gamma
        Exponent of the weight of a prediction; 0 is cross-entropy.
    alpha
        Weight of the tags that a clip has; those that it lacks have 1 - alpha. None: all have weight 1.
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
        """Computes (R, K) costs from the log odds; value and gradient are finite for any gamma."""
        fading = (self.settings.gamma * logsigmoid(-right)).exp()
        costs = -fading * logsigmoid(right)
        alpha = self.settings.alpha
        return costs if alpha is None else torch.where(has, alpha * costs, (1 - alpha) * costs)
