"""The smallest picture that a network can read."""

from collections.abc import Iterable
from math import prod

from nearfield.core.errors import RequestError
from nearfield.models.backbones.blocks import Pool


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
