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


INTRODUCTION = (
    "The loss says how alike clips are pulled together and unlike ones pushed apart. Triplet losses "
    "compare one alike with one unlike item and are satisfied at a margin; circle loss weighs each "
    "similarity by how far it is from its best value (Sun et al. 2020); softmax losses set each pair "
    "against the whole batch; bce and focal ask for each tag by itself and learn no distances but by the "
    "way. Each has its own scale, so their values cannot be compared, and at equal "
    "tuning and budget the differences are often small (Musgrave et al. 2020): a loss beside its rival's "
    "default settings is no fair rival."
)
"""What the choice of a kind does, and what fails; for the documents of studies."""

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
