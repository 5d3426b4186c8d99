"""The base of all samplers: the protocol `Sampler` and the base class of their settings."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, Self, runtime_checkable

from nearfield.core.settings import Family, Settings
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Ints


class Sampler(Protocol):
    """Draws batches, determined by the seed and the number of the epoch."""

    @property
    def batch_size(self) -> int:
        """Number of windows in a full batch."""
        ...

    @property
    def clips_per_epoch(self) -> int:
        """Number of windows in an epoch, with repeats."""
        ...

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the labels or tags that are never drawn with the settings."""
        ...

    @property
    def is_short(self) -> bool:
        """Whether all batches are smaller than the settings require, for lack of labels or clips."""
        ...

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        """Yields the batches of epoch `number` (from 0), the same at each call."""
        ...

    def describe(self) -> str:
        """Describes batches, epochs and clips left out, in one line."""
        ...


class CutOrder:
    """Mixin of samplers that cut an order of clips into batches."""

    @property
    def is_short(self: "Sampler") -> bool:
        """Whether an epoch has fewer windows than a full batch."""
        return self.clips_per_epoch < self.batch_size


@dataclass(frozen=True)
class TripletChoice:
    """Triplets of the first epoch of a sampler, chosen as examples."""

    numbers: tuple[int, ...]
    """Positions in the order in which triplets are drawn, from 0."""
    source: str
    """A sentence that describes the sampler and the choice."""
    before: "ExplainsTriplets | None" = None
    """The sampler whose triplets this one rearranges, by the same numbers; None if it rearranges none."""


@runtime_checkable
class ExplainsTriplets(Sampler, Protocol):
    """A sampler of triplets that can explain how each was drawn, for the page of triplets."""

    def choose(self, count: int) -> TripletChoice:
        """Returns up to `count` triplets of the first epoch."""
        ...

    def reason(self, number: int, negative: Collection[str], same: tuple[bool, bool] | None) -> str:
        """Explains in a sentence how a triplet of the first epoch was drawn.

        Parameters
        ----------
        number
            Position of the triplet in the order in which triplets are drawn, from 0.
        negative
            Tags of its negative.
        same
            Whether positive and negative are the same as those of `TripletChoice.before`; None without it.
        """
        ...


class BaseSamplerSettings(Settings):
    """Base of the settings of a sampler: a frozen class with `kind`, its settings, and `build`.

    The class variables and properties decide which relations and losses a sampler can be combined with, and
    how the cost of training is estimated; no other module refers to its kind. `windows` and `build` have no
    default."""

    kind: str
    needs: ClassVar[Literal["labels", "tags", "time"] | None] = None
    """What the clips must have."""
    clip_by_clip: ClassVar[bool] = False
    """Whether it draws single clips, so that augmented copies of a clip can be drawn as further clips."""

    @property
    def sets_pairs(self) -> bool:
        """Whether it sets the pairs of its batches, so that the relation is not used."""
        return False

    @property
    def mixes(self) -> bool:
        """Whether some clips of a batch are mixed with another one."""
        return False

    @property
    def asked_run(self) -> str | None:
        """Folder of the run whose predicted tags it uses; None if it uses none."""
        return None

    def drawn_tags(self, metadata: ClipMetadata) -> tuple[Bools, tuple[str, ...]] | None:
        """Returns the tags (N, K) by which it draws pairs, and their K names; None if it uses no tags."""
        return None

    def without_positives(self, by: Literal["labels", "views"]) -> str | None:
        """Returns why its batches contain no positives of one label, or of one clip; None if they do."""
        return None

    def for_validation(self, labels: Ints) -> Self:
        """Returns the settings for batches of val clips with these class numbers (-1: none)."""
        return self

    def windows(self) -> int:
        """Returns the number of windows in a full batch."""
        raise NotImplementedError

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> Sampler:
        """Creates the sampler over `rows`. Raises DataError or RequestError if they do not allow it."""
        raise NotImplementedError


SAMPLERS = Family("samplers", BaseSamplerSettings)
"""All kinds of samplers; their union is `SamplerSettings` in this package's `__init__`."""


def samplers_without(need: Literal["labels", "tags", "time"]) -> str:
    """Returns the kinds that do not need labels, tags or time, for messages that name alternatives."""
    return ", ".join(kind for kind, each in SAMPLERS.kinds().items() if each.needs != need)


def clip_samplers() -> str:
    """Returns the kinds that draw single clips, for messages that name alternatives."""
    return ", ".join(kind for kind, each in SAMPLERS.kinds().items() if each.clip_by_clip)
