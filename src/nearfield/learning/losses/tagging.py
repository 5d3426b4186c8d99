"""What the tagging losses share: a linear head on the vectors, and a cost for every clip and tag.

Conventions: R of the B clips of a batch have known tags, K tags; logits are natural-log odds.
"""

from abc import abstractmethod

import numpy.typing as npt
import torch
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Pairs
from nearfield.learning.losses.base import PairLoss, Parts, fit


class TaggingLoss(PairLoss):
    """Asks the vectors for each tag, and takes the mean cost of the answers over clips and tags.

    The head's weights are the loss's parameters. Clips whose tags are not known take no part; where no clip
    has any the loss is 0. Parts: `active_fraction`, the share of (clip, tag) cells whose probability is on
    the wrong side of a half; `positive_probability` and `negative_probability`, the mean probability of the
    tags that clips have and of those that they have not (0 where there are none).
    """

    def __init__(self, size: int, classes: int, kind: str) -> None:
        """Vectors of `size` numbers, `classes` tags; RequestError where either is not given."""
        super().__init__()
        for name, number, what in (("size", size, "numbers a vector"), ("classes", classes, "tags")):
            if number < 1:
                raise RequestError(f"loss: {kind} needs to know how many {what} there are. Give {name}.")
        self.kind = kind
        self.tags = nn.Linear(size, classes)

    def logits(self, vectors: Tensor) -> Tensor:
        """(B, K) what the head says of (B, D) vectors; the sigmoid of it is the probability of each tag."""
        answers: Tensor = self.tags(vectors.to(self.tags.weight.dtype))
        return answers

    def with_parts(self, vectors: Tensor, pairs: Pairs | Tensor | npt.ArrayLike) -> tuple[Tensor, Parts]:
        """The loss, in the head's arithmetic. Raises RequestError where the pairs bring no tags."""
        truth = self._truth(fit(vectors, pairs))
        known = ~truth.isnan().any(1)
        has = truth[known] > 0.5
        with torch.autocast(vectors.device.type, enabled=False):
            logits = self.logits(vectors[known])
            costs = self.costs(torch.where(has, logits, -logits), has)
            value = costs.sum() / max(1, costs.numel())  # of nothing: 0, with a gradient of zeros
        return value, _parts(logits.detach(), has)

    def measure(self, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor | None, Parts]:
        """Not used: the gradient is autograd's."""
        raise NotImplementedError

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


def _parts(logits: Tensor, has: Tensor) -> Parts:
    chances = logits.sigmoid()
    wrong = torch.where(has, logits < 0, logits > 0)
    return {
        "active_fraction": _mean(wrong.float(), torch.ones_like(has)),
        "positive_probability": _mean(chances, has),
        "negative_probability": _mean(chances, ~has),
    }


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen cells; 0 where there are none."""
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp_min(1)
