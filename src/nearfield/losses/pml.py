"""Six losses of Nearfield with the names and arguments of pytorch-metric-learning.

To use them in a training loop written for that library, change one import. Miners, wrappers
(`CrossBatchMemory`, `SelfSupervisedLoss`) and all other losses remain those of the library and can be
imported
from this module, too:

    from nearfield.losses import pml as losses  # instead of: from pytorch_metric_learning import losses

Value and gradient equal those of the library for labels, for references (`ref_emb`, `ref_labels`) and for
pairs and triplets of indices (`indices_tuple`). No matrix of the batch by the batch or by the references is
stored.

Supported arguments of the library, besides the settings of each loss:

- `distance`: `LpDistance` with p=2 and power 1 or 2, with or without `normalize_embeddings`, and
  `CosineSimilarity`, for `TripletMarginLoss` and `ContrastiveLoss`; `CosineSimilarity` for the other four.
- `reducer`: `AvgNonZeroReducer` and `MeanReducer` for `TripletMarginLoss`; for the others their default.

Other arguments raise RequestError with an alternative: other distances and reducers, `embedding_regularizer`,
`collect_stats=True`, and, for `TripletMarginLoss`, a margin of 0 or a number for `triplets_per_anchor`. There
are two differences. With references, `swap` uses the distance between the positive and the negative, whereas
the library uses another cell of its matrix. And with an `indices_tuple` of a single positive and a single
negative pair, losses over pairs return their value, whereas the library returns 0.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import Distance, Pairs
from nearfield.learning.losses.base import PairLoss
from nearfield.learning.losses.circle import CircleSettings
from nearfield.learning.losses.contrastive import ContrastiveSettings
from nearfield.learning.losses.multi_similarity import MultiSimilaritySettings
from nearfield.learning.losses.supcon import NTXentSettings, SupConSettings
from nearfield.learning.losses.triplet import TripletSettings

__all__ = [
    "CircleLoss",
    "ContrastiveLoss",
    "MultiSimilarityLoss",
    "NTXentLoss",
    "SupConLoss",
    "TripletMarginLoss",
]

Indices = Sequence[Tensor]
"""(anchors, positives, negatives), or (anchors, positives, other anchors, negatives): 1-D positions."""


def __getattr__(name: str) -> Any:
    """Returns any other attribute of `pytorch_metric_learning.losses`."""
    if name.startswith("__"):
        raise AttributeError(name)
    from pytorch_metric_learning import losses

    return getattr(losses, name)


class _Loss(nn.Module):
    """A loss of Nearfield with the arguments of the library."""

    def __init__(self, inner: PairLoss, measured: Distance, normalizes: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.measured, self.normalizes = measured, normalizes

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: Indices | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """Computes the loss.

        Parameters
        ----------
        embeddings
            (B, D) floating point.
        labels
            (B,) class numbers. Not needed with `indices_tuple`.
        indices_tuple
            Positions of triplets or pairs, as returned by the miners of the library; None: all.
        ref_emb, ref_labels
            (R, D) references as positives and negatives, and their (R,) labels; None: the batch.

        Returns
        -------
        Tensor
            Scalar with a gradient.

        Raises
        ------
        RequestError
            If the arguments do not fit each other.
        """
        vectors = self._prepared(embeddings)
        refs = None if ref_emb is None else self._prepared(ref_emb)
        if indices_tuple is not None:
            return self._of_indices(vectors, refs, _checked(indices_tuple, embeddings.device))
        pairs = _of_labels(labels, ref_labels)
        found: Tensor = self.inner(vectors, pairs, refs)
        return found

    def _prepared(self, embeddings: Tensor) -> Tensor:
        """Converts to float32 or more, and normalizes if the distance of the library does so."""
        widened = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
        return normalize(widened) if self.normalizes else widened

    def _of_indices(self, vectors: Tensor, refs: Tensor | None, indices: Indices) -> Tensor:
        """Computes the loss of listed pairs; repeated pairs count once."""
        found: Tensor = self.inner(vectors, _cells(vectors, refs, indices), refs)
        return found

    def extra_repr(self) -> str:
        """Returns the distance."""
        return (
            f"distance={self.measured!r}, normalize_embeddings={self.normalizes or self.measured == 'cosine'}"
        )

    def _between(self, ones: Tensor, others: Tensor) -> Tensor:
        """Computes (T,) distances between the rows of two tensors (T, D), differentiable."""
        if self.measured == "cosine":
            return 1 - (normalize(ones) * normalize(others)).sum(1)
        if self.measured == "squared_euclidean":
            return (ones - others).square().sum(1)
        found: Tensor = torch.linalg.vector_norm(ones - others, dim=1)
        return found


class TripletMarginLoss(_Loss):
    """`pytorch_metric_learning.losses.TripletMarginLoss`."""

    def __init__(
        self,
        margin: float = 0.05,
        swap: bool = False,
        smooth_loss: bool = False,
        triplets_per_anchor: Literal["all"] = "all",
        distance: Any = None,
        reducer: Any = None,
        **further: Any,
    ) -> None:
        name = _refuse("TripletMarginLoss", further)
        if triplets_per_anchor != "all":
            raise RequestError(
                f"TripletMarginLoss: triplets_per_anchor must be 'all'. Given: {triplets_per_anchor!r}. "
                "Leave it out, because all triplets take little time here; or pass the triplets of a miner "
                "as indices_tuple."
            )
        measured, normalizes = _measured(name, distance, "euclidean")
        means: dict[str, Literal["non_zero_mean", "mean"]] = {
            "AvgNonZeroReducer": "non_zero_mean",
            "MeanReducer": "mean",
        }
        reduction = means[_reducer(name, reducer, *means)]
        given = {"margin": margin, "swap": swap, "smooth": smooth_loss, "allow_impossible_margin": True}
        settings: TripletSettings = make(
            TripletSettings, name, {**given, "distance": measured, "reduction": reduction}
        )
        super().__init__(settings.build(), measured, normalizes)
        self.settings = settings

    def _of_indices(self, vectors: Tensor, refs: Tensor | None, indices: Indices) -> Tensor:
        """Computes the loss of listed triplets, or of all triplets that listed pairs form, with repeats."""
        if len(indices) == 4:
            if not _repeats(vectors, refs, indices):
                return super()._of_indices(vectors, refs, indices)
            anchors, positives, others, negatives = indices
            one, other = torch.where(anchors[:, None] == others)
            indices = anchors[one], positives[one], negatives[other]
        chosen, columns = self.settings, vectors if refs is None else refs
        anchor, positive, negative = (
            side[index] for side, index in zip((vectors, columns, columns), indices, strict=True)
        )
        far = self._between(anchor, negative)
        if chosen.swap:
            far = far.minimum(self._between(positive, negative))
        violation = self._between(anchor, positive) - far + chosen.margin
        hinges = softplus(violation) if chosen.smooth else violation.clamp_min(0)
        return _mean(
            hinges, ~(hinges <= 0) if chosen.reduction == "non_zero_mean" else torch.ones_like(hinges).bool()
        )


class ContrastiveLoss(_Loss):
    """`pytorch_metric_learning.losses.ContrastiveLoss`; with `CosineSimilarity`, margins are similarities."""

    def __init__(
        self,
        pos_margin: float = 0.0,
        neg_margin: float = 1.0,
        distance: Any = None,
        reducer: Any = None,
        **further: Any,
    ) -> None:
        name = _refuse("ContrastiveLoss", further)
        measured, normalizes = _measured(name, distance, "euclidean")
        _reducer(name, reducer, "AvgNonZeroReducer")
        if measured == "cosine":
            if pos_margin > 1 or neg_margin >= 1:
                raise RequestError(
                    "ContrastiveLoss: with CosineSimilarity the margins are similarities: pos_margin, at "
                    "most 1, is the target of positives and neg_margin, less than 1, that of negatives. "
                    f"Given: {pos_margin:g} and {neg_margin:g}. Usual are pos_margin=1, neg_margin=0."
                )
            pos_margin, neg_margin = 1 - pos_margin, 1 - neg_margin
        given = {
            "pos_margin": pos_margin,
            "neg_margin": neg_margin,
            "distance": measured,
            "allow_impossible_margin": True,
        }
        settings: ContrastiveSettings = make(ContrastiveSettings, name, given)
        super().__init__(settings.build(), measured, normalizes)
        self.settings = settings

    def _of_indices(self, vectors: Tensor, refs: Tensor | None, indices: Indices) -> Tensor:
        """Computes the loss of listed pairs, with repeats."""
        if not _repeats(vectors, refs, indices):
            return super()._of_indices(vectors, refs, indices)
        columns = vectors if refs is None else refs
        anchors, positives, others, negatives = _pairs(indices)
        near = self._between(vectors[anchors], columns[positives])
        far = self._between(vectors[others], columns[negatives])
        pulls = (near - self.settings.pos_margin).clamp_min(0)
        pushes = (self.settings.neg_margin - far).clamp_min(0)
        return _mean(pulls, ~(pulls <= 0)) + _mean(pushes, ~(pushes <= 0))


class CircleLoss(_Loss):
    """`pytorch_metric_learning.losses.CircleLoss`."""

    def __init__(
        self,
        m: float = 0.4,
        gamma: float = 80.0,
        distance: Any = None,
        reducer: Any = None,
        **further: Any,
    ) -> None:
        name = _refuse("CircleLoss", further)
        _only_cosines(name, distance)
        _reducer(name, reducer, "AvgNonZeroReducer")
        super().__init__(
            make(CircleSettings, name, {"m": m, "gamma": gamma, "allow_impossible_margin": True}).build(),
            "cosine",
        )


class MultiSimilarityLoss(_Loss):
    """`pytorch_metric_learning.losses.MultiSimilarityLoss`."""

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        distance: Any = None,
        reducer: Any = None,
        **further: Any,
    ) -> None:
        name = _refuse("MultiSimilarityLoss", further)
        _only_cosines(name, distance)
        _reducer(name, reducer, "MeanReducer")
        super().__init__(
            make(MultiSimilaritySettings, name, {"alpha": alpha, "beta": beta, "base": base}).build(),
            "cosine",
        )


class SupConLoss(_Loss):
    """`pytorch_metric_learning.losses.SupConLoss`."""

    def __init__(
        self, temperature: float = 0.1, distance: Any = None, reducer: Any = None, **further: Any
    ) -> None:
        name = _refuse("SupConLoss", further)
        _only_cosines(name, distance)
        _reducer(name, reducer, "AvgNonZeroReducer")
        super().__init__(make(SupConSettings, name, {"temperature": temperature}).build(), "cosine")


class NTXentLoss(_Loss):
    """`pytorch_metric_learning.losses.NTXentLoss`."""

    def __init__(
        self, temperature: float = 0.07, distance: Any = None, reducer: Any = None, **further: Any
    ) -> None:
        name = _refuse("NTXentLoss", further)
        _only_cosines(name, distance)
        _reducer(name, reducer, "MeanReducer")
        super().__init__(make(NTXentSettings, name, {"temperature": temperature}).build(), "cosine")
        self.temperature = temperature

    def _of_indices(self, vectors: Tensor, refs: Tensor | None, indices: Indices) -> Tensor:
        """Computes the loss of listed positives against the listed negatives of their anchor, with
        repeats."""
        if not _repeats(vectors, refs, indices):
            return super()._of_indices(vectors, refs, indices)
        columns = vectors if refs is None else refs
        anchors, positives, others, negatives = _pairs(indices)
        near = -self._between(vectors[anchors], columns[positives]) / self.temperature
        far = -self._between(vectors[others], columns[negatives]) / self.temperature
        largest = far.new_full((len(vectors),), -torch.inf).scatter_reduce(0, others, far.detach(), "amax")
        total = far.new_zeros(len(vectors)).index_add(0, others, (far - largest[others]).exp())
        beyond = largest[anchors] + total[anchors].log() - near  # -inf where an anchor has no negative
        return softplus(beyond).sum() / max(1, len(anchors))


# Conversion of the arguments of the library.


def _of_labels(labels: Tensor | None, ref_labels: Tensor | None) -> Pairs:
    if labels is None:
        raise RequestError("Labels are needed without indices_tuple. Pass one of the two.")
    others = labels if ref_labels is None else ref_labels
    same = labels[:, None] == others.to(labels.device)[None, :]
    negative = ~same
    if others is labels:  # like the library: the same tensor of labels means the same items
        same.fill_diagonal_(False)
    return Pairs(same, negative)


def _checked(indices: Indices, device: torch.device) -> Indices:
    if len(indices) not in (3, 4):
        raise RequestError(
            "indices_tuple must be 3 tensors (anchors, positives, negatives) or 4 (anchors, positives, "
            f"anchors, negatives). Given: {len(indices)}."
        )
    return tuple(index.to(device) for index in indices)


def _pairs(indices: Indices) -> Indices:
    """Returns four lists; a triplet is a positive and a negative pair."""
    return indices if len(indices) == 4 else (*indices[:2], indices[0], indices[2])


def _cells(vectors: Tensor, refs: Tensor | None, indices: Indices) -> Pairs:
    """Converts listed pairs to masks."""
    anchors, positives, others, negatives = _pairs(indices)
    shape = (2, len(vectors), len(vectors if refs is None else refs))
    positive, negative = torch.zeros(shape, dtype=torch.bool, device=vectors.device)
    positive[anchors, positives] = True
    negative[others, negatives] = True
    if bool((positive & negative).any()):
        raise RequestError("indices_tuple: a pair is both positive and negative. Remove one of the two.")
    return Pairs(positive, negative)


def _repeats(vectors: Tensor, refs: Tensor | None, indices: Indices) -> bool:
    """Returns whether a pair occurs twice."""
    pairs, lists = _cells(vectors, refs, indices), _pairs(indices)
    return int(pairs.positive.sum()) < len(lists[0]) or int(pairs.negative.sum()) < len(lists[2])


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Returns the mean of the counted values; 0, with a gradient of zeros, if there are none."""
    return values.where(counted, 0).sum() / counted.sum().clamp_min(1)


