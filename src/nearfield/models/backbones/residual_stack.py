"""Residual blocks, each followed by a pool; with their shortcuts, or without, to see what those are worth."""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.backbones.blocks import Pool
from nearfield.models.backbones.least import check_least, least
from nearfield.models.backbones.resnet import BasicBlock
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling

Kernel = tuple[Literal[1, 3, 5, 7, 9], Literal[1, 3, 5, 7, 9]]


class ResidualStack(nn.Module):
    """(B, C, bands, T) -> (B, last width, h, w): bands and T over the pool once a block, rounded down."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int, settings: "ResidualStackSettings") -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        for given, width in pairwise([channels, *settings.widths]):
            layers = (
                BasicBlock(given, width, 1, settings.kernel)
                if settings.residual
                else _plain(given, width, settings.kernel)
            )
            self.blocks.append(nn.Sequential(layers, nn.MaxPool2d(settings.pool)))
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        map: Tensor = self.blocks(picture)
        return map


def _plain(given: int, width: int, kernel: Kernel) -> nn.Sequential:
    """The two convolutions of a residual block with nothing beside them."""
    around = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(given, width, kernel, padding=around, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, kernel, padding=around, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class ResidualStackSettings(Loadable):
    """Blocks of two convolutions beside a shortcut (He et al. 2015), each followed by a pool."""

    kind: Literal["residual_stack"] = "residual_stack"
    widths: tuple[Annotated[int, Field(ge=4, le=1024)], ...] = Field(
        (64, 128, 128, 64), min_length=1, max_length=8
    )
    """Channels of each block."""
    pool: Pool = (2, 2)
    """Bands and frames that become one behind each block."""
    kernel: Kernel = (3, 3)
    """Bands and frames, both odd, that a convolution sees at once."""
    residual: bool = True
    """Whether a shortcut leads around each block; without, it is a plain stack of as many convolutions."""

    introductions: ClassVar[dict[str, str]] = {
        **Loadable.introductions,
        "widths": (
            "Channels of each block, and by their number the depth. Narrow and shallow networks miss what "
            "is fine; wide and deep ones cost more for every clip, need more of them, and may not have "
            "converged when the updates are over (He et al. 2016)."
        ),
        "residual": (
            "Whether a shortcut leads around each block. Without shortcuts deep stacks train worse than "
            "shallow ones; at a few blocks the difference is small (He et al. 2016)."
        ),
        "pool": (
            "Bands and frames that become one behind each block. Large pools make the network quick and "
            "blind to where a pattern lies; small ones keep the place and cost memory and time."
        ),
        "kernel": (
            "Bands and frames that a convolution sees at once. Filters of one band see time alone; square "
            "ones see how pitch moves, and have more weights to learn."
        ),
    }

    def build(self, channels: int, bands: int, frames: int) -> ResidualStack:
        """For pictures (B, channels, bands, frames); raises RequestError where the pools leave nothing."""
        check_least(self.kind, (bands, frames), least((self.pool,) * len(self.widths)))
        return self.begun(ResidualStack(channels, self))
