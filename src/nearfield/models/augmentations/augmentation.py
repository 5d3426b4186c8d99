"""The base of augmentations: random values are drawn first and then applied, so a draw can be repeated."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from nearfield.core.settings import Family, Settings

Domain = Literal["wave", "spectrogram"]
"""`wave`: applied to (B, C, T) before the feature. `spectrogram`: applied to (B, C, bands, frames) after it
and before
normalization, so that cached features can be used."""


class Augmentation(ABC):
    """Base of augmentations, applied to each item of a batch with `probability` and its own random values."""

    domain: Domain

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __repr__(self) -> str:
        """Returns the class and its arguments."""
        shown = (f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"

    def draw(
        self, shape: torch.Size, generator: torch.Generator, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Draws the random values of a batch.

        Parameters
        ----------
        shape
            Shape of the signal, (B, C, T) or (B, C, bands, frames).
        generator
            Generator on the CPU.
        labels
            (B,) class numbers of the items, -1 if unknown, for augmentations that need labels.

        Returns
        -------
        dict
            CPU tensors by name, to be stored or passed to `apply`; `applied` (B,) is True for changed items.
        """
        applied = torch.rand(shape[0], generator=generator) < self.probability
        known = {} if labels is None else {"labels": labels}
        return {"applied": applied} | self._draw(shape, generator) | known

    def apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """Applies drawn values to a signal; the shape does not change, and other items are bitwise
        unchanged."""
        if not bool(drawn["applied"].any()):
            return signal
        result = self._apply(signal, {name: value.to(signal.device) for name, value in drawn.items()})
        if bool(drawn["applied"].all()):
            return result
        return torch.where(each(drawn["applied"].to(signal.device), signal), result, signal)

    @abstractmethod
    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        """Draws the values besides `applied`; the number of draws depends on `shape` only."""

    @abstractmethod
    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """Applies drawn values to all items; `drawn` is on the device of the signal."""


Unit = Literal["ln_magnitude", "ln_power", "db"]
"""Unit of a log-mel spectrogram: natural logarithm of magnitude or power, or decibels."""


class BaseAugmentationSettings(Settings):
    """Base of the settings of an augmentation: a frozen class with `kind`, its settings, and `build`.

    The class variables decide what an augmentation can be combined with; no other module refers to its kind.
    All
    but `build` have defaults.
    """

    kind: str
    probability: float = Field(1.0, ge=0.0, le=1.0)
    """Probability that the augmentation is applied to an item, 0 to 1."""

    needs_labels: ClassVar[bool] = False
    """Whether it uses the class numbers of the batch, so that the relation must give labels."""
    reads_batch: ClassVar[bool] = False
    """Whether an item depends on other items of the batch, so that it cannot create fixed copies of clips."""

    def reads_unit(self) -> Unit | None:
        """Returns the unit that the feature must have; None if any unit is possible."""
        return None

    def audible(self) -> Self:
        """Returns the settings for listening: probability 1, in the domain of waves if possible."""
        return self.model_copy(update={"probability": 1.0})

    def build(self, sample_rate: int, hop: int) -> Augmentation:
        """Creates the augmentation for a sample rate in Hz and a hop of spectrograms in samples."""
        raise NotImplementedError


AUGMENTATIONS = Family("augmentations", BaseAugmentationSettings)
"""All kinds of augmentations; their union is `AugmentationSettings` in this package's `__init__`."""


def augment(signal: Tensor, augmentations: Iterable[Augmentation], generator: torch.Generator) -> Tensor:
    """Applies augmentations to a signal one after another, with random values from `generator`."""
    for augmentation in augmentations:
        signal = augmentation.apply(signal, augmentation.draw(signal.shape, generator))
    return signal


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the smaller number must come first. Given: {list(limits)}.")
    return limits


Span = Annotated[tuple[float, float], AfterValidator(_rising)]
"""Smallest and largest value of a uniform distribution."""

Level = Annotated[float, Field(ge=-120.0, le=120.0)]
"""Decibels; beyond 120, a factor of a million in amplitude, the quieter signal is lost in float32."""

Decibels = Annotated[tuple[Level, Level], AfterValidator(_rising)]
"""Smallest and largest level in decibels."""


def uniform(count: int, limits: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Draws (count,) float32 uniformly between the limits."""
    return limits[0] + (limits[1] - limits[0]) * torch.rand(count, generator=generator)


def one_of(count: int, values: Sequence[float], generator: torch.Generator) -> Tensor:
    """Draws (count,) float32 from the values, each with the same probability."""
    return torch.tensor(values)[torch.randint(len(values), (count,), generator=generator)]


def integers(count: int, largest: int, generator: torch.Generator) -> Tensor:
    """Draws (count,) int64 uniformly from -largest to largest."""
    return torch.randint(-largest, largest + 1, (count,), generator=generator)


def each(values: Tensor, signal: Tensor) -> Tensor:
    """Reshapes (B,) to (B, 1, ...), to be broadcast with a signal."""
    return values.view(-1, *[1] * (signal.ndim - 1))


def power(signal: Tensor) -> Tensor:
    """Computes the mean square of each item, (B, 1, ...)."""
    count = max(1, signal.shape[1:].numel())
    lengths: Tensor = torch.linalg.vector_norm(signal, dim=tuple(range(1, signal.ndim)), keepdim=True)
    return lengths.square() / count


class SpeedSettings(BaseAugmentationSettings):
    """Base of the settings of augmentations that change the speed."""

    rate: Span = (0.8, 1.25)
    """Range of the speed, smaller first, 0.1 to 10; 2 is twice as fast."""
    rates: tuple[float, ...] = ()
    """List of speeds to choose from with equal probability, 0.1 to 10; []: any speed in the range `rate`."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, speeds in (("rate", self.rate), ("rates", self.rates)):
            if any(not 0.1 <= speed <= 10 for speed in speeds):
                raise ValueError(f"{name} must be from 0.1 to 10. Given: {list(speeds)}.")
        return self
