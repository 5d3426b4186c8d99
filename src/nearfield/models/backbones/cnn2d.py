"""Four convolutions over bands and frames, pooled so hard that three seconds end in one place.

The two-dimensional network of the course GCT634 (KAIST, 2021). At 96 bands and 188 frames its maps are
24 x 47, 8 x 15, 2 x 5 and 1 x 1; with batch norm on the input and a layer to 50 tags it has 299,892 weights:
296,640 here, 2 in the input's batch norm and 3,250 in the last layer.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from nearfield.models.backbones.backbone import Loadable
from nearfield.models.backbones.blocks import Pool, block
from nearfield.models.backbones.least import check_least, least
from nearfield.models.initialisation import initialise
from nearfield.models.pooling import Pooling

Pools = tuple[Pool, Pool, Pool, Pool]


class CNN2D(nn.Module):
    """(B, C, bands, T) -> (B, width, bands / 72, T / 180) with the usual pools, rounded down."""

    pooling: Pooling = "mean"

    def __init__(self, channels: int, width: int, pools: Pools) -> None:
        super().__init__()
        widths = pairwise([channels, width, 2 * width, 2 * width, width])
        self.blocks = nn.Sequential(
            *(block(*both, pool=pool) for both, pool in zip(widths, pools, strict=True))
        )
        initialise(self, "backbone")

    def forward(self, picture: Tensor) -> Tensor:
        map: Tensor = self.blocks(picture)
        return map


class CNN2DSettings(Loadable):
    """Four convolutions with large pools, for pictures of about 96 bands and three seconds."""

    kind: Literal["cnn2d"] = "cnn2d"
    width: int = Field(64, ge=4, le=512)
    """Channels of the first and the last layer; the two between have twice as many."""
    pools: Pools = ((4, 4), (3, 3), (3, 3), (2, 5))
    """Bands and frames that become one behind each layer."""

    def build(self, channels: int, bands: int, frames: int) -> CNN2D:
        """For pictures (B, channels, bands, frames); raises RequestError where the pools leave nothing."""
        check_least(self.kind, (bands, frames), least(self.pools))
        return self.begun(CNN2D(channels, self.width, self.pools))
