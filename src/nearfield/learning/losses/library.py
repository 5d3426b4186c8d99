"""Losses of pytorch-metric-learning by class name: `{kind: NCALoss, softmax_scale: 2}`."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import numpy.typing as npt
import torch
from pydantic import ConfigDict, model_validator
from torch import Tensor, nn

from nearfield.core.errors import RequestError, choose
from nearfield.core.text import shortened
from nearfield.core.types import Distance, Pairs
from nearfield.learning.distances import PairwiseDistances
from nearfield.learning.losses.base import Given, LossMetrics, PairLoss, fit
from nearfield.learning.losses.rows import Accumulator, RowPairs, settle, triplets
from nearfield.learning.losses.settings import LOSSES, BaseLossSettings, Margin, Need, pair_kinds

# A loss of pytorch-metric-learning fed from `Pairs`: what each reads, and the module that hands it over.

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

MARGINS: dict[tuple[str, str], Literal["apart", "together", "circle"]] = {
    ("TripletMarginLoss", "margin"): "apart",
    ("ContrastiveLoss", "pos_margin"): "together",
    ("ContrastiveLoss", "neg_margin"): "apart",
    ("CircleLoss", "m"): "circle",
}
"""Settings of the library that are margins in a distance; others there are angles or cosines."""


def all_pair_kinds() -> tuple[str, ...]:
    """The kinds that work from pairs alone, the library's too, for sentences that name alternatives."""
    return (*pair_kinds(), *PAIRS_ALONE)


