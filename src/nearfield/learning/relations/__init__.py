"""Who is alike: the family of relations. Each turns a `BatchIndices` into `Pairs`."""

from typing import Annotated, Any

from nearfield.core.settings import make
from nearfield.learning.relations.base import RELATIONS, Relation
from nearfield.learning.relations.labels import Labels, Tags, Views
from nearfield.learning.relations.time import Time

RelationSettings = Annotated[Labels | Tags | Time | Views, RELATIONS]
RELATIONS.bind(RelationSettings)

__all__ = ["Relation", "RelationSettings", "relation"]


def relation(kind: str, **settings: Any) -> Labels | Tags | Time | Views:
    """Settings of the relation `kind`; `.build(metadata)` makes the relation itself.

    Raises RequestError for an unknown kind or key and for a value out of range.
    """
    made: Labels | Tags | Time | Views = make(RelationSettings, "relation", {"kind": kind, **settings})
    return made
