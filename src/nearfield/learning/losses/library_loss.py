"""A loss of pytorch-metric-learning fed from `Pairs`: what each reads, and the module that hands it over."""

import warnings
from typing import Any, Literal

import numpy.typing as npt
import torch
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Pairs
from nearfield.learning.distances import Points
from nearfield.learning.losses.base import OWN_KINDS, PairLoss, Parts, fit
from nearfield.learning.losses.gaps import settle, triplets
from nearfield.learning.losses.rows import Company, Tally

Reads = Literal["pairs", "triplets", "views", "labels", "labels only"]
"""What a loss of the library is given: pairs, listed triplets, alike pairs alone; labels and, where a miner
has narrowed them, pairs; labels alone. Losses of the last two kinds need one label an item."""

READS: dict[str, Reads] = {
    "AngularLoss": "labels",
    "ArcFaceLoss": "labels",
    "CircleLoss": "pairs",
    "ContrastiveLoss": "pairs",
    "CosFaceLoss": "labels",
    "DynamicSoftMarginLoss": "triplets",
    "FastAPLoss": "labels",
    "GeneralizedLiftedStructureLoss": "pairs",
    "HistogramLoss": "triplets",
    "InstanceLoss": "labels only",
    "IntraPairVarianceLoss": "pairs",
    "LargeMarginSoftmaxLoss": "labels",
    "LiftedStructureLoss": "pairs",
    "MarginLoss": "triplets",
    "MultiSimilarityLoss": "pairs",
    "NCALoss": "labels",
    "NPairsLoss": "labels",
    "NTXentLoss": "pairs",
    "NormalizedSoftmaxLoss": "labels",
    "P2SGradLoss": "labels only",
    "PNPLoss": "labels only",
    "ProxyAnchorLoss": "labels",
    "ProxyNCALoss": "labels",
    "RankedListLoss": "labels only",
    "SignalToNoiseRatioContrastiveLoss": "pairs",
    "SoftTripleLoss": "labels",
    "SphereFaceLoss": "labels",
    "SubCenterArcFaceLoss": "labels",
    "SupConLoss": "pairs",
    "ThresholdConsistentMarginLoss": "pairs",
    "TripletMarginLoss": "triplets",
    "TupletMarginLoss": "pairs",
    "VICRegLoss": "views",
}

LEFT_OUT = {
    "CrossBatchMemory": "it wraps another loss and keeps vectors of earlier batches",
    "ManifoldLoss": "it reads neither pairs nor labels: it draws classes of its own at random",
    "MultipleLosses": "it wraps other losses",
    "SmoothAPLoss": "it mixes up classes, unless a batch has as many classes as items of each",
    "SelfSupervisedLoss": "it wraps another loss; the relation `views` does what it is for",
}

NEEDS_LABELS = frozenset(name for name, reads in READS.items() if reads in ("labels", "labels only"))
PAIRS_ALONE = tuple(name for name in READS if name not in NEEDS_LABELS)