class LibraryLoss(PairLoss):
    """Gives a loss of the library what it reads of `Pairs`. Its weights, where it has any, are parameters.

    A gap becomes cells for losses over pairs and is exact for losses over triplets. The part
    `active_fraction` is the share of single losses above zero, where the loss has any to tell.
    """

    settings: "LibrarySettings"

    def __init__(self, settings: "LibrarySettings", inner: nn.Module, classes: int | None = None) -> None:
        """`inner` is the library's loss, `classes` how many it keeps weights for."""
        super().__init__()
        self.settings, self.kind = settings, settings.kind
        self.classes = classes
        self.inner = inner
        self.watched = _Watched(inner.reducer)  # type: ignore[arg-type]
        inner.reducer = self.watched
        if hasattr(inner, "hist_"):  # DynamicSoftMarginLoss: its running histogram belongs to the weights
            histogram = inner.hist_
            del inner.hist_
            inner.register_buffer("hist_", histogram)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Its class name and the settings that were given."""
        given = (f"{name}={value!r}" for name, value in self.settings.given.items())
        return ", ".join([repr(self.kind), *given])

    def forward_with_metrics(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> tuple[Tensor, LossMetrics]:
        """The loss, in float32 at least. Raises RequestError without labels it needs, or for odd pairs."""
        fitting = fit(vectors, pairs, ref_vectors, ref_labels)
        self._check(fitting, ref_vectors is not None)
        whole, refs = _widened(vectors), None if ref_vectors is None else _widened(ref_vectors)
        with torch.autocast(vectors.device.type, enabled=False), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using a non-tuple sequence")  # HistogramLoss
            try:
                value: Tensor = self.inner(**self._arguments(whole, fitting, refs))
            except (ValueError, AssertionError) as error:
                raise RequestError(f"loss: {self.kind} refuses this batch: {error}") from error
        if hasattr(self.inner, "hist_"):
            self.inner.hist_ = self.inner.hist_.detach()  # type: ignore[operator]
        parts = _distances(whole, fitting, refs)
        return value, parts if self.watched.active is None else {
            "active_fraction": self.watched.active,
            **parts,
        }

    def _check(self, pairs: Pairs, has_references: bool) -> None:
        kind = self.kind
        if has_references and READS[kind] not in ("pairs", "triplets"):
            raise RequestError(
                f"loss: {kind} compares a batch with itself and takes no references. Leave ref_vectors out, "
                f"or take another loss: {', '.join(pair_kinds())}."
            )
        if kind in NEEDS_LABELS and pairs.labels is None:
            raise RequestError(
                f"loss: {kind} needs one label for each item, and not every item of this batch has one. "
                f"Take a loss that works from pairs alone: {', '.join(all_pair_kinds())}."
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
        if pairs.weight is not None and bool((pairs.weight[pairs.positive] != 1).any()):
            raise RequestError(
                f"loss: {kind} treats all alike pairs the same, and these have a strength. Set the "
                f"relation's strength to one, or take a loss that weighs pairs: {', '.join(pair_kinds())}."
            )

    def _arguments(self, vectors: Tensor, pairs: Pairs, ref_vectors: Tensor | None) -> dict[str, Any]:
        reads = READS[self.kind]
        refs = {} if ref_vectors is None else {"ref_emb": ref_vectors}
        if reads == "triplets":
            labels = (
                torch.zeros(len(vectors), device=vectors.device) if pairs.labels is None else pairs.labels
            )
            found = triplets(vectors, pairs, ref_vectors)
            return {"embeddings": vectors, "labels": labels, "indices_tuple": found, **refs}
        settled = settle(vectors, pairs, ref_vectors)
        if reads == "pairs":
            return {"embeddings": vectors, "indices_tuple": _cells(settled), **refs}
        if reads == "views":
            one, other = settled.positive.triu().nonzero(as_tuple=True)
            return {"embeddings": vectors[one], "ref_emb": vectors[other]}
        return self._with_labels(vectors, settled)

    def _with_labels(self, vectors: Tensor, pairs: Pairs) -> dict[str, Any]:
        assert pairs.labels is not None
        full = Pairs.from_labels(pairs.labels)
        if torch.equal(full.positive, pairs.positive) and torch.equal(full.negative, pairs.negative):
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
    return (*pairs.positive.nonzero(as_tuple=True), *pairs.negative.nonzero(as_tuple=True))


def _is_many(values: Any) -> bool:
    return isinstance(values, Tensor) and values.numel() > 1


def _widened(vectors: Tensor) -> Tensor:
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def _distances(vectors: Tensor, pairs: Pairs, ref_vectors: Tensor | None) -> LossMetrics:
    refs = None if ref_vectors is None else ref_vectors.detach()
    points = PairwiseDistances(vectors.detach(), "euclidean", refs)
    accumulator = Accumulator(points.places)
    for part in points.parts():
        distances = points.distances(part)
        accumulator.see(RowPairs.of(pairs, part, distances), distances)
    return accumulator.parts()


# Every other loss, by its class name in pytorch-metric-learning: `{kind: NCALoss, softmax_scale: 2}`.

_FILLED_IN = {
    "num_classes": "classes",
    "embedding_size": "size",
    "descriptors_dim": "size",
}
_NOT_SETTINGS = ("self", "args", "kwargs", "triplets_per_anchor")


class LibrarySettings(BaseLossSettings):
    """A loss of pytorch-metric-learning; its further settings are its constructor's."""

    model_config = ConfigDict(extra="allow")

    kind: str
    """Class name in `pytorch_metric_learning.losses`."""

    @model_validator(mode="after")
    def _fits_constructor(self) -> Self:
        _check_settings(self.kind, self.given)
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The constructor's settings that were given."""
        return dict(self.model_extra or {})

    @property
    def needs(self) -> frozenset[Need]:  # type: ignore[override]  # of many kinds, so of each by itself
        """`labels` where one label an item is needed, `classes` where there are weights for each class."""
        if self.kind not in NEEDS_LABELS:
            return frozenset()
        return frozenset({"labels", "classes"} if needs_classes(self.kind) else {"labels"})

    @property
    def needs_positives(self) -> bool:
        """Whether it pulls positives together; InstanceLoss tells each item from all others."""
        return super().needs_positives and self.kind != "InstanceLoss"

    @property
    def takes_mined(self) -> bool:
        """Whether it can read pairs that a miner has narrowed."""
        return READS[self.kind] != "labels only"

    @property
    def distance(self) -> Distance | None:
        """What it measures in, where that is one of ours. The library measures unit vectors, always."""
        with torch.random.fork_rng(devices=[]):
            measure = _construct(self.kind, self.given, 2, 2).distance
        if type(measure).__name__ == "CosineSimilarity":
            return "cosine"
        if type(measure).__name__ != "LpDistance" or measure.p != 2:
            return None
        return {1: "euclidean", 2: "squared_euclidean"}.get(measure.power)  # type: ignore[return-value]

    @property
    def triplet_margin(self) -> float | None:
        """That of TripletMarginLoss; other margins there are angles, cosines or of single pairs."""
        return float(default_of(self, "margin")) if self.kind == "TripletMarginLoss" else None

    def margins(self) -> tuple[Margin, ...]:
        """Its settings that are margins in a distance; the library brings vectors to unit length."""
        return tuple(
            Margin(key, float(default_of(self, key)), sort, self.distance or "euclidean", unit_length=True)
            for (kind, key), sort in MARGINS.items()
            if kind == self.kind
        )

    def build(self, size: int = 0, classes: int = 0) -> "LibraryLoss":
        """The loss for vectors of `size` numbers and, where it keeps weights for each, so many `classes`.

        Raises RequestError where one of them is needed and is 0.
        """
        wanted = {_FILLED_IN[name] for name in _constructor(self.kind)[1] if name in _FILLED_IN}
        for name, number, what in (("size", size, "numbers a vector"), ("classes", classes, "classes")):
            if name in wanted and number < 1:
                raise RequestError(f"loss: {self.kind} needs to know how many {what} there are. Give {name}.")
        inner = _construct(self.kind, self.given, size, classes)
        return LibraryLoss(self, inner, classes if "classes" in wanted else None)


