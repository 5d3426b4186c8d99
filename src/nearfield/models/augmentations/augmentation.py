"""What every augmentation promises: chance is drawn first, then the sound bent; same draw, same sound."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from nearfield.core.settings import Family, Settings

Domain = Literal["wave", "spectrogram"]
"""`wave`: changes (B, C, T) before the feature. `spectrogram`: changes (B, C, bands, frames) after it, before
it is normalized; cached features can then be used."""


class Augmentation(ABC):
    """Bends some items of a batch, each by a draw of its own; `probability` is each item's chance of it."""

    domain: Domain

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __repr__(self) -> str:
        """The class and what it was made with."""
        shown = (f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"

    def draw(
        self, shape: torch.Size, generator: torch.Generator, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """All that chance decides for signals of `shape`, as CPU tensors, to keep or to apply.

        `labels`: (B,) class numbers of the items, -1 not known, for the few that bend by them."""
        applied = torch.rand(shape[0], generator=generator) < self.probability
        known = {} if labels is None else {"labels": labels}
        return {"bent": applied} | self._draw(shape, generator) | known

    def apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """The signal bent as `drawn` says, in the same shape; items not bent keep their bits."""
        if not bool(drawn["bent"].any()):
            return signal
        result = self._apply(signal, {name: value.to(signal.device) for name, value in drawn.items()})
        if bool(drawn["bent"].all()):
            return result
        return torch.where(each(drawn["bent"].to(signal.device), signal), result, signal)

    @abstractmethod
    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        """What is drawn beside `applied`; as many draws whatever comes out."""

    @abstractmethod
    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """The signal with every item bent; `drawn` is on its device."""


Unit = Literal["ln_magnitude", "ln_power", "db"]
"""What the numbers of a log-mel spectrogram are."""


class BaseAugmentationSettings(Settings):
    """What the settings of every augmentation extend: a frozen class with `kind`, its settings, and `build`.

    What an augmentation says of itself decides what it can be combined with; nothing else in the package has
    to know its kind. Everything but `build` has a default.
    """

    kind: str
    probability: float = Field(1.0, ge=0.0, le=1.0)
    """Each item's chance of being bent."""

    needs_labels: ClassVar[bool] = False
    """Whether it reads the class numbers of the batch, so that the relation must give labels."""
    reads_batch: ClassVar[bool] = False
    """Whether an item takes something of another one, so that no fixed copy of a clip can be made by it."""

    def reads_unit(self) -> Unit | None:
        """The unit that the feature must have for it to do what it says; None where any will do."""
        return None

    def heard(self) -> Self:
        """The same in the domain in which most of it can be heard, with a probability of 1."""
        return self.model_copy(update={"probability": 1.0})

    def build(self, sample_rate: int, hop: int) -> Augmentation:
        """For waves at `sample_rate` Hz, and spectrograms with a frame every `hop` samples of them."""
        raise NotImplementedError


AUGMENTATIONS = Family("augmentations", BaseAugmentationSettings)
"""All kinds of augmentations; the list is `AugmentationSettings`, in this package's `__init__`."""


def augment(signal: Tensor, augmentations: Iterable[Augmentation], generator: torch.Generator) -> Tensor:
    """The signal bent by one augmentation after the other, with chance out of `generator`."""
    for augmentation in augmentations:
        signal = augmentation.apply(signal, augmentation.draw(signal.shape, generator))
    return signal


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the smaller number comes first. Given: {list(limits)}.")
    return limits


Span = Annotated[tuple[float, float], AfterValidator(_rising)]
"""Smallest and largest value that may be drawn."""

Level = Annotated[float, Field(ge=-120.0, le=120.0)]
"""Decibels; 120 are a millionfold amplitude, beyond which float32 has nothing left of the quieter."""

Decibels = Annotated[tuple[Level, Level], AfterValidator(_rising)]
"""Least and most."""


def uniform(count: int, limits: tuple[float, float], generator: torch.Generator) -> Tensor:
    """(count,) float32, evenly between the limits."""
    return limits[0] + (limits[1] - limits[0]) * torch.rand(count, generator=generator)


def one_of(count: int, values: Sequence[float], generator: torch.Generator) -> Tensor:
    """(count,) float32, each of the values as often as any other."""
    return torch.tensor(values)[torch.randint(len(values), (count,), generator=generator)]


def integers(count: int, largest: int, generator: torch.Generator) -> Tensor:
    """(count,) int64, evenly from -largest to largest."""
    return torch.randint(-largest, largest + 1, (count,), generator=generator)


def each(values: Tensor, signal: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...), to meet a signal of any number of axes item by item."""
    return values.view(-1, *[1] * (signal.ndim - 1))


def power(signal: Tensor) -> Tensor:
    """The mean square of each item, (B, 1, ...)."""
    count = max(1, signal.shape[1:].numel())
    lengths: Tensor = torch.linalg.vector_norm(signal, dim=tuple(range(1, signal.ndim)), keepdim=True)
    return lengths.square() / count


class SpeedSettings(BaseAugmentationSettings):
    """What the settings of augmentations that change the speed share."""

    rate: Span = (0.8, 1.25)
    """Speed: least and most; 2 is twice as fast."""
    rates: tuple[float, ...] = ()
    """Only these speeds, each as often; none: any that `rate` allows."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, speeds in (("rate", self.rate), ("rates", self.rates)):
            if any(not 0.1 <= speed <= 10 for speed in speeds):
                raise ValueError(f"{name} must lie from 0.1 to 10. Given: {list(speeds)}.")
        return self