class LibraryLoss(PairLoss):
    """Gives a loss of the library what it reads of `Pairs`. Its weights, where it has any, are parameters.

    A gap becomes cells for losses over pairs and is exact for losses over triplets. The part
    `active_fraction` is the share of single losses above zero, where the loss has any to tell.
    """

    def __init__(self, kind: str, inner: nn.Module, classes: int | None = None) -> None:
        """`inner` is the library's loss, `kind` its class name, `classes` how many it keeps weights for."""
        super().__init__()
        self.kind = kind
        self.classes = classes
        self.inner = inner
        self.watched = _Watched(inner.reducer)  # type: ignore[arg-type]
        inner.reducer = self.watched
        if hasattr(inner, "hist_"):  # DynamicSoftMarginLoss: its running histogram belongs to the weights
            histogram = inner.hist_
            del inner.hist_
            inner.register_buffer("hist_", histogram)  # type: ignore[arg-type]

    def with_parts(self, vectors: Tensor, pairs: Pairs | Tensor | npt.ArrayLike) -> tuple[Tensor, Parts]:
        """The loss, in float32 at least. Raises RequestError without labels it needs, or for odd pairs."""
        fitting = fit(vectors, pairs)
        self._check(fitting)
        with torch.autocast(vectors.device.type, enabled=False), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using a non-tuple sequence")  # HistogramLoss
            whole = vectors if vectors.dtype == torch.float64 else vectors.float()
            try:
                value: Tensor = self.inner(**self._arguments(whole, fitting))
            except (ValueError, AssertionError) as error:
                raise RequestError(f"loss: {self.kind} refuses this batch: {error}") from error
        if hasattr(self.inner, "hist_"):
            self.inner.hist_ = self.inner.hist_.detach()  # type: ignore[operator]
        parts = _distances(whole, fitting)
        return value, parts if self.watched.active is None else {
            "active_fraction": self.watched.active,
            **parts,
        }

    def measure(self, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor | None, Parts]:
        """Not used: the library's gradient is autograd's."""
        raise NotImplementedError

    def _check(self, pairs: Pairs) -> None:
        kind = self.kind
        if kind in NEEDS_LABELS and pairs.labels is None:
            raise RequestError(
                f"loss: {kind} needs one label for each item, and not every item of this batch has one. "
                f"Take a loss that works from pairs alone: {', '.join((*OWN_KINDS, *PAIRS_ALONE))}."
            )
        if (
            self.classes is not None
            and pairs.labels is not None
            and bool((pairs.labels >= self.classes).any())
        ):
            raise RequestError(
                f"loss: {kind} was built for {self.classes} classes, whose numbers go up to "
                f"{self.classes - 1}. Given: a label of {int(pairs.labels.max())}. Build it with as many "
                "classes as the data set has."
            )
        if pairs.strength is not None and bool((pairs.strength[pairs.alike] != 1).any()):
            raise RequestError(
                f"loss: {kind} treats all alike pairs the same, and these have a strength. Set the "
                f"relation's strength to one, or take a loss that weighs pairs: {', '.join(OWN_KINDS)}."
            )

    def _arguments(self, vectors: Tensor, pairs: Pairs) -> dict[str, Any]:
        reads = READS[self.kind]
        if reads == "triplets":
            labels = (
                torch.zeros(len(vectors), device=vectors.device) if pairs.labels is None else pairs.labels
            )
            return {"embeddings": vectors, "labels": labels, "indices_tuple": triplets(vectors, pairs)}
        settled = settle(vectors, pairs)
        if reads == "pairs":
            return {"embeddings": vectors, "indices_tuple": _cells(settled)}
        if reads == "views":
            one, other = settled.alike.triu().nonzero(as_tuple=True)
            return {"embeddings": vectors[one], "ref_emb": vectors[other]}
        return self._with_labels(vectors, settled)

    def _with_labels(self, vectors: Tensor, pairs: Pairs) -> dict[str, Any]:
        assert pairs.labels is not None
        full = Pairs.from_labels(pairs.labels)
        if torch.equal(full.alike, pairs.alike) and torch.equal(full.unlike, pairs.unlike):
            return {"embeddings": vectors, "labels": pairs.labels}
        if READS[self.kind] == "labels only":
            raise RequestError(
                f"loss: {self.kind} reads labels alone and cannot leave out pairs. "
                "Set miner.kind to all, or take another loss."
            )
        return {"embeddings": vectors, "labels": pairs.labels, "indices_tuple": _cells(pairs)}


class _Watched(nn.Module):
    """A reducer of the library that also notes the share of single losses above zero."""

    def __init__(self, reducer: nn.Module) -> None:
        super().__init__()
        self.reducer = reducer
        self.active: Tensor | None = None

    def forward(self, losses: dict[str, dict[str, Any]], vectors: Tensor, labels: Tensor | None) -> Tensor:
        single = [found["losses"].detach() for found in losses.values() if _is_many(found["losses"])]
        above = [(values > 0).float().flatten() for values in single]
        self.active = torch.cat(above).mean() if above else None
        reduced: Tensor = self.reducer(losses, vectors, labels)
        return reduced


def _cells(pairs: Pairs) -> tuple[Tensor, ...]:
    return (*pairs.alike.nonzero(as_tuple=True), *pairs.unlike.nonzero(as_tuple=True))


def _is_many(values: Any) -> bool:
    return isinstance(values, Tensor) and values.numel() > 1


def _distances(vectors: Tensor, pairs: Pairs) -> Parts:
    points = Points(vectors.detach(), "euclidean")
    tally = Tally(points.places)
    for part in points.parts():
        distances = points.distances(part)
        tally.see(Company.of(pairs, part, distances), distances)
    return tally.parts()
