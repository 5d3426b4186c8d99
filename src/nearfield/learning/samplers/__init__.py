"""Samplers: which clips come together in a batch. Each turns an epoch into `BatchIndices`."""

from collections.abc import Iterator
from typing import Annotated, Protocol

from pydantic import Field

from nearfield.core.settings import Settings
from nearfield.core.types import BatchIndices
from nearfield.learning.samplers.balanced import Balanced, BalancedTags
from nearfield.learning.samplers.shuffle import Shuffle, Views
from nearfield.learning.samplers.tag_triplets import TagTriplets
from nearfield.learning.samplers.tiles import Tiles

SamplerSettings = Annotated[
    Balanced | BalancedTags | Shuffle | Tiles | TagTriplets | Views,
    Field(discriminator="kind"),
]


class Sampler(Protocol):
    """What every member builds: a schedule that the run's seed and an epoch's number fix entirely."""

    @property
    def batch_size(self) -> int:
        """Windows in a full batch."""
        ...

    @property
    def clips_per_epoch(self) -> int:
        """Windows drawn in an epoch, repeats counted."""
        ...

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the labels or tags that never come, with the settings given."""
        ...

    @property
    def is_short(self) -> bool:
        """Whether every batch is smaller than the settings ask, for want of labels or of clips."""
        ...

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """The draws of epoch `number` (from 0), the same however often they are asked for."""
        ...

    def describe(self) -> str:
        """One line: batch, epoch, what is left out."""
        ...


def sets_pairs(settings: Settings) -> bool:
    """Whether the sampler itself says who is alike, so that the relation is not asked."""
    return isinstance(settings, TagTriplets) or (isinstance(settings, Tiles) and settings.mode == "triplet")
