"""Samplers: which clips form a batch. Each maps the number of an epoch to `BatchIndices`."""

from typing import Annotated

from nearfield.learning.samplers.balanced import Balanced, BalancedTags
from nearfield.learning.samplers.base import SAMPLERS, Sampler
from nearfield.learning.samplers.shuffle import Shuffle, TwoViews
from nearfield.learning.samplers.tiles import Tiles

SamplerSettings = Annotated[Balanced | BalancedTags | Shuffle | Tiles | TwoViews, SAMPLERS]
SAMPLERS.bind(SamplerSettings)

__all__ = ["Sampler", "SamplerSettings"]
