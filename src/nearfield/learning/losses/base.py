"""What all losses share: how they are called, what they say besides their value, how a gradient is kept."""

from abc import abstractmethod
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.types import Pairs

LossMetrics = dict[str, Tensor]
"""What was measured on the way, as detached scalars:

- `active_fraction`: share of what could pull (triplets, pairs or anchors, as the loss says) that does;
- `alike_distance`, `unlike_distance`: mean distance of the alike and of the unlike cells;
- further ones that a loss names itself.
"""


OWN_KINDS = ("triplet", "circle", "contrastive", "nt_xent", "supcon", "multi_similarity")
"""The kinds that are Nearfield's own, for sentences that name alternatives; all work from pairs alone."""

TAGGING_KINDS = ("bce", "focal")
"""Nearfield's own kinds that read the tags of each clip instead of pairs."""


class PairLoss(nn.Module):
    """A loss over `Pairs`: a scalar with a gradient; `forward_with_metrics` says more at no cost."""

    def forward(self, vectors: Tensor, pairs: Pairs | Tensor | npt.ArrayLike) -> Tensor:
        """Loss (scalar) of (B, D) vectors; `pairs`, or (B,) class numbers in their place.

        Raises RequestError where the two do not fit. Value and gradient come from one pass, so the gradient
        cannot be differentiated again.
        """
        return self.forward_with_metrics(vectors, pairs)[0]

    def forward_with_metrics(
        self, vectors: Tensor, pairs: Pairs | Tensor | npt.ArrayLike
    ) -> tuple[Tensor, LossMetrics]:
        """The loss, and what was measured on the way (see `LossMetrics`)."""
        fitting = fit(vectors, pairs)
        given = vectors if torch.is_grad_enabled() else vectors.detach()
        with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
            value, gradient, parts = self.loss_and_grad(given, fitting)
        return (value if gradient is None else _known(given, value, gradient)), parts

    @abstractmethod
    def loss_and_grad(self, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor | None, LossMetrics]:
        """Value, d value / d vectors (None where `vectors` ask for none), and parts; without autograd."""


class _Known(torch.autograd.Function):
    """A value whose gradient is known already."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.kind = vectors.dtype
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # create_graph=True: the gradient would wrongly pass for a constant
            raise RequestError(
                "The gradient of this loss cannot be differentiated again. Call backward without "
                "create_graph, or take the loss from pytorch-metric-learning by its class name."
            )
        (gradient,) = ctx.saved_tensors
        return (gradient * upstream).to(ctx.kind), None, None


def _known(vectors: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    attached: Tensor = _Known.apply(vectors, value, gradient)  # type: ignore[no-untyped-call]
    return attached


def fit(vectors: Tensor, pairs: Pairs | Tensor | npt.ArrayLike) -> Pairs:
    """`pairs` (made from labels where those are given) on the device of `vectors` (B, D).

    Raises RequestError where shapes or kinds do not fit.
    """
    if not isinstance(vectors, Tensor):
        raise RequestError(
            "A loss or a miner needs vectors as a torch.Tensor. Given: a "
            f"{type(vectors).__name__}. Of NumPy: torch.from_numpy(vectors)."
        )
    if vectors.ndim != 2 or not vectors.dtype.is_floating_point:
        raise RequestError(
            f"A loss needs vectors of shape (items, numbers) in floating point. "
            f"Given: {tuple(vectors.shape)} of {vectors.dtype}."
        )
    fitting = pairs if isinstance(pairs, Pairs) else Pairs.from_labels(pairs)
    shape = (len(vectors), len(vectors))
    if fitting.positive.shape != shape or fitting.negative.shape != shape:
        raise RequestError(
            f"The pairs are of another batch: {len(vectors)} vectors, but positive is "
            f"{tuple(fitting.positive.shape)} and negative {tuple(fitting.negative.shape)}; "
            f"both must be {shape}."
        )
    return fitting.to(vectors.device)
