"""Relations: which clips are positives and negatives of each other. Each maps `BatchIndices` to `Pairs`."""

from typing import Annotated

from nearfield.learning.relations.base import RELATIONS, Relation
from nearfield.learning.relations.labels import Labels, Tags, Views
from nearfield.learning.relations.time import Time

RelationSettings = Annotated[Labels | Tags | Time | Views, RELATIONS]
RELATIONS.bind(RelationSettings)

__all__ = ["Relation", "RelationSettings"]
