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

# Losses of pytorch-metric-learning computed from `Pairs`: what each needs, and the module that passes it.

Reads = Literal["pairs", "triplets", "views", "labels", "labels only"]
"""What a loss of the library gets: pairs; triplets; positive pairs only (views); labels, and pairs if a miner
selected some; labels only. Losses of the last two kinds need one label per item."""

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
    "CrossBatchMemory": "it wraps another loss and stores vectors of earlier batches",
    "ManifoldLoss": "it uses neither pairs nor labels: it draws classes at random",
    "MultipleLosses": "it wraps other losses",
    "SmoothAPLoss": "it is wrong unless a batch has as many classes as items per class",
    "SelfSupervisedLoss": "it wraps another loss; use the relation `views` instead",
}

NEEDS_LABELS = frozenset(name for name, reads in READS.items() if reads in ("labels", "labels only"))
PAIRS_ALONE = tuple(name for name in READS if name not in NEEDS_LABELS)

MARGINS: dict[tuple[str, str], Literal["apart", "together", "circle"]] = {
    ("TripletMarginLoss", "margin"): "apart",
    ("ContrastiveLoss", "pos_margin"): "together",
    ("ContrastiveLoss", "neg_margin"): "apart",
    ("CircleLoss", "m"): "circle",
}
"""Settings of the library that are margins in a distance; its other margins are angles or cosines."""


def all_pair_kinds() -> tuple[str, ...]:
    """Returns the kinds that need only pairs, with those of the library, for messages."""
    return (*pair_kinds(), *PAIRS_ALONE)


class LibraryLoss(PairLoss):
    """Computes a loss of the library from `Pairs`. Its weights, if it has any, are parameters.

    A triplet range is exact for losses over triplets; for losses over pairs it becomes masks. The metric
    `active_fraction` is the fraction of the terms of the loss above zero, if it has several.
    """

    settings: "LibrarySettings"

    def __init__(self, settings: "LibrarySettings", inner: nn.Module, classes: int | None = None) -> None:
        """`inner` is the loss of the library; `classes` the number of classes that it has weights for."""
        super().__init__()
        self.settings, self.kind = settings, settings.kind
        self.classes = classes
        self.inner = inner
        self.counting = _CountingReducer(inner.reducer)  # type: ignore[arg-type]
        inner.reducer = self.counting
        if hasattr(inner, "hist_"):  # the running histogram of DynamicSoftMarginLoss belongs to its state
            histogram = inner.hist_
            del inner.hist_
            inner.register_buffer("hist_", histogram)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Returns its class name and the given settings."""
        given = (f"{name}={value!r}" for name, value in self.settings.given.items())
        return ", ".join([repr(self.kind), *given])

    def forward_with_metrics(
        self,
        vectors: Tensor,
        pairs: Given,
        ref_vectors: Tensor | None = None,
        ref_labels: Tensor | npt.ArrayLike | None = None,
    ) -> tuple[Tensor, LossMetrics]:
        """Returns the loss, at least in float32. Raises RequestError if the pairs do not fit the loss."""
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
        return value, parts if self.counting.active is None else {
            "active_fraction": self.counting.active,
            **parts,
        }

    def _check(self, pairs: Pairs, has_references: bool) -> None:
        kind = self.kind
        if has_references and READS[kind] not in ("pairs", "triplets"):
            raise RequestError(
                f"loss: {kind} compares a batch with itself and has no references. Leave out ref_vectors, "
                f"or use another loss: {', '.join(pair_kinds())}."
            )
        if kind in NEEDS_LABELS and pairs.labels is None:
            raise RequestError(
                f"loss: {kind} needs one label for each item, and not every item of this batch has one. "
                f"Use a loss that needs only pairs: {', '.join(all_pair_kinds())}."
            )
        if (
            self.classes is not None
            and pairs.labels is not None
            and bool((pairs.labels >= self.classes).any())
        ):
            raise RequestError(
                f"loss: {kind} was built for {self.classes} classes with numbers up to {self.classes - 1}. "
                f"Given: a label of {int(pairs.labels.max())}. Build it with the number of classes of the "
                "data set."
            )
        if pairs.weight is not None and bool((pairs.weight[pairs.positive] != 1).any()):
            raise RequestError(
                f"loss: {kind} does not support weights of positive pairs, and these pairs have weights. Set "
                f"relation.pair_weight to one, or use a loss that does: {', '.join(pair_kinds())}."
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
                f"loss: {self.kind} uses labels only and cannot leave out pairs. "
                "Set miner.kind to all, or use another loss."
            )
        return {"embeddings": vectors, "labels": pairs.labels, "indices_tuple": _cells(pairs)}


class _CountingReducer(nn.Module):
    """Wraps a reducer of the library and stores the fraction of its terms above zero."""

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


# Settings of the losses of pytorch-metric-learning, by class name: `{kind: NCALoss, softmax_scale: 2}`.

_FILLED_IN = {
    "num_classes": "classes",
    "embedding_size": "size",
    "descriptors_dim": "size",
}
_NOT_SETTINGS = ("self", "args", "kwargs", "triplets_per_anchor")


class LibrarySettings(BaseLossSettings):
    """A loss of pytorch-metric-learning by its class name; the other keys are arguments of its
    constructor."""

    model_config = ConfigDict(extra="allow")

    kind: str
    """Name of the class in `pytorch_metric_learning.losses`."""

    @model_validator(mode="after")
    def _fits_constructor(self) -> Self:
        _check_settings(self.kind, self.given)
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The given arguments of the constructor."""
        return dict(self.model_extra or {})

    @property
    def needs(self) -> frozenset[Need]:  # type: ignore[override]  # depends on the kind
        """`labels` if it needs one label per item, `classes` if it has weights for each class."""
        if self.kind not in NEEDS_LABELS:
            return frozenset()
        return frozenset({"labels", "classes"} if needs_classes(self.kind) else {"labels"})

    @property
    def needs_positives(self) -> bool:
        """Whether it needs batches with positives; InstanceLoss classifies each item against all others."""
        return super().needs_positives and self.kind != "InstanceLoss"

    @property
    def takes_mined(self) -> bool:
        """Whether it can use the pairs selected by a miner."""
        return READS[self.kind] != "labels only"

    @property
    def distance(self) -> Distance | None:
        """Its distance, if Nearfield has it, else None. The library normalizes vectors by default."""
        with torch.random.fork_rng(devices=[]):
            measure = _construct(self.kind, self.given, 2, 2).distance
        if type(measure).__name__ == "CosineSimilarity":
            return "cosine"
        if type(measure).__name__ != "LpDistance" or measure.p != 2:
            return None
        return {1: "euclidean", 2: "squared_euclidean"}.get(measure.power)  # type: ignore[return-value]

    @property
    def triplet_margin(self) -> float | None:
        """The margin of TripletMarginLoss; margins of other losses are angles, cosines or of single pairs."""
        return float(default_of(self, "margin")) if self.kind == "TripletMarginLoss" else None

    def margins(self) -> tuple[Margin, ...]:
        """Returns its settings that are margins in a distance; the library normalizes the vectors."""
        return tuple(
            Margin(key, float(default_of(self, key)), sort, self.distance or "euclidean", unit_length=True)
            for (kind, key), sort in MARGINS.items()
            if kind == self.kind
        )

    def build(self, size: int = 0, classes: int = 0) -> "LibraryLoss":
        """Creates the loss for vectors of dimension `size` and, if it has weights for them, `classes`
        classes.

        Raises RequestError if one of them is needed and is 0.
        """
        wanted = {_FILLED_IN[name] for name in _constructor(self.kind)[1] if name in _FILLED_IN}
        for name, number, what in (
            ("size", size, "dimension of the vectors"),
            ("classes", classes, "number of classes"),
        ):
            if name in wanted and number < 1:
                raise RequestError(f"loss: {self.kind} needs the {what}. Pass {name}.")
        inner = _construct(self.kind, self.given, size, classes)
        return LibraryLoss(self, inner, classes if "classes" in wanted else None)


