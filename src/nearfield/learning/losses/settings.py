"""The base class of the settings of losses; its properties let recipes be checked before training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nearfield.core.settings import Family, Settings
from nearfield.core.types import Distance

if TYPE_CHECKING:
    from nearfield.learning.losses.base import PairLoss

Need = Literal["labels", "classes", "tags"]


@dataclass(frozen=True)
class Margin:
    """A margin, to be compared with the distances that vectors of unit length can have."""

    key: str
    """Name of the setting."""
    value: float
    sort: Literal["apart", "together", "circle"]
    """apart: between negatives and positives, or of negatives; together: of positives; circle: the radius of
    a circle loss."""
    distance: Distance
    allows_impossible: bool | None = None
    """The setting `allow_impossible_margin`; None if the loss has none."""
    unit_length: bool = False
    """Whether the loss normalizes the vectors itself."""


class BaseLossSettings(Settings):
    """Base of the settings of a loss: a frozen class with `kind`, its settings, and `build`.

    The class variables and properties decide which relations, miners and samplers a loss can be combined
    with, and which margins are refused; no other module refers to its kind. All but `distance` have defaults.
    """

    kind: str
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What it needs besides pairs: `labels` (one per item), `classes` (it has weights for each class), or
    `tags` (it uses no pairs and builds a `TaggingLoss`)."""
    reads_triplet_range: ClassVar[bool] = False
    """Whether it applies the triplet range of a miner in its own distance, as losses over triplets do. Losses
    over pairs call `rows.settle`, which applies the range in the distance of the miner."""
    zero_without_positives: ClassVar[bool] = False
    """Whether the loss of a batch without positives is always 0."""

    if TYPE_CHECKING:

        @property
        def distance(self) -> Distance | None:
            """The distance, a setting or a class variable; None if the loss uses none. It is the default
            distance of miners."""
            ...

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Raises TypeError if a class has no `distance`, because miners need one."""
        super().__pydantic_init_subclass__(**kwargs)
        if "distance" not in cls.model_fields and not hasattr(cls, "distance"):
            raise TypeError(
                f"{cls.__name__} has no distance. Add `distance: Distance = 'euclidean'` as a setting, or "
                "`distance: ClassVar[Distance | None]`, None if the loss uses no distance."
            )

    @property
    def needs_positives(self) -> bool:
        """Whether it needs batches with positives."""
        return not {"classes", "tags"} & self.needs

    @property
    def takes_mined(self) -> bool:
        """Whether it can use the pairs selected by a miner."""
        return "tags" not in self.needs

    @property
    def triplet_margin(self) -> float | None:
        """The margin of its triplets, which is the default margin of miners; None if it has none."""
        return None

    @property
    def satisfied_gap(self) -> float | None:
        """The smallest d(a, n) - d(a, p) of triplets with loss 0; None if no triplet has loss 0."""
        return None

    def margins(self) -> tuple[Margin, ...]:
        """Returns its margins, to be compared with the distances that vectors of unit length can have."""
        return ()

    def arguments(self) -> dict[str, Any]:
        """Returns the settings by name, without `kind`: the arguments of the class of the loss."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}

    def build(self, size: int = 0, classes: int = 0) -> "PairLoss":
        """Creates the loss for vectors of dimension `size` and, if it has weights for them, `classes`
        classes."""
        raise NotImplementedError


LOSSES = Family("losses", BaseLossSettings)
"""All kinds of losses; their union is `LossSettings` in this package's `__init__`."""


def pair_kinds() -> tuple[str, ...]:
    """Returns the kinds that need only pairs, for messages that name alternatives."""
    return tuple(kind for kind, each in LOSSES.kinds().items() if not each.needs)
