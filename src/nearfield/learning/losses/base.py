"""The base classes of losses: their arguments, their metrics and their gradient."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import Settings
from nearfield.core.types import Pairs
from nearfield.learning.distances import Gradient, PairwiseDistances
from nearfield.learning.losses.rows import Accumulator, RowPairs, settle

LossMetrics = dict[str, Tensor]
"""Metrics of a loss, as detached scalars:

- `active_fraction`: fraction of triplets, pairs or anchors (the loss defines which) with a gradient;
- `alike_distance`, `unlike_distance`: mean distance of positive and of negative pairs;
- further metrics of the loss.
"""


Given = Pairs | Tensor | npt.ArrayLike
"""Pairs as losses and miners accept them: `Pairs`, or (B,) class numbers."""


class PairLoss(nn.Module, ABC):
    """Base of all losses over `Pairs`: a call returns a scalar with a gradient.

    A subclass implements `forward_with_metrics`, which also returns metrics. `AutogradLoss` (autograd.py) is
    the base of losses written as one method over distances; `RowLoss` and the decorator `analytic` are for
    losses with a gradient derived by hand.
    """

    settings: Settings | None = None
    """Settings of the loss, if it has any."""

    def forward(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> Tensor:
        """Computes the loss.

        Parameters
        ----------
        vectors
            (B, D) embeddings, floating point.
        pairs
            Positives and negatives: `Pairs`, or (B,) class numbers.
        ref_vectors
            (R, D) references to compare the batch with, such as a memory of earlier batches or a gallery;
            `pairs` are then (B, R). They get a gradient if they require one. None: the batch is compared with
            itself.
        ref_labels
            (R,) class numbers of the references, if `pairs` are class numbers.

        Returns
        -------
        Tensor
            Scalar with a gradient.

        Raises
        ------
        RequestError
            If the arguments do not fit each other.
        """
        return self.forward_with_metrics(vectors, pairs, ref_vectors, ref_labels)[0]

    def extra_repr(self) -> str:
        """Returns numbers and the distance, and the other settings if they are not the default."""
        settings = self.settings
        if settings is None:
            return ""
        shown = []
        for name, field in type(settings).model_fields.items():
            value = getattr(settings, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name != "kind" and (is_number or name == "distance" or value != field.default):
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)

    @abstractmethod
    def forward_with_metrics(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> tuple[Tensor, LossMetrics]:
        """Returns the loss of `forward` and its metrics (see `LossMetrics`)."""


Analytic = Callable[[Any, Tensor, Pairs, Tensor | None], tuple[Tensor, Gradient, LossMetrics]]
"""A method (loss, vectors, pairs, ref_vectors) -> value, gradient, metrics; the gradient of a tensor that
requires none is None."""


def analytic(method: Analytic) -> Callable[..., tuple[Tensor, LossMetrics]]:
    """Creates `forward_with_metrics` from a method that computes its value and gradient together.

    The method gets checked `Pairs` and runs without autograd, at least in float32. The gradient cannot be
    differentiated again.
    """

    @wraps(method)
    def forward_with_metrics(
        self: PairLoss,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> tuple[Tensor, LossMetrics]:
        fitting = fit(vectors, pairs, ref_vectors, ref_labels)
        if not torch.is_grad_enabled():
            vectors, ref_vectors = vectors.detach(), None if ref_vectors is None else ref_vectors.detach()
        with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
            value, gradient, parts = method(self, vectors, fitting, ref_vectors)
        return with_gradient(value, (vectors, ref_vectors), gradient), parts

    return forward_with_metrics


class RowLoss(PairLoss):
    """Base of losses over cosines whose value is computed from sums over anchors."""

    @analytic
    def forward_with_metrics(
        self, vectors: Tensor, pairs: Pairs, ref_vectors: Tensor | None = None
    ) -> tuple[Tensor, Gradient, LossMetrics]:
        """Computes value, gradient and metrics in one pass over the rows."""
        settled = settle(vectors, pairs, ref_vectors)
        points = PairwiseDistances(vectors, "cosine", ref_vectors)
        accumulator = Accumulator(points.places)
        for part in points.parts():
            distances = points.distances(part)
            row_pairs = RowPairs.of(settled, part, distances)
            accumulator.see(row_pairs, distances)
            points.accumulate_grad(part, self.add_rows(row_pairs, distances, accumulator), distances)
        value, scale, parts = self.conclude(accumulator)
        return value.to(points.places.dtype), points.gradient(scale), {**parts, **accumulator.parts()}

    @abstractmethod
    def add_rows(self, row_pairs: RowPairs, distances: Tensor, accumulator: Accumulator) -> Tensor:
        """Adds R anchors to the sums; returns the gradient of their summed losses by (R, B) `distances`."""

    @abstractmethod
    def conclude(self, accumulator: Accumulator) -> tuple[Tensor, Tensor, LossMetrics]:
        """Returns the value, the factor of the summed gradient, and the metrics of the loss."""


class _Known(torch.autograd.Function):
    """A value whose gradient with respect to some tensors has been computed already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *given: Tensor) -> Tensor:
        """Returns `value`; `given` contains `count` tensors, then the gradient of each."""
        ctx.save_for_backward(*given[count:])
        ctx.kinds = [tensor.dtype for tensor in given[:count]]
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True would treat the gradient as a constant
            raise RequestError(
                "The gradient of this loss cannot be differentiated again. Call backward without "
                "create_graph, or use the loss of pytorch-metric-learning by its class name."
            )
        gradients = zip(ctx.saved_tensors, ctx.kinds, strict=True)
        found = [(gradient * upstream).to(kind) for gradient, kind in gradients]
        return None, None, *found, *(None for _ in found)


