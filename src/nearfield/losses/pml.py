"""Six losses under the names, arguments and call of pytorch-metric-learning, computed by Nearfield's.

A training loop that is written for that library runs on these by changing one import; miners, wrappers
(`CrossBatchMemory`, `SelfSupervisedLoss`) and every other loss stay the library's own, and can be had from
this module, too:

    from nearfield.losses import pml as losses  # was: from pytorch_metric_learning import losses

Value and gradient equal the library's for labels, for references (`ref_emb`, `ref_labels`) and for pairs and
triplets of indices (`indices_tuple`), without a matrix of the batch by itself or by the references.

Taken of the library's arguments, besides each loss's own settings:

- `distance`: `LpDistance` with p=2 and power 1 or 2, with or without `normalize_embeddings`, and
  `CosineSimilarity`, for `TripletMarginLoss` and `ContrastiveLoss`; `CosineSimilarity` for the other four.
- `reducer`: `AvgNonZeroReducer` and `MeanReducer` for `TripletMarginLoss`; for the others their default.

Arguments without a counterpart are refused by name, with what to take: other distances and reducers,
`embedding_regularizer`, `collect_stats=True`, and of `TripletMarginLoss` a margin of 0 and a number for
`triplets_per_anchor`. Two differences remain. `swap` with references measures the two references that it
means, where the library reads another cell; and a loss over pairs of `indices_tuple` counts a single positive
and a single negative, for which the library gives 0.
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
"""(anchors, positives, negatives), or (anchors, positives, other anchors, negatives): positions, 1-D each."""


def __getattr__(name: str) -> Any:
    """What else `pytorch_metric_learning.losses` has, as it is."""
    if name.startswith("__"):
        raise AttributeError(name)
    from pytorch_metric_learning import losses

    return getattr(losses, name)


class _Loss(nn.Module):
    """The library's call over one of our losses."""

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
        """The loss, a scalar with a gradient.

        Parameters
        ----------
        embeddings
            (B, D) floating point.
        labels
            (B,) numbers, equal for positives. Not needed beside `indices_tuple`.
        indices_tuple
            Triplets or pairs by position, as the library's miners give them; None: all.
        ref_emb, ref_labels
            (R, D) references that positives and negatives are taken from, and their labels; None: the batch.

        Raises
        ------
        RequestError
            Where the arguments do not fit each other.
        """
        vectors = self._prepared(embeddings)
        refs = None if ref_emb is None else self._prepared(ref_emb)
        if indices_tuple is not None:
            return self._of_indices(vectors, refs, _checked(indices_tuple, embeddings.device))
        pairs = _of_labels(labels, ref_labels)
        found: Tensor = self.inner(vectors, pairs, refs)
        return found

    def _prepared(self, embeddings: Tensor) -> Tensor:
        """In float32 at least; of unit length, where the library's distance makes them so."""
        widened = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
        return normalize(widened) if self.normalizes else widened

    def _of_indices(self, vectors: Tensor, refs: Tensor | None, indices: Indices) -> Tensor:
        """The loss of listed pairs; how often one is listed does not count."""
        found: Tensor = self.inner(vectors, _cells(vectors, refs, indices), refs)
        return found

    def extra_repr(self) -> str:
        """What it is measured in."""
        return (
            f"distance={self.measured!r}, normalize_embeddings={self.normalizes or self.measured == 'cosine'}"
        )

    def _between(self, ones: Tensor, others: Tensor) -> Tensor:
        """(T,) distances of the items of two lists, (T, D) each, differentiable."""
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
                f"TripletMarginLoss: triplets_per_anchor draws triplets by chance. Given: "
                f"{triplets_per_anchor!r}. Leave it out, all triplets cost little here; or give the triplets "
                "of a miner as indices_tuple."
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
        """The loss of every triplet as often as it is listed; of listed pairs, of all that they make up."""
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
    """`pytorch_metric_learning.losses.ContrastiveLoss`; with `CosineSimilarity` margins are similarities."""

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
                    "ContrastiveLoss: with CosineSimilarity the margins are similarities: positives are "
                    "pulled up to pos_margin, at most 1, and negatives pushed down to neg_margin, less than "
                    f"1. Given: {pos_margin:g} and {neg_margin:g}. Usual are pos_margin=1, neg_margin=0."
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
        """The loss of every pair as often as it is listed."""
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
        """The loss of every positive against the negatives of its anchor, each as often as it is listed."""
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


# What the library's call means.