# Checks of the arguments of the library.


def _refuse(name: str, further: dict[str, Any]) -> str:
    """Returns `name`; raises RequestError if an argument is not supported."""
    advice = {
        "embedding_regularizer": "Add its value to the loss in your loop",
        "embedding_reg_weight": "Add the regularizer's value to the loss in your loop",
        "collect_stats": "Call inner.forward_with_metrics(vectors, pairs) for metrics",
    }
    for key, value in further.items():
        if key not in advice:
            raise TypeError(f"{name}() got an unexpected keyword argument {key!r}")
        if value is not None and value is not False and not (key == "embedding_reg_weight" and value == 1):
            raise RequestError(
                f"{name}: {key} is not supported. {advice[key]}, or use the loss from "
                "pytorch_metric_learning.losses."
            )
    return name


def _measured(name: str, distance: Any, usual: Distance) -> tuple[Distance, bool]:
    """Returns the distance, and whether to normalize vectors first; None is the default of the library."""
    if distance is None:
        return usual, usual != "cosine"
    kind, power = type(distance).__name__, getattr(distance, "power", None)
    is_normalizing = getattr(distance, "normalize_embeddings", False)
    if kind in ("CosineSimilarity", "DotProductSimilarity") and is_normalizing and power == 1:
        return "cosine", False
    if kind == "LpDistance" and distance.p == 2 and power in (1, 2):
        return ("euclidean" if power == 1 else "squared_euclidean"), is_normalizing
    raise RequestError(
        f"{name}: the distance {_words(distance)} is not supported. Use LpDistance with p=2 and power 1 or "
        "2, or CosineSimilarity; or the loss from pytorch_metric_learning.losses."
    )


def _words(distance: Any) -> str:
    """Returns a distance of the library with its settings, which its repr does not contain."""
    settings = (f"{name}={getattr(distance, name, None)}" for name in ("p", "power", "normalize_embeddings"))
    return f"{type(distance).__name__}({', '.join(settings)})"


def _only_cosines(name: str, distance: Any) -> None:
    if _measured(name, distance, "cosine")[0] != "cosine":
        raise RequestError(
            f"{name}: only cosines are supported. Given: {_words(distance)}. Use CosineSimilarity, or the "
            "loss from pytorch_metric_learning.losses."
        )


def _reducer(name: str, reducer: Any, *allowed: str) -> str:
    """Returns the class name of a reducer; for None, the first allowed one."""
    kind = allowed[0] if reducer is None else type(reducer).__name__
    if kind not in allowed:
        raise RequestError(
            f"{name}: the reducer {kind} is not supported. Use {' or '.join(allowed)}, or the loss from "
            "pytorch_metric_learning.losses."
        )
    return kind
