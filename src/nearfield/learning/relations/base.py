"""The base of all relations: the protocol `Relation` and the base class of their settings."""

from typing import ClassVar, Literal, Protocol

from torch import Tensor

from nearfield.core.settings import Family, Settings
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, Ints, Pairs


class Relation(Protocol):
    """Determines which pairs of a batch are positive and which are negative."""

    @property
    def kind(self) -> str:
        """The kind of its settings."""
        ...

    def __call__(self, indices: BatchIndices) -> Pairs:
        """Returns (B, B) masks on the CPU for the B windows of a batch; the diagonal is never set."""
        ...


class BaseRelationSettings(Settings):
    """Base of the settings of a relation: a frozen class with `kind`, its settings, and `build`.

    The class variables decide which losses and samplers a relation can be combined with and how training
    validates; no other module refers to its kind. All have defaults.
    """

    kind: str
    gives: ClassVar[frozenset[Literal["labels", "tags"]]] = frozenset()
    """What `Pairs` contain besides the masks, for losses that use it: `labels` (one per clip) or `tags`.
    A relation that gives either is supervised: the training clips must have them."""
    of_views: ClassVar[bool] = False
    """Whether positives are windows of one clip; validation then augments them as training does."""
    validate_by: ClassVar[Literal["labels", "tags", "triplets"]] = "triplets"
    """The validation score if the recipe has `train.validate_by: relation`."""
    folders_are_labels: ClassVar[bool] = True
    """Whether folder names are labels if the recipe does not specify it; False for long recordings."""

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> Relation:
        """Creates the relation over the clips of `metadata`; statistics are computed from `rows`, or all."""
        raise NotImplementedError

    def compared_tags(self, metadata: ClipMetadata) -> tuple[Bools, tuple[str, ...]]:
        """Returns tags (N, K) and their K names as the relation compares them, with synonyms merged."""
        return metadata.tags, metadata.tag_names

    def tag_shares(self, metadata: ClipMetadata, rows: Ints) -> Tensor:
        """Returns (K,) the fraction of the tagged clips among `rows` with each tag, if it gives tags."""
        raise NotImplementedError


RELATIONS = Family("relations", BaseRelationSettings)
"""All kinds of relations; their union is `RelationSettings` in this package's `__init__`."""
