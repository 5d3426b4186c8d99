"""What all relations share: what their settings say, and how they are called."""

from typing import ClassVar, Literal, Protocol

from torch import Tensor

from nearfield.core.settings import Family, Settings
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Ints, Pairs


class Relation(Protocol):
    """What the settings of every relation build: says who is alike and who is unlike in a batch."""

    @property
    def kind(self) -> str:
        """The kind of its settings."""
        ...

    def __call__(self, indices: BatchIndices) -> Pairs:
        """(B, B) cells for the B windows of a draw, on the CPU; the diagonal is never set."""
        ...


class BaseRelationSettings(Settings):
    """What the settings of every relation extend: a frozen class with `kind`, its settings, and `build`.

    What a relation says of itself decides which losses and samplers it can be combined with, and what
    training looks at; nothing else in the package has to know its kind. Everything has a default.
    """

    kind: str
    gives: ClassVar[frozenset[Literal["labels", "tags"]]] = frozenset()
    """What its pairs carry besides cells, for losses that read it: `labels` (one of each clip) or `tags`.
    A relation that gives either is supervised, and needs training clips that have it."""
    of_views: ClassVar[bool] = False
    """Whether positives are windows of one clip, so that a validation bends them as training does."""
    validate_by: ClassVar[Literal["labels", "tags", "triplets"]] = "triplets"
    """What a validation scores where the recipe leaves it to the relation (train.validate_by)."""
    folders_are_labels: ClassVar[bool] = True
    """Whether names of folders are labels where the recipe does not say; of long recordings they are not."""

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> Relation:
        """The relation over the clips of `metadata`; what it counts is counted in `rows`, or all."""
        raise NotImplementedError

    def compared_tags(self, metadata: ClipMetadata) -> tuple[Bools, tuple[str, ...]]:
        """Tags (N, K) and K names, as they are shown beside its pairs: synonyms merged where it does so."""
        return metadata.tags, metadata.tag_names

    def tag_shares(self, metadata: ClipMetadata, rows: Ints) -> Tensor:
        """(K,) share (0..1) of the tagged clips among `rows` with each tag; of relations that give tags."""
        raise NotImplementedError


RELATIONS = Family("relations", BaseRelationSettings)
"""All kinds of relations; the list is `RelationSettings`, in this package's `__init__`."""
