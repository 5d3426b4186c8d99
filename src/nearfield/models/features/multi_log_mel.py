"""Log-mel through several windows at once, as channels: short ones see when, long ones see which pitch."""

from itertools import pairwise
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from nearfield.models.features.feature import Feature
from nearfield.models.features.log_mel import LogMel, MelSettings


class MultiLogMel(Feature):
    """Waves (B, C, T) -> (B, C x windows, bands, frames): all windows of channel 1, then of channel 2, ...

    Frames are those of the longest window; pictures of the others, which have more, are resampled to them.
    """

    cuttable = False  # resampling puts a frame's limits where the whole sound's length says

    def __init__(self, parts: list[LogMel], resample: Literal["area", "nearest"]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.longest, self.resample = parts[-1].framing, resample
        self.channels = parts[-1].channels * len(parts)
        self.bands, self.hop = parts[-1].bands, parts[-1].hop

    @property
    def wave_channels(self) -> int:
        return self.parts[-1].channels  # type: ignore[return-value]

    def frames(self, samples: int) -> int:
        return self.longest.count(samples)

    def samples(self, frames: int) -> int:
        return self.longest.samples(frames)

    def forward(self, waves: Tensor) -> Tensor:
        self._check(waves)
        frames = self.frames(waves.shape[-1])
        pictures = [self._fit(part(waves), frames) for part in self.parts]
        return torch.stack(pictures, dim=2).flatten(1, 2)

    def _fit(self, picture: Tensor, frames: int) -> Tensor:
        if picture.shape[-1] == frames:
            return picture
        return F.interpolate(picture, (self.bands, frames), mode=self.resample)


class MultiLogMelSettings(MelSettings):
    """Log-mel through several windows at once, each a channel."""

    kind: Literal["multi_log_mel"] = "multi_log_mel"
    windows_ms: tuple[float, ...] = Field((10.0, 20.0, 30.0), min_length=2, max_length=8)
    """Milliseconds of sound in a frame, one channel each, shortest first; the same one several times gives
    copies, with which to tell what windows bring from what channels bring."""
    hop_share: float = Field(1.0, gt=0.0, le=1.0)
    """Step from one frame to the next, as a share of the window; 1: frames lie side by side."""
    resample: Literal["area", "nearest"] = "area"
    """How shorter windows' frames become as many as the longest's: their mean, or the nearest one."""

    introductions: ClassVar[dict[str, str]] = {
        "hop_share": (
            "From one frame to the next, as a share of the window. At 1 the frames do not overlap, and what "
            "falls between two of them is nearly lost under the window's taper; small shares cost time."
        ),
        "windows_ms": (
            "The windows of the channels. A short window tells when something happens, a long one at what "
            "pitch; none does both (Gabor 1946). Several side by side leave the choice to the network "
            "(Dieleman and Schrauwen 2013), at the price of as many times the picture; windows that differ "
            "little add cost alone."
        ),
        "resample": (
            "How the frames of shorter windows become as many as those of the longest. The nearest one alone "
            "leaves the others out, so that short events are met or missed by chance; their mean keeps "
            "something of all, and blurs what short windows are there for."
        ),
    }

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(one > other for one, other in pairwise(self.windows_ms)) or self.windows_ms[0] <= 0:
            raise ValueError(f"windows_ms must be above 0, shortest first. Given: {list(self.windows_ms)}.")
        return self

    def build(self, sample_rate: int, channels: int) -> MultiLogMel:
        """For waves (B, channels, T) at `sample_rate` Hz; one FFT size for all windows, the longest's."""
        longest = round(self.windows_ms[-1] * sample_rate / 1000)
        whole = self.model_copy(update={"fft": self.fft or max(4, 1 << (longest - 1).bit_length())})
        parts = [whole.log_mel(sample_rate, channels, ms, ms * self.hop_share) for ms in self.windows_ms]
        return MultiLogMel(parts, self.resample)
