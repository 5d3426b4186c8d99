"""Every other loss, by its class name in pytorch-metric-learning: `{kind: NCALoss, softmax_scale: 2}`."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from pydantic import ConfigDict, model_validator

from nearfield.core.errors import RequestError, choose
from nearfield.core.nouns import Distance
from nearfield.core.settings import Settings
from nearfield.core.words import shortened
from nearfield.learning.losses.base import OWN_KINDS, TAGGING_KINDS
from nearfield.learning.losses.library_loss import LEFT_OUT, NEEDS_LABELS, READS, LibraryLoss

_FILLED_IN = {
    "num_classes": "classes",
    "embedding_size": "size",
    "descriptors_dim": "size",
}
_NOT_SETTINGS = ("self", "args", "kwargs", "triplets_per_anchor")


class Library(Settings):
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
    def needs(self) -> frozenset[str]:
        """`labels` where one label an item is needed, `classes` where there are weights for each class."""
        classes = {"classes"} if needs_classes(self.kind) else set[str]()
        return frozenset({"labels"} | classes) if self.kind in NEEDS_LABELS else frozenset()

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

    def build(self, size: int = 0, classes: int = 0) -> "LibraryLoss":
        """The loss for vectors of `size` numbers and, where it keeps weights for each, so many `classes`.

        Raises RequestError where one of them is needed and is 0.
        """
        wanted = {_FILLED_IN[name] for name in _constructor(self.kind)[1] if name in _FILLED_IN}
        for name, number, what in (("size", size, "numbers a vector"), ("classes", classes, "classes")):
            if name in wanted and number < 1:
                raise RequestError(f"loss: {self.kind} needs to know how many {what} there are. Give {name}.")
        inner = _construct(self.kind, self.given, size, classes)
        return LibraryLoss(self.kind, inner, classes if "classes" in wanted else None)


def needs_classes(kind: str) -> bool:
    """Whether a loss of the library keeps weights for each class."""
    return any(_FILLED_IN.get(name) == "classes" for name in _constructor(kind)[1])


def usual(settings: Library, name: str) -> Any:
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
        known_kinds = (*OWN_KINDS, *TAGGING_KINDS, *READS)
        raise ValueError(f"unknown kind {shortened(kind)!r}. {choose(kind[:120], known_kinds)}")
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
    usual = parameter.default
    accepts: Callable[[Any], bool] = _is_number
    wanted = "a number"
    if isinstance(usual, bool):
        accepts, wanted = lambda it: isinstance(it, bool), "true or false"
    elif isinstance(usual, str):
        accepts, wanted = lambda it: isinstance(it, str), "a word"
    if not (accepts(value) or (usual is None and value is None)):
        raise ValueError(f"{name} of {kind} must be {wanted}. Given: {value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _construct(kind: str, given: Mapping[str, Any], size: int, classes: int) -> Any:
    from pytorch_metric_learning import losses

    facts = {"size": size, "classes": classes}
    filled = {name: facts[_FILLED_IN[name]] for name in _constructor(kind)[1] if name in _FILLED_IN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, about NumPy
        return getattr(losses, kind)(**filled, **given)
