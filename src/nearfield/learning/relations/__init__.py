"""Who is alike: the family of relations. Each turns a `BatchIndices` into `Pairs`."""

from typing import Annotated

from nearfield.learning.relations.base import RELATIONS, Relation
from nearfield.learning.relations.labels import Labels, Tags, Views
from nearfield.learning.relations.time import Time

RelationSettings = Annotated[Labels | Tags | Time | Views, RELATIONS]
RELATIONS.bind(RelationSettings)

__all__ = ["Relation", "RelationSettings"]
