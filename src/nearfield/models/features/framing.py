"""Cutting waves into overlapping frames, and the arithmetic of how many there are."""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Padding = Literal["none", "zero", "reflect"]


@dataclass(frozen=True)
class Framing:
    """Frames of `window` samples, one every `hop` samples.

    Padding `none`: the first frame begins with the wave and the last ends within it. `zero` and `reflect`:
    frame number f has the middle of its FFT at sample f x hop, and what lies beyond the wave's ends is
    silence, or the wave mirrored at its first and last sample.
    """

    window: int
    hop: int
    fft: int
    padding: Padding

    @property
    def before(self) -> int:
        """Samples put before the wave; after it come the window's other samples."""
        return 0 if self.padding == "none" else self.fft // 2 - (self.fft - self.window) // 2

    @property
    def fewest(self) -> int:
        """The fewest samples that a wave must have."""
        enough = {"none": self.window, "zero": 1, "reflect": max(self.before, self.window - self.before) + 1}
        return enough[self.padding]

    def count(self, samples: int) -> int:
        """Frames of a wave of so many samples."""
        if samples < self.fewest:
            return 0
        return 1 + (samples - (self.window if self.padding == "none" else 0)) // self.hop

    def samples(self, frames: int) -> int:
        """The fewest samples that give so many frames, 1 or more."""
        return max(self.fewest, (frames - 1) * self.hop + (self.window if self.padding == "none" else 0))

    def cut(self, waves: Tensor) -> Tensor:
        """Waves (N, T) -> frames (N, count(T), window); without padding a view, nothing is copied."""
        if self.padding != "none":
            mode = "constant" if self.padding == "zero" else "reflect"
            waves = F.pad(waves, (self.before, self.window - self.before), mode=mode)
        return waves.unfold(-1, self.window, self.hop)
