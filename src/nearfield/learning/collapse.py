"""Detection of collapse: effective rank and spread of a batch, and a warning with cause and remedy."""

import math
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

PATIENCE = 20
"""Number of consecutive collapsed steps before the warning."""
NEAR = 0.1
"""A batch has collapsed to a point if its `spread` is below this."""
FLAT = 1.5
"""A batch has collapsed to a line if its effective rank is below this."""


def effective_rank(vectors: Tensor) -> float:
    """Computes the effective rank of centered vectors (B, D).

    The exponential of the entropy of the normalized singular values (Roy & Vetterli 2007): 1 for a line, at
    most min(B - 1, D), 0 for a point or if a vector is not finite. The metric `effective_rank` of an
    evaluation does not center the vectors, so the two are not comparable.
    """
    if not torch.isfinite(vectors).all():  # the decomposition would raise before the warning is given
        return 0.0
    values = torch.linalg.svdvals((vectors - vectors.mean(0)).double())
    total = values.sum()
    if total <= 1e-12 * max(1.0, float(vectors.abs().max())):
        return 0.0
    share = values / total
    return float(torch.exp(-(share * torch.log(share.clamp_min(1e-300))).sum()))


def spread(vectors: Tensor) -> Tensor:
    """Computes the root mean squared distance of the pairs of (B, D), divided by the root mean squared norm.

    About 1.41 for evenly spread directions, 0 for a point. Takes O(B D), because the mean squared distance of
    all pairs is twice the total variance.
    """
    length = vectors.square().sum(1).mean()
    variance = vectors.var(0, correction=0).sum()
    return torch.sqrt(2 * variance / length.clamp_min(1e-20))


class CollapseWatch:
    """Detects collapse from the metrics of each step; `see` returns a warning once."""

    def __init__(self, mined_hard: bool) -> None:
        self.mined_hard = mined_hard
        self.spreads: deque[float] = deque(maxlen=PATIENCE)
        self.raised = False

    def see(self, measured: Mapping[str, float]) -> str | None:
        """Returns a warning if the embedding has collapsed, the first time only; else None.

        `measured` contains `train/loss`, `train/spread` and, at some steps, `train/effective_rank`.
        """
        if self.raised:
            return None
        if not math.isfinite(measured["train/loss"]):
            return self._raise(
                "the loss is no longer a number",
                "Likely cause: the learning rate is too high, or a clip contains NaN.",
                "Divide optimizer.lr by ten, and run `nearfield check` on the data.",
            )
        self.spreads.append(measured["train/spread"])
        full = len(self.spreads) == PATIENCE
        if full and max(self.spreads) < NEAR:
            cause = (
                "Likely cause: the miner keeps only the hardest pairs from the start."
                if self.mined_hard
                else "Likely cause: the learning rate is too high for this loss, or pairs are contradictory."
            )
            cure = (
                "Set miner.kind to semihard or all."
                if self.mined_hard
                else "Lower optimizer.lr, check that the relation fits the data, or use another loss."
            )
            return self._raise("all embeddings lie at one point", cause, cure)
        rank = measured.get("train/effective_rank")
        if full and rank is not None and 0 < rank < FLAT:
            return self._raise(
                f"all embeddings lie on one line (effective rank {rank:.2f})",
                "Likely cause: the margin is too large, or the miner keeps only hard pairs.",
                "Lower loss.margin, or set miner.kind to all.",
            )
        return None

    def _raise(self, what: str, cause: str, cure: str) -> str:
        self.raised = True
        return f"The embedding has collapsed: {what}. {cause} {cure}"