def _of_labels(labels: Tensor | None, ref_labels: Tensor | None) -> Pairs:
    if labels is None:
        raise RequestError("Labels are needed where no indices_tuple is given. Give one of the two.")
    others = labels if ref_labels is None else ref_labels
    same = labels[:, None] == others.to(labels.device)[None, :]
    negative = ~same
    if others is labels:  # as the library has it: items of one tensor of labels are the same items
        same.fill_diagonal_(False)
    return Pairs(same, negative)


def _checked(indices: Indices, device: torch.device) -> Indices:
    if len(indices) not in (3, 4):
        raise RequestError(
            "indices_tuple: 3 tensors (anchors, positives, negatives) or 4 (anchors, positives, anchors, "
            f"negatives) are wanted. Given: {len(indices)}."
        )
    return tuple(index.to(device) for index in indices)


def _pairs(indices: Indices) -> Indices:
    """Four lists; a triplet is a pair of either sort."""
    return indices if len(indices) == 4 else (*indices[:2], indices[0], indices[2])


def _cells(vectors: Tensor, refs: Tensor | None, indices: Indices) -> Pairs:
    """The listed pairs as masks."""
    anchors, positives, others, negatives = _pairs(indices)
    shape = (2, len(vectors), len(vectors if refs is None else refs))
    positive, negative = torch.zeros(shape, dtype=torch.bool, device=vectors.device)
    positive[anchors, positives] = True
    negative[others, negatives] = True
    if bool((positive & negative).any()):
        raise RequestError("indices_tuple: a pair is listed both as positive and as negative. Take one out.")
    return Pairs(positive, negative)


def _repeats(vectors: Tensor, refs: Tensor | None, indices: Indices) -> bool:
    """Whether a pair is listed twice."""
    pairs, lists = _cells(vectors, refs, indices), _pairs(indices)
    return int(pairs.positive.sum()) < len(lists[0]) or int(pairs.negative.sum()) < len(lists[2])


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the counted values; 0, with a gradient of zeros, where there are none."""
    return values.where(counted, 0).sum() / counted.sum().clamp_min(1)


# What of the library's arguments has a counterpart.


def _refuse(name: str, further: dict[str, Any]) -> str:
    """`name`, where nothing is given that has no counterpart."""
    advice = {
        "embedding_regularizer": "Add its value to the loss in your loop",
        "embedding_reg_weight": "Add the regularizer's value to the loss in your loop",
        "collect_stats": "The metrics are those of inner.forward_with_metrics(vectors, pairs)",
    }
    for key, value in further.items():
        if key not in advice:
            raise TypeError(f"{name}() got an unexpected keyword argument {key!r}")
        if value is not None and value is not False and not (key == "embedding_reg_weight" and value == 1):
            raise RequestError(
                f"{name}: {key} has no counterpart here. {advice[key]}, or take the loss from "
                "pytorch_metric_learning.losses."
            )
    return name


def _measured(name: str, distance: Any, usual: Distance) -> tuple[Distance, bool]:
    """Our distance, and whether vectors are first brought to unit length; of None, the library's default."""
    if distance is None:
        return usual, usual != "cosine"
    kind, power = type(distance).__name__, getattr(distance, "power", None)
    is_normalizing = getattr(distance, "normalize_embeddings", False)
    if kind in ("CosineSimilarity", "DotProductSimilarity") and is_normalizing and power == 1:
        return "cosine", False
    if kind == "LpDistance" and distance.p == 2 and power in (1, 2):
        return ("euclidean" if power == 1 else "squared_euclidean"), is_normalizing
    raise RequestError(
        f"{name}: the distance {_words(distance)} has no counterpart here. Take LpDistance with p=2 and "
        "power 1 or 2, or CosineSimilarity; or the loss from pytorch_metric_learning.losses."
    )


def _words(distance: Any) -> str:
    """A distance of the library with its settings, which its own repr leaves out."""
    settings = (f"{name}={getattr(distance, name, None)}" for name in ("p", "power", "normalize_embeddings"))
    return f"{type(distance).__name__}({', '.join(settings)})"


def _only_cosines(name: str, distance: Any) -> None:
    if _measured(name, distance, "cosine")[0] != "cosine":
        raise RequestError(
            f"{name}: it is computed of cosines here. Given: {_words(distance)}. Take CosineSimilarity, or "
            "the loss from pytorch_metric_learning.losses."
        )


def _reducer(name: str, reducer: Any, *allowed: str) -> str:
    """The class name of a reducer; of None, the first allowed."""
    kind = allowed[0] if reducer is None else type(reducer).__name__
    if kind not in allowed:
        raise RequestError(
            f"{name}: the reducer {kind} has no counterpart here. Take {' or '.join(allowed)}, or the loss "
            "from pytorch_metric_learning.losses."
        )
    return kind
