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

# Louder or quieter.


class Gain(Augmentation):
    """Multiplies each wave by one factor."""

    domain = "wave"

    def __init__(self, settings: "GainSettings") -> None:
        super().__init__(settings.probability)
        self.decibels = settings.decibels

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {"decibels": uniform(shape[0], self.decibels, generator)}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return signal * 10 ** (each(drawn["decibels"], signal) / 20)


class GainSettings(BaseAugmentationSettings):
    """Louder or quieter; a normalization that takes the level away undoes it."""

    kind: Literal["gain"] = "gain"
    decibels: Decibels = (-6.0, 6.0)
    """Decibels: least and most; below 0 is quieter."""

    def build(self, sample_rate: int, hop: int) -> Gain:
        """For waves (B, C, T) at any rate."""
        return Gain(self)


# White noise under the sound, so loud as a ratio says.


class Noise(Augmentation):
    """Adds white noise at a signal-to-noise ratio; silence stays silence.

    One strand of noise is drawn for a batch; each item and channel begins at a place of its own in it and
    wraps around. That is a tenth of the time of drawing every sample.
    """

    domain = "wave"

    def __init__(self, settings: "NoiseSettings") -> None:
        super().__init__(settings.probability)
        self.ratio_db = settings.ratio_db

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            "decibels": uniform(shape[0], self.ratio_db, generator),
            "strand": torch.randn(shape[-1], generator=generator),
            "begin": torch.randint(0, shape[-1], tuple(shape[:2]), generator=generator),
        }

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        strand = drawn["strand"] / drawn["strand"].square().mean().sqrt()
        noise = torch.cat([strand, strand]).unfold(0, len(strand), 1)[drawn["begin"]]
        loudness = (power(signal) * 10 ** (-each(drawn["decibels"], signal) / 10)).sqrt()
        return torch.addcmul(signal, noise, loudness)


class NoiseSettings(BaseAugmentationSettings):
    """White noise under the sound."""

    kind: Literal["noise"] = "noise"
    ratio_db: Decibels = (5.0, 30.0)
    """Decibels of the whole sound's power over the noise's: least and most."""

    def build(self, sample_rate: int, hop: int) -> Noise:
        """For waves (B, C, T) at any rate."""
        return Noise(self)


# Another clip of the batch, quietly in the background; the louder one keeps its labels.


class Mix(Augmentation):
    """Adds another item of the batch, so many decibels under the item itself.

    A silent item stays silent, and silence adds nothing; an item alone in its batch stays as it is.
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
    """Another clip of the batch in the background."""

    kind: Literal["mix"] = "mix"
    under_db: Decibels = (6.0, 20.0)
    """Decibels of the item's power over the other's: least and most; 0 or more, so that labels hold."""

    reads_batch: ClassVar[bool] = True

    @model_validator(mode="after")
    def _label_safe(self) -> Self:
        if self.under_db[0] < 0:
            raise ValueError(
                f"under_db must be 0 or more: a louder background would carry the wrong labels. "
                f"Given: {list(self.under_db)}."
            )
        return self

    def build(self, sample_rate: int, hop: int) -> Mix:
        """For waves (B, C, T) at any rate."""
        return Mix(self)


# Clips of one label cut up, shuffled and mixed, after the winner of DCASE 2018 task 5.
#
# T. Inoue, P. Vinayavekhin, S. Wang, D. Wood, N. Greco, R. Tachibana, "Domestic activities classification
# based on CNN using shuffling and mixing data augmentation", DCASE challenge 2018, technical report.


class ShuffleMix(Augmentation):
    """Half an item and half another of the same label in its batch, the pieces of both in an order of chance.

    An item without a label, or the only one of its label, is shuffled and mixed with nothing. What is left of
    a length that the pieces do not divide stays at the end.
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
    """Clips of one label cut up, shuffled and mixed; for the relation by labels alone."""

    kind: Literal["shuffle_mix"] = "shuffle_mix"
    pieces: int = Field(5, ge=1, le=100)
    """Into how many pieces of one length a clip is cut; 1 only mixes."""

    needs_labels: ClassVar[bool] = True
    reads_batch: ClassVar[bool] = True

    def build(self, sample_rate: int, hop: int) -> ShuffleMix:
        """For waves (B, C, T) at any rate."""
        return ShuffleMix(self)


# Earlier or later, around in a circle: what leaves at one end comes in at the other.


class TimeShift(Augmentation):
    """Rolls each item by a number of steps (samples, or frames) drawn evenly from both directions."""

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
    """Earlier or later, around in a circle."""

    kind: Literal["time_shift"] = "time_shift"
    max_seconds: float = Field(0.5, ge=0.0, le=600.0)
    """The furthest shift, in either direction."""
    domain: Domain = "spectrogram"
    """picture: whole frames are shifted; wave: samples are."""

    def heard(self) -> Self:
        """Moves the wave."""
        return self.model_copy(update={"probability": 1.0, "domain": "wave"})

    def build(self, sample_rate: int, hop: int) -> TimeShift:
        """For waves at `sample_rate` Hz, or pictures with a frame every `hop` samples of them."""
        return TimeShift(self, sample_rate / hop if self.domain == "spectrogram" else sample_rate)


# What is borrowed from audiomentations: one item at a time, on the processor, tens of milliseconds each.


class Borrowed(Augmentation):
    """Bends each chosen item by a transform of audiomentations with one amount, drawn here.

    The library's own chance is not used. Its stretching knows one and two channels, so more go one by one.
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
        for item in torch.nonzero(drawn["bent"])[:, 0].tolist():
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
    """The library's name for the amount."""

    @abstractmethod
    def _transform(self) -> Any:
        """A fresh transform of the library."""


# Higher or lower at the same speed.


class Pitch(Borrowed):
    """Moves each wave up or down by some semitones, its length kept."""

    _parameter = "num_semitones"

    def _transform(self) -> Any:
        from audiomentations import PitchShift

        return PitchShift(p=1.0)


class PitchSettings(BaseAugmentationSettings):
    """Higher or lower at the same speed; slow to compute, `band_shift` is its quick relative."""

    kind: Literal["pitch"] = "pitch"
    semitones: Span = (-2.0, 2.0)
    """Semitones: least and most; below 0 is lower."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.semitones[0] < -24 or self.semitones[1] > 24:
            raise ValueError(f"semitones must lie from -24 to 24. Given: {list(self.semitones)}.")
        return self

    def build(self, sample_rate: int, hop: int) -> Pitch:
        """For waves (B, C, T) at `sample_rate` Hz. Raises RequestError where audiomentations is missing."""
        return Pitch(self.probability, sample_rate, self.semitones)


# Faster or slower at the same pitch.


class Stretch(Borrowed):
    """Plays each wave faster or slower, its length kept: cut at the end, or silence after it."""

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
    """Faster or slower at the same pitch; slow to compute, `spectrogram_stretch` is its quick relative."""

    kind: Literal["stretch"] = "stretch"

    def build(self, sample_rate: int, hop: int) -> Stretch:
        """For waves (B, C, T) at `sample_rate` Hz. Raises RequestError where audiomentations is missing."""
        return Stretch(self, sample_rate)