def needs_classes(kind: str) -> bool:
    """Whether a loss of the library keeps weights for each class."""
    return any(_FILLED_IN.get(name) == "classes" for name in _constructor(kind)[1])


def default_of(settings: LibrarySettings, name: str) -> Any:
    """A constructor's setting as given, or its default."""
    return settings.given.get(name, _constructor(settings.kind)[0][name].default)


def _constructor(kind: str) -> tuple[dict[str, inspect.Parameter], list[str]]:
    """A constructor's settings by name (its class's own and its ancestors'), and those without a default."""
    from pytorch_metric_learning import losses

    found: dict[str, inspect.Parameter] = {}
    for ancestor in getattr(losses, kind).__mro__:
        if ancestor.__name__ in READS:
            for name, parameter in inspect.signature(ancestor.__init__).parameters.items():
                if name not in _NOT_SETTINGS:
                    found.setdefault(name, parameter)
    required = [name for name, parameter in found.items() if parameter.default is inspect.Parameter.empty]
    return found, required


def _check_settings(kind: str, given: Mapping[str, Any]) -> None:
    """Raises ValueError, in words for the user, where a loss or a setting is not known or not right."""
    if kind in LEFT_OUT:
        raise ValueError(f"{kind} cannot be used by its name: {LEFT_OUT[kind]}. {choose(kind, READS)}")
    if kind not in READS:
        said = f"unknown kind {shortened(kind)!r}. {choose(kind[:120], (*LOSSES.kinds(), *READS))}"
        raise ValueError(f"{said} {LOSSES.faults.get(kind, '')}".rstrip())
    known, required = _constructor(kind)
    filled = [name for name in required if name in _FILLED_IN]
    own = [name for name in known if name not in _FILLED_IN]
    for name, value in given.items():
        if name in filled:
            raise ValueError(f"{name} is filled in from the data; leave it out.")
        if name not in own:
            raise ValueError(f"unknown key {name!r} of {kind}. {choose(name, own)}")
        _check_value(kind, name, value, known[name])
    missing = [name for name in required if name not in filled and name not in given]
    if missing:
        raise ValueError(f"{kind} has no default for {', '.join(missing)}. Give a value.")
    try:
        with torch.random.fork_rng(
            devices=[]
        ):  # some draw their first weights: the run's chance stays untouched
            _construct(kind, given, 2, 2)
    except (ValueError, AssertionError, TypeError) as error:
        raise ValueError(f"{kind} refuses these settings: {error} Given: {dict(given)}.") from error


def _check_value(kind: str, name: str, value: Any, parameter: inspect.Parameter) -> None:
    default_of = parameter.default
    accepts: Callable[[Any], bool] = _is_number
    wanted = "a number"
    if isinstance(default_of, bool):
        accepts, wanted = lambda it: isinstance(it, bool), "true or false"
    elif isinstance(default_of, str):
        accepts, wanted = lambda it: isinstance(it, str), "a word"
    if not (accepts(value) or (default_of is None and value is None)):
        raise ValueError(f"{name} of {kind} must be {wanted}. Given: {value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _construct(kind: str, given: Mapping[str, Any], size: int, classes: int) -> Any:
    from pytorch_metric_learning import losses

    metadata = {"size": size, "classes": classes}
    filled = {name: metadata[_FILLED_IN[name]] for name in _constructor(kind)[1] if name in _FILLED_IN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, about NumPy
        return getattr(losses, kind)(**filled, **given)