def needs_classes(kind: str) -> bool:
    """Returns whether a loss of the library has weights for each class."""
    return any(_FILLED_IN.get(name) == "classes" for name in _constructor(kind)[1])


def default_of(settings: LibrarySettings, name: str) -> Any:
    """Returns an argument of the constructor as given, or its default."""
    return settings.given.get(name, _constructor(settings.kind)[0][name].default)


def _constructor(kind: str) -> tuple[dict[str, inspect.Parameter], list[str]]:
    """Returns the parameters of a constructor and of its base classes by name, and those without a
    default."""
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
    """Raises ValueError, with a message for the user, if a loss or a setting is unknown or invalid."""
    if kind in LEFT_OUT:
        raise ValueError(f"{kind} cannot be used by its name: {LEFT_OUT[kind]}. {choose(kind, READS)}")
    if kind not in READS:
        message = f"unknown kind {shortened(kind)!r}. {choose(kind[:120], (*LOSSES.kinds(), *READS))}"
        raise ValueError(f"{message} {LOSSES.faults.get(kind, '')}".rstrip())
    known, required = _constructor(kind)
    filled = [name for name in required if name in _FILLED_IN]
    own = [name for name in known if name not in _FILLED_IN]
    for name, value in given.items():
        if name in filled:
            raise ValueError(f"{name} is set from the data; leave it out.")
        if name not in own:
            raise ValueError(f"unknown key {name!r} of {kind}. {choose(name, own)}")
        _check_value(kind, name, value, known[name])
    missing = [name for name in required if name not in filled and name not in given]
    if missing:
        raise ValueError(f"{kind} has no default for {', '.join(missing)}. Give a value.")
    try:
        # Some losses draw initial weights; fork_rng keeps the random state of the run.
        with torch.random.fork_rng(devices=[]):
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
