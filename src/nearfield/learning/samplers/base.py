"""What all samplers share: what their settings say, and what they build."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, Self, runtime_checkable

from nearfield.core.settings import Family, Settings
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Ints


class Sampler(Protocol):
    """What the settings of every sampler build: a schedule that the run's seed and an epoch's number fix."""

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


class CutOrder:
    """Samplers that cut an order into batches: these are short only where an epoch holds less than one."""

    @property
    def is_short(self: "Sampler") -> bool:
        """Whether an epoch has fewer windows than a batch was to hold."""
        return self.clips_per_epoch < self.batch_size


@dataclass(frozen=True)
class TripletChoice:
    """Triplets of a sampler's first epoch that are worth showing."""

    numbers: tuple[int, ...]
    """In the order in which they are drawn, from 0."""
    source: str
    """What drew them, and which of them are shown, in a sentence."""
    before: "ExplainsTriplets | None" = None
    """The sampler whose triplets of the same numbers these rearrange; None where there is none."""


@runtime_checkable
class ExplainsTriplets(Sampler, Protocol):
    """A sampler that draws triplets and can say by what it drew each, as the page of triplets shows."""

    def choose(self, count: int) -> TripletChoice:
        """Up to `count` triplets of the first epoch."""
        ...

    def reason(self, number: int, negative: Collection[str], same: tuple[bool, bool] | None) -> str:
        """By what a triplet of the first epoch was drawn, in a sentence.

        `negative`: tags of its negative. `same`: whether positive and negative are those of `before`; None
        where nothing came before.
        """
        ...


class BaseSamplerSettings(Settings):
    """What the settings of every sampler extend: a frozen class with `kind`, its settings, and `build`.

    What a sampler says of itself decides which relations and losses it can be combined with, and what a
    training costs; nothing else in the package has to know its kind. `windows` and `build` have no default.
    """

    kind: str
    needs: ClassVar[Literal["labels", "tags", "time"] | None] = None
    """What its clips must have for it to draw batches."""
    clip_by_clip: ClassVar[bool] = False
    """Whether it chooses clip by clip, so that an augmented copy of a clip can stand for one."""

    @property
    def sets_pairs(self) -> bool:
        """Whether its draws say themselves who is alike, so that the relation is not asked."""
        return False

    @property
    def mixes(self) -> bool:
        """Whether some clips of a batch are heard together with another one."""
        return False

    @property
    def asked_run(self) -> str | None:
        """Folder of a run whose predictions of tags it draws by; None where it asks none."""
        return None

    def drawn_tags(self, metadata: ClipMetadata) -> tuple[Bools, tuple[str, ...]] | None:
        """Tags (N, K) that its own pairs are drawn by, and K names; None where it draws by none."""
        return None

    def without_positives(self, by: Literal["labels", "views"]) -> str | None:
        """Why its batches hold no positive pairs of one label, or of one clip; None where they do."""
        return None

    def for_validation(self, labels: Ints) -> Self:
        """The settings for batches of val clips with these class numbers (-1: none)."""
        return self

    def windows(self) -> int:
        """Windows in a full batch, as the settings ask."""
        raise NotImplementedError

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> Sampler:
        """The schedule over `rows`. Raises DataError or RequestError where it cannot be kept."""
        raise NotImplementedError


SAMPLERS = Family("samplers", BaseSamplerSettings)
"""All kinds of samplers; the list is `SamplerSettings`, in this package's `__init__`."""


def samplers_without(need: Literal["labels", "tags", "time"]) -> str:
    """The kinds that do without labels, tags or time, for sentences that name alternatives."""
    return ", ".join(kind for kind, each in SAMPLERS.kinds().items() if each.needs != need)


def clip_samplers() -> str:
    """The kinds that choose clip by clip, for sentences that name alternatives."""
    return ", ".join(kind for kind, each in SAMPLERS.kinds().items() if each.clip_by_clip)
