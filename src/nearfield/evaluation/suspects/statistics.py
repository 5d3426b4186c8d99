"""What the samples of every clip say, channel by channel, and from where on that is called a fault."""

from dataclasses import dataclass

from pydantic import Field

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats
from nearfield.core.settings import Settings
from nearfield.evaluation.silence import SILENT


@dataclass(frozen=True)
class SignalStatistics:
    """What the samples of every clip say."""

    levels: Floats
    """(N, C) root mean square in dB of full scale; -inf for digital silence."""
    clipped: Floats
    """(N, C) share of samples at full scale, 0..1."""
    offsets: Floats
    """(N, C) mean of the samples as a share of full scale, -1..1."""
    tilts: Floats
    """(N, C) slope of the spectrum in dB per octave: how dull (negative) or bright."""
    correlations: Floats
    """(N, C) mean correlation of a channel with the clip's others, -1..1; NaN where there is but one."""
    peaks: Floats
    """(N, C) largest sample in dB of full scale; -inf for digital silence."""

    def __post_init__(self) -> None:
        shape = self.levels.shape
        for name in ("clipped", "offsets", "tilts", "correlations", "peaks"):
            given = getattr(self, name).shape
            if len(shape) != 2 or given != shape:
                raise RequestError(
                    f"signal statistics: {name} must be (clips, channels) {shape}; given: {given}."
                )

    def __len__(self) -> int:
        return len(self.levels)


class SignalSettings(Settings):
    """From where on a signal is called faulty."""

    silent: float = Field(SILENT, le=0)
    """Level below which a channel is silent, in dB of full scale, where nothing stands out of it."""
    crest: float = Field(20.0, ge=0)
    """How far a sound's largest sample stands above its level, in dB: steady noise stays some 12 below it, a
    short sound in a quiet file goes beyond."""
    clipped: float = Field(0.001, gt=0, le=1)
    """Share of samples at full scale."""
    offset: float = Field(0.02, gt=0, le=1)
    """Mean of the samples, as a share of full scale."""
    strays: float = Field(6.0, gt=0)
    """How many usual strayings a channel may lie off what is usual."""
    drop: float = Field(30.0, gt=0)
    """How far below the clip's loudest channel a channel counts as dead, in dB."""
    swap: float = Field(2.0, gt=1)
    """How many times better exchanged channels must fit."""


def over(value: float, limit: float) -> float:
    """A score in 0..1 of a value that is suspicious from `limit` on: 0.5 there."""
    return float(value / (value + limit))
