"""The base of backbones, their smallest input, and the block that many repeat."""

from collections.abc import Iterable
from math import prod
from typing import Annotated, Protocol, TypeVar, cast

from pydantic import Field
from torch import nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import Family, Settings
from nearfield.models.layers import Pooling
from nearfield.models.pretrained import BACKBONE, load_pretrained

# What the settings of every backbone share: the weights it may begin from.

Module = TypeVar("Module", bound=nn.Module)


class BaseBackboneSettings(Settings):
    """What the settings of every backbone extend: a frozen class with `kind`, its settings, and `build`."""

    kind: str

    def check_reading(self, feature: str, sample_rate: int) -> None:
        """Raises RequestError where it cannot read the recipe's feature (by kind) or sample rate (Hz)."""

    def build(self, channels: int, bands: int, frames: int) -> nn.Module:
        """The network for spectrograms (B, channels, bands, frames): its map is (B, F), (B, F, T) or
        (B, F, bands, T). Its attribute `pooling` says how the map is pooled where the recipe does not;
        without it by the mean. Raises RequestError where the spectrograms are too small."""
        raise NotImplementedError


BACKBONES = Family("backbones", BaseBackboneSettings)
"""All kinds of backbones; the list is `BackboneSettings`, in this package's `__init__`."""


class Loadable(BaseBackboneSettings):
    """Settings of a backbone, which can begin from the weights of another training."""

    weights: str | None = None
    """Weights to begin from: a safetensors file, hub:OWNER/NAME, or a run's folder; none: drawn by chance."""

    def with_pretrained(self, module: Module) -> Module:
        """The module itself, with its first weights in place.

        Raises RequestError where `weights` cannot be read, or are another backbone's.
        """
        if self.weights is not None:
            load_pretrained(module, self.weights, BACKBONE, self)
        return module


class WithPooling(Protocol):
    """A network that says how its map is pooled."""

    pooling: Pooling


def pooling_of(backbone: nn.Module) -> Pooling:
    """How the map of a network is pooled where the recipe does not say: as it says itself, or by the mean."""
    return cast(WithPooling, backbone).pooling if hasattr(backbone, "pooling") else "mean"


# Convolution, batch norm, ReLU and a pool: what many networks for music repeat.

Step = Annotated[int, Field(ge=1, le=16)]
Pool = tuple[Step, Step]
"""How many bands, and how many frames, become one."""


def block(given: int, width: int, kernel: tuple[int, int] = (3, 3), pool: Pool = (2, 2)) -> nn.Sequential:
    """(B, given, h, w) -> (B, width, h', w'), with a row and a column of zeros around.

    With the usual kernel h' and w' are h and w over the pool; what fills no pool is left out.
    """
    return nn.Sequential(
        nn.Conv2d(given, width, kernel, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(pool),
    )


# The smallest picture that a network can read.


class TooSmallError(RequestError):
    """A picture is smaller than the smallest that a network can read."""


def least(pools: Iterable[Pool]) -> tuple[int, int]:
    """The fewest bands and frames that such pools, one after the other, leave anything of."""
    heights, widths = zip(*pools, strict=True)
    return prod(heights), prod(widths)


def check_least(kind: str, given: tuple[int, int], least: tuple[int, int]) -> None:
    """Compares the bands and frames of pictures with the fewest that a network can read.

    Raises TooSmallError that says which are missing and which settings give more.
    """
    (bands, frames), (fewest_bands, fewest_frames) = given, least
    if bands < fewest_bands:
        raise TooSmallError(
            f"backbone: {kind} needs {fewest_bands} bands; the feature gives {bands}. "
            "Take more (feature.bands), or another backbone."
        )
    if frames < fewest_frames:
        raise TooSmallError(
            f"backbone: {kind} needs {fewest_frames} frames; the clip gives {frames}. "
            "Make clips longer (data.clip_seconds) or the feature's hop shorter."
        )
