"""Is the space alive? Numbers that tell, and an early alarm that says what collapsed, why, and what to do."""

import math
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

PATIENCE = 20
"""Steps that must all look collapsed before the alarm: a few dozen steps into training at the latest."""
NEAR = 0.1
"""A batch whose items lie closer together than this share of their own length is a point."""
FLAT = 1.5
"""Effective rank under which a batch of vectors is a line."""


def effective_rank(vectors: Tensor) -> float:
    """exp of the entropy of the normalized singular values of centred vectors (B, D) (Roy & Vetterli 2007).

    1 for a line, min(B - 1, D) at most; 0 for a single point, and for vectors that are not finite. An
    evaluation's `effective_rank` is of vectors as they are, not centred: the two are not to be compared.
    """
    if not torch.isfinite(vectors).all():  # a decomposition would raise before the alarm could speak
        return 0.0
    values = torch.linalg.svdvals((vectors - vectors.mean(0)).double())
    total = values.sum()
    if total <= 1e-12 * max(1.0, float(vectors.abs().max())):
        return 0.0
    share = values / total
    return float(torch.exp(-(share * torch.log(share.clamp_min(1e-300))).sum()))


def spread(vectors: Tensor) -> Tensor:
    """Root mean squared distance between two items of (B, D), over the root mean squared length.

    About 1.41 for directions spread evenly, 0 for a point. O(B D): the mean squared distance of all pairs
    is twice the total variance.
    """
    length = vectors.square().sum(1).mean()
    variance = vectors.var(0, correction=0).sum()
    return torch.sqrt(2 * variance / length.clamp_min(1e-20))


class CollapseWatch:
    """Reads what each step measured; `see` returns a sentence once, when the space has collapsed."""

    def __init__(self, mined_hard: bool) -> None:
        self.mined_hard = mined_hard
        self.spreads: deque[float] = deque(maxlen=PATIENCE)
        self.raised = False

    def see(self, measured: Mapping[str, float]) -> str | None:
        """Takes `train/loss`, `train/spread` and, where measured, `train/effective_rank`."""
        if self.raised:
            return None
        if not math.isfinite(measured["train/loss"]):
            return self._raise(
                "the loss is no longer a number",
                "Likely cause: the learning rate is too high, or a clip holds NaN.",
                "Lower optimizer.lr by ten, and run `nearfield check` on the data.",
            )
        self.spreads.append(measured["train/spread"])
        full = len(self.spreads) == PATIENCE
        if full and max(self.spreads) < NEAR:
            cause = (
                "Likely cause: mining only the hardest pairs from the start."
                if self.mined_hard
                else "Likely cause: a learning rate too high for this loss, or contradicting pairs."
            )
            cure = (
                "Use miner.kind semihard or all, or begin without a miner."
                if self.mined_hard
                else "Lower optimizer.lr, check that the relation fits the data, or take another loss."
            )
            return self._raise("all clips fall on one point", cause, cure)
        rank = measured.get("train/effective_rank")
        if full and rank is not None and 0 < rank < FLAT:
            return self._raise(
                f"all clips fall on one line (effective rank {rank:.2f})",
                "Likely cause: a margin so large that only extremes count, or hard mining.",
                "Lower loss.margin, or use miner.kind all.",
            )
        return None

    def _raise(self, what: str, cause: str, cure: str) -> str:
        self.raised = True
        return f"The space has collapsed: {what}. {cause} {cure}"
