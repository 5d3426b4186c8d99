"""What pulls and pushes: the family of losses over `Pairs`, and those that name tags."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from nearfield.learning.losses.base import OWN_KINDS, TAGGING_KINDS, LossMetrics, PairLoss
from nearfield.learning.losses.circle import Circle
from nearfield.learning.losses.contrastive import Contrastive
from nearfield.learning.losses.library import Library
from nearfield.learning.losses.multi_similarity import MultiSimilarity
from nearfield.learning.losses.supcon import NTXent, SupCon
from nearfield.learning.losses.tagging import BCE, Focal
from nearfield.learning.losses.triplet import Triplet


def _member(given: Any) -> str | None:
    """Own kinds by name; every other word is looked up in the library, which refuses unknown ones."""
    kind = given.get("kind") if isinstance(given, Mapping) else getattr(given, "kind", None)
    own = (*OWN_KINDS, *TAGGING_KINDS)
    return "library" if kind is not None and kind not in own else kind


LossSettings = Annotated[
    Annotated[Triplet, Tag("triplet")]
    | Annotated[Circle, Tag("circle")]
    | Annotated[Contrastive, Tag("contrastive")]
    | Annotated[NTXent, Tag("nt_xent")]
    | Annotated[SupCon, Tag("supcon")]
    | Annotated[MultiSimilarity, Tag("multi_similarity")]
    | Annotated[BCE, Tag("bce")]
    | Annotated[Focal, Tag("focal")]
    | Annotated[Library, Tag("library")],
    Discriminator(_member),
]

__all__ = ["LossSettings", "PairLoss", "LossMetrics"]