def with_gradient(value: Tensor, given: Sequence[Tensor | None], gradient: Sequence[Tensor | None]) -> Tensor:
    """Returns `value` as a function of the given tensors, with the gradient given for each of them."""
    known = [
        (tensor, slope)
        for tensor, slope in zip(given, gradient, strict=True)
        if tensor is not None and slope is not None
    ]
    if not known:
        return value
    tensors, slopes = zip(*known, strict=True)
    attached: Tensor = _Known.apply(value, len(known), *tensors, *slopes)  # type: ignore[no-untyped-call]
    return attached


def fit(
    vectors: Tensor,
    pairs: Given,
    ref_vectors: Tensor | None = None,
    ref_labels: Tensor | npt.ArrayLike | None = None,
) -> Pairs:
    """Checks the arguments of `PairLoss.forward`; returns `Pairs` on the device of `vectors`.

    Raises RequestError if shapes or types do not fit.
    """
    _check_vectors(vectors)
    if ref_vectors is not None:
        _check_references(vectors, ref_vectors)
    fitting = pairs if isinstance(pairs, Pairs) else _of_labels(pairs, ref_vectors, ref_labels)
    if isinstance(pairs, Pairs) and ref_labels is not None:
        raise RequestError(
            "ref_labels require labels, but Pairs were given, which determine positives and negatives "
            "already. Leave out ref_labels, or pass the labels of the batch instead of Pairs."
        )
    others = vectors if ref_vectors is None else ref_vectors
    shape = (len(vectors), len(others))
    if fitting.positive.shape != shape or fitting.negative.shape != shape:
        given = f"{len(vectors)} vectors" + (f", {len(others)} references" if others is not vectors else "")
        raise RequestError(
            f"The pairs belong to another batch: {given}, but positive is {tuple(fitting.positive.shape)} "
            f"and negative {tuple(fitting.negative.shape)}; both must be {shape}."
        )
    return fitting.to(vectors.device)


def _of_labels(
    labels: Tensor | npt.ArrayLike, ref_vectors: Tensor | None, ref_labels: Tensor | npt.ArrayLike | None
) -> Pairs:
    if (ref_vectors is None) != (ref_labels is None):
        given, lacking = (
            ("ref_labels", "ref_vectors") if ref_vectors is None else ("ref_vectors", "ref_labels")
        )
        raise RequestError(
            f"{given} without {lacking}: references need vectors of shape (references, numbers) and, with "
            f"labels, one label each. Pass {lacking}, too."
        )
    return Pairs.from_labels(labels, ref_labels)


def _check_vectors(vectors: Tensor, name: str = "vectors") -> None:
    if not isinstance(vectors, Tensor):
        raise RequestError(
            f"A loss or a miner needs {name} as a torch.Tensor. Given: a "
            f"{type(vectors).__name__}. Of NumPy: torch.from_numpy({name})."
        )
    if vectors.ndim != 2 or not vectors.dtype.is_floating_point:
        raise RequestError(
            f"A loss needs {name} of shape (items, numbers) in floating point. "
            f"Given: {tuple(vectors.shape)} of {vectors.dtype}."
        )


def _check_references(vectors: Tensor, ref_vectors: Tensor) -> None:
    _check_vectors(ref_vectors, "ref_vectors")
    if vectors.shape[1] != ref_vectors.shape[1] or vectors.device != ref_vectors.device:
        raise RequestError(
            f"References and vectors do not fit: ref_vectors is {tuple(ref_vectors.shape)} on "
            f"{ref_vectors.device}, vectors {tuple(vectors.shape)} on {vectors.device}. Both need the same "
            "dimension and the same device."
        )
