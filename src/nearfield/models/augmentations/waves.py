"""Augmentations of waves: gain, noise, mixing, time shift, pitch, stretch."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.extras import has
from nearfield.models.augmentations.augmentation import (
    Augmentation,
    BaseAugmentationSettings,
    Decibels,
    Domain,
    Span,
    SpeedSettings,
    each,
    integers,
    one_of,
    power,
    uniform,
)


class Gain(Augmentation):
    """Multiplies each wave by a random factor."""

    domain = "wave"

    def __init__(self, settings: "GainSettings") -> None:
        super().__init__(settings.probability)
        self.decibels = settings.decibels

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"decibels": uniform(shape[0], self.decibels, generator)}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return signal * 10 ** (each(drawn["decibels"], signal) / 20)


class GainSettings(BaseAugmentationSettings):
    """Changes the level; has no effect with a normalization that removes the level."""

    kind: Literal["gain"] = "gain"
    decibels: Decibels = (-6.0, 6.0)
    """Range of the gain in decibels, smaller first, -120 to 120; below 0 is quieter."""

    def build(self, sample_rate: int, hop: int) -> Gain:
        """Creates the augmentation for waves (B, C, T) at any sample rate."""
        return Gain(self)


class Noise(Augmentation):
    """Adds white noise at a signal-to-noise ratio; silence does not change.

    One sequence of noise is drawn per batch; each item and channel uses it circularly from a random position.
    This
    takes a tenth of the time of drawing every sample.
    """

    domain = "wave"

    def __init__(self, settings: "NoiseSettings") -> None:
        super().__init__(settings.probability)
        self.ratio_db = settings.ratio_db

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            "decibels": uniform(shape[0], self.ratio_db, generator),
            "noise": torch.randn(shape[-1], generator=generator),
            "begin": torch.randint(0, shape[-1], tuple(shape[:2]), generator=generator),
        }

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        sequence = drawn["noise"] / drawn["noise"].square().mean().sqrt()
        noise = torch.cat([sequence, sequence]).unfold(0, len(sequence), 1)[drawn["begin"]]
        loudness = (power(signal) * 10 ** (-each(drawn["decibels"], signal) / 10)).sqrt()
        return torch.addcmul(signal, noise, loudness)


class NoiseSettings(BaseAugmentationSettings):
    """Adds white noise."""

    kind: Literal["noise"] = "noise"
    ratio_db: Decibels = (5.0, 30.0)
    """Range of the signal-to-noise ratio in decibels, smaller first, -120 to 120."""

    def build(self, sample_rate: int, hop: int) -> Noise:
        """Creates the augmentation for waves (B, C, T) at any sample rate."""
        return Noise(self)


class Mix(Augmentation):
    """Adds another item of the batch at a lower level.

    Nothing changes if either item is silent, or if the batch has one item.
    """

    domain = "wave"

    def __init__(self, settings: "MixSettings") -> None:
        super().__init__(settings.probability)
        self.under_db = settings.under_db

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        items = shape[0]
        steps = torch.randint(1, max(2, items), (items,), generator=generator)
        return {
            "partner": (torch.arange(items) + steps) % max(1, items),
            "decibels": uniform(items, self.under_db, generator),
        }

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        partner = drawn["partner"]
        if len(signal) < 2:
            return signal
        own = power(signal)
        others = own[partner]
        ratio = torch.where(others > 0, own / others.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
        return torch.addcmul(
            signal, signal[partner], (ratio * 10 ** (-each(drawn["decibels"], signal) / 10)).sqrt()
        )


class MixSettings(BaseAugmentationSettings):
    """Adds another clip of the batch as a quiet background; the labels do not change."""

    kind: Literal["mix"] = "mix"
    under_db: Decibels = (6.0, 20.0)
    """Range of the power of the clip relative to the background in decibels, smaller first, 0 to 120."""

    reads_batch: ClassVar[bool] = True

    @model_validator(mode="after")
    def _label_safe(self) -> Self:
        if self.under_db[0] < 0:
            raise ValueError(
                f"under_db must be 0 or more, because labels are wrong if the background is louder. "
                f"Given: {list(self.under_db)}."
            )
        return self

    def build(self, sample_rate: int, hop: int) -> Mix:
        """Creates the augmentation for waves (B, C, T) at any sample rate."""
        return Mix(self)


# Shuffling and mixing of clips with the same label, as in the winning system of DCASE 2018 task 5.
#
# T. Inoue, P. Vinayavekhin, S. Wang, D. Wood, N. Greco, R. Tachibana, "Domestic activities classification
# based on CNN using shuffling and mixing data augmentation", DCASE challenge 2018, technical report.


class ShuffleMix(Augmentation):
    """Averages an item and another one with the same label, after shuffling the pieces of both.

    An item without a label, or the only one with its label, is only shuffled. Samples beyond the last whole
    piece
    remain at the end.
    """

    domain = "wave"

    def __init__(self, settings: "ShuffleMixSettings") -> None:
        super().__init__(settings.probability)
        self.pieces = settings.pieces

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        items = shape[0]
        return {
            "order": torch.rand(items, self.pieces, generator=generator).argsort(1),
            "chances": torch.rand(items, items, generator=generator),
        }

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        labels = drawn.get("labels")
        shuffled = self._shuffled(signal, drawn["order"])
        if labels is None:
            return shuffled
        positive = ((labels[:, None] == labels) & (labels >= 0)).fill_diagonal_(False)
        partner = torch.where(positive, drawn["chances"], -1.0).argmax(1)
        mixed = (shuffled + shuffled[partner]) / 2
        return torch.where(each(positive.any(1), signal), mixed, shuffled)

    def _shuffled(self, signal: Tensor, order: Tensor) -> Tensor:
        length = signal.shape[-1] // self.pieces
        items, channels, _ = signal.shape
        whole = signal[..., : length * self.pieces].reshape(items, channels, self.pieces, length)
        index = order[:, None, :, None].expand(-1, channels, -1, length)
        moved = torch.gather(whole, 2, index).flatten(-2)
        return torch.cat([moved, signal[..., length * self.pieces :]], -1)


class ShuffleMixSettings(BaseAugmentationSettings):
    """Cuts clips into pieces, shuffles these, and mixes clips of the same label; requires the relation
    labels."""

    kind: Literal["shuffle_mix"] = "shuffle_mix"
    pieces: int = Field(5, ge=1, le=100)
    """Number of pieces of equal length, 1 to 100; 1: clips are mixed but not shuffled."""

    needs_labels: ClassVar[bool] = True
    reads_batch: ClassVar[bool] = True

    def build(self, sample_rate: int, hop: int) -> ShuffleMix:
        """Creates the augmentation for waves (B, C, T) at any sample rate."""
        return ShuffleMix(self)


class TimeShift(Augmentation):
    """Shifts each item circularly by a random number of samples or frames, in either direction."""

    def __init__(self, settings: "TimeShiftSettings", steps_per_second: float) -> None:
        super().__init__(settings.probability)
        self.domain = settings.domain
        self.largest = round(settings.max_seconds * steps_per_second)

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"steps": integers(shape[0], self.largest, generator)}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        length = signal.shape[-1]
        source = (torch.arange(length, device=signal.device) - drawn["steps"][:, None]) % length
        return signal.gather(-1, source.view(-1, *[1] * (signal.ndim - 2), length).expand_as(signal))


class TimeShiftSettings(BaseAugmentationSettings):
    """Shifts the sound in time circularly."""

    kind: Literal["time_shift"] = "time_shift"
    max_seconds: float = Field(0.5, ge=0.0, le=600.0)
    """Largest shift in either direction, in seconds, 0 to 600."""
    domain: Domain = "spectrogram"
    """spectrogram: shifts frames, also of cached features; wave: shifts samples."""

    def audible(self) -> Self:
        """Returns the settings with probability 1 in the domain of waves."""
        return self.model_copy(update={"probability": 1.0, "domain": "wave"})

    def build(self, sample_rate: int, hop: int) -> TimeShift:
        """Creates the augmentation for a sample rate in Hz and a hop of spectrograms in samples."""
        return TimeShift(self, sample_rate / hop if self.domain == "spectrogram" else sample_rate)


# Transforms of audiomentations, applied to one item at a time on the CPU; each takes tens of milliseconds.


class Borrowed(Augmentation):
    """Applies a transform of audiomentations with a random parameter drawn here.

    The random state of the library is not used. Its time stretching supports one and two channels, so more
    channels
    are processed one by one.
    """

    domain = "wave"

    def __init__(self, probability: float, sample_rate: int, limits: Span) -> None:
        super().__init__(probability)
        if not has("augment"):
            raise RequestError(
                "augment: stretch and pitch need the package audiomentations, which is not installed. "
                'Run: pip install "nearfield[augment]"'
            )
        self.sample_rate, self.limits = sample_rate, limits

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"amount": uniform(shape[0], self.limits, generator)}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        result = signal.clone()
        for item in torch.nonzero(drawn["applied"])[:, 0].tolist():
            transform = self._transform()
            transform.parameters = {"should_apply": True, self._parameter: float(drawn["amount"][item])}
            transform.freeze_parameters()
            wave = signal[item].float().cpu().numpy()
            parts = (
                [wave] if len(wave) <= 2 else [wave[channel : channel + 1] for channel in range(len(wave))]
            )
            applied = np.concatenate([transform(part, self.sample_rate) for part in parts])
            result[item] = torch.from_numpy(applied).to(signal)
        return result

    _parameter: str
    """Name of the parameter in the library."""

    @abstractmethod
    def _transform(self) -> Any:
        """Creates a transform of the library."""


class Pitch(Borrowed):
    """Shifts the pitch of each wave; the length does not change."""

    _parameter = "num_semitones"

    def _transform(self) -> Any:
        from audiomentations import PitchShift

        return PitchShift(p=1.0)


class PitchSettings(BaseAugmentationSettings):
    """Shifts the pitch at the same speed; slow to compute, `band_shift` is a fast approximation."""

    kind: Literal["pitch"] = "pitch"
    semitones: Span = (-2.0, 2.0)
    """Range of the shift in semitones, smaller first, -24 to 24; below 0 is lower."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.semitones[0] < -24 or self.semitones[1] > 24:
            raise ValueError(f"semitones must be from -24 to 24. Given: {list(self.semitones)}.")
        return self

    def build(self, sample_rate: int, hop: int) -> Pitch:
        """Creates the augmentation for waves (B, C, T) at `sample_rate` Hz.

        Raises RequestError if audiomentations is not installed.
        """
        return Pitch(self.probability, sample_rate, self.semitones)


class Stretch(Borrowed):
    """Changes the speed of each wave at the same length: cut at the end, or padded with silence."""

    _parameter = "rate"

    def __init__(self, settings: "StretchSettings", sample_rate: int) -> None:
        super().__init__(settings.probability, sample_rate, settings.rate)
        self.rates = settings.rates

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        if not self.rates:
            return super()._draw(shape, generator)
        return {"amount": one_of(shape[0], self.rates, generator)}

    def _transform(self) -> Any:
        from audiomentations import TimeStretch

        return TimeStretch(leave_length_unchanged=True, p=1.0)


class StretchSettings(SpeedSettings):
    """Changes the speed at the same pitch; slow to compute, `spectrogram_stretch` is a fast approximation."""

    kind: Literal["stretch"] = "stretch"

    def build(self, sample_rate: int, hop: int) -> Stretch:
        """Creates the augmentation for waves (B, C, T) at `sample_rate` Hz.

        Raises RequestError if audiomentations is not installed.
        """
        return Stretch(self, sample_rate)
