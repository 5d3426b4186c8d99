"""The base of backbones, checks of the smallest input, and a common block."""

from collections.abc import Iterable
from math import prod
from typing import Annotated, Protocol, TypeVar, cast

from pydantic import Field
from torch import nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import Family, Settings
from nearfield.models.layers import Pooling
from nearfield.models.pretrained import BACKBONE, load_pretrained

Module = TypeVar("Module", bound=nn.Module)


class BaseBackboneSettings(Settings):
    """Base of the settings of a backbone: a frozen class with `kind`, its settings, and `build`."""

    kind: str

    def check_reading(self, feature: str, sample_rate: int) -> None:
        """Raises RequestError if it does not support the feature (by kind) or sample rate (Hz) of the
        recipe."""

    def build(self, channels: int, bands: int, frames: int) -> nn.Module:
        """Creates the network for spectrograms (B, channels, bands, frames).

        Its output (map) is (B, F), (B, F, T) or (B, F, bands, T). The attribute `pooling` of the network is
        the default pooling of the map; without it, the default is the mean. Raises RequestError if
        spectrograms are too small."""
        raise NotImplementedError


BACKBONES = Family("backbones", BaseBackboneSettings)
"""All kinds of backbones; their union is `BackboneSettings` in this package's `__init__`."""


class Loadable(BaseBackboneSettings):
    """Base of the settings of backbones that can load pretrained weights."""

    weights: str | None = None
    """Initial weights: a safetensors file, hub:OWNER/NAME, or the folder of a run; none: random."""

    def with_pretrained(self, module: Module) -> Module:
        """Loads the weights of the settings, if any, and returns the module.

        Raises RequestError if `weights` cannot be read, or belong to another backbone.
        """
        if self.weights is not None:
            load_pretrained(module, self.weights, BACKBONE, self)
        return module


class WithPooling(Protocol):
    """A network with a default pooling."""

    pooling: Pooling


def pooling_of(backbone: nn.Module) -> Pooling:
    """Returns the default pooling of a network: its attribute `pooling`, or the mean."""
    return cast(WithPooling, backbone).pooling if hasattr(backbone, "pooling") else "mean"


# A block of convolution, batch norm, ReLU and max pooling, common in networks for music.

Step = Annotated[int, Field(ge=1, le=16)]
Pool = tuple[Step, Step]
"""Size of a pool, in bands and frames."""


def block(given: int, width: int, kernel: tuple[int, int] = (3, 3), pool: Pool = (2, 2)) -> nn.Sequential:
    """Creates a block (B, given, h, w) -> (B, width, h', w'), padded with one row and column of zeros.

    With the default kernel, h' and w' are h and w divided by the pool, rounded down.
    """
    return nn.Sequential(
        nn.Conv2d(given, width, kernel, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(pool),
    )


# The smallest spectrogram of a network.


class TooSmallError(RequestError):
    """A spectrogram is too small for a network."""


def least(pools: Iterable[Pool]) -> tuple[int, int]:
    """Returns the smallest numbers of bands and frames for a sequence of pools."""
    heights, widths = zip(*pools, strict=True)
    return prod(heights), prod(widths)


def check_least(kind: str, given: tuple[int, int], least: tuple[int, int]) -> None:
    """Raises TooSmallError if `given` bands and frames are fewer than the `least` of a network."""
    (bands, frames), (fewest_bands, fewest_frames) = given, least
    if bands < fewest_bands:
        raise TooSmallError(
            f"backbone: {kind} needs {fewest_bands} bands; the feature gives {bands}. "
            "Increase feature.bands, or use another backbone."
        )
    if frames < fewest_frames:
        raise TooSmallError(
            f"backbone: {kind} needs {fewest_frames} frames; the clip gives {frames}. "
            "Increase data.clip_seconds, or lower the hop of the feature."
        )
