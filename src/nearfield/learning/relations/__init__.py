"""Who is alike: the family of relations. Each turns a `BatchIndices` into `Pairs`."""

from typing import Annotated, Any, Protocol

from pydantic import Field

from nearfield.core.settings import make
from nearfield.core.types import BatchIndices, Pairs
from nearfield.learning.relations.labels import Labels, Tags, Views
from nearfield.learning.relations.time import Time

RelationSettings = Annotated[Labels | Tags | Time | Views, Field(discriminator="kind")]


class Relation(Protocol):
    """What every member builds: says who is alike and who is unlike in a batch."""

    @property
    def kind(self) -> str:
        """The kind of its settings."""
        ...

    def __call__(self, indices: BatchIndices) -> Pairs:
        """(B, B) cells for the B windows of a draw, on the CPU; the diagonal is never set."""
        ...


def relation(kind: str, **settings: Any) -> Labels | Tags | Time | Views:
    """Settings of the relation `kind`; `.build(metadata)` makes the relation itself.

    Raises RequestError for an unknown kind or key and for a value out of range.
    """
    made: Labels | Tags | Time | Views = make(RelationSettings, "relation", {"kind": kind, **settings})
    return made
