"""What the settings of a loss say of it, so that wrong combinations are refused before training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nearfield.core.settings import Family, Settings
from nearfield.core.types import Distance

if TYPE_CHECKING:
    from nearfield.learning.losses.base import PairLoss

Need = Literal["labels", "classes", "tags"]


@dataclass(frozen=True)
class Margin:
    """A margin in some distance, which is compared with what vectors of unit length can satisfy at all."""

    key: str
    """The setting that holds it."""
    value: float
    sort: Literal["apart", "together", "circle"]
    """Between negatives and positives (or of negatives alone); of positives; the radius of a circle loss."""
    distance: Distance
    allows_impossible: bool | None = None
    """The setting `allow_impossible_margin`; None where the loss has none."""
    unit_length: bool = False
    """Whether the loss itself brings vectors to unit length, whatever the embedding does."""


class BaseLossSettings(Settings):
    """What the settings of every loss extend: a frozen class with `kind`, its settings, and `build`.

    What a loss says of itself decides which relations, miners and samplers it can be combined with, and
    which margins are refused; nothing else in the package has to know its kind. All but `distance` has a
    default.
    """

    kind: str
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What it reads besides pairs: `labels` (one of each item), `classes` (it keeps weights for each), or
    `tags` (and then no pairs at all; it builds a `TaggingLoss`)."""
    reads_triplet_range: ClassVar[bool] = False
    """Whether it keeps to a miner's triplet range by distances of its own, as a loss over triplets does.
    Losses over pairs call `rows.settle`, which reads the range in the range's own distance."""
    zero_without_positives: ClassVar[bool] = False
    """Whether it is 0 where a batch holds no positive pair, wherever its vectors lie."""

    if TYPE_CHECKING:

        @property
        def distance(self) -> Distance | None:
            """What it compares, as a setting or a constant of the class; None for a loss over no distances.
            Miners that have no distance of their own take it over."""
            ...

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuses a class that does not say in what it measures: its miners would measure in something."""
        super().__pydantic_init_subclass__(**kwargs)
        if "distance" not in cls.model_fields and not hasattr(cls, "distance"):
            raise TypeError(
                f"{cls.__name__} does not say what it compares: give it `distance: Distance = 'euclidean'` "
                "as a setting, or `distance: ClassVar[Distance | None]`, None for a loss over no distances."
            )

    @property
    def needs_positives(self) -> bool:
        """Whether it learns only from batches that hold positive pairs."""
        return not {"classes", "tags"} & self.needs

    @property
    def takes_mined(self) -> bool:
        """Whether it can read pairs that a miner has narrowed."""
        return "tags" not in self.needs

    @property
    def triplet_margin(self) -> float | None:
        """The margin of its triplets, which miners without a margin of their own take over."""
        return None

    @property
    def satisfied_gap(self) -> float | None:
        """The gap d(a, n) - d(a, p) from which on a triplet costs nothing; None where every one does."""
        return None

    def margins(self) -> tuple[Margin, ...]:
        """Its margins, for the check against what vectors of unit length can satisfy."""
        return ()

    def arguments(self) -> dict[str, Any]:
        """The settings by name, without `kind`: what the loss's class takes."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}

    def build(self, size: int = 0, classes: int = 0) -> "PairLoss":
        """The loss for vectors of `size` numbers and, where it keeps weights for them, so many `classes`."""
        raise NotImplementedError


LOSSES = Family("losses", BaseLossSettings)
"""All kinds of losses; the list is `LossSettings`, in this package's `__init__`."""


def pair_kinds() -> tuple[str, ...]:
    """The kinds that work from pairs alone, for sentences that name alternatives."""
    return tuple(kind for kind, each in LOSSES.kinds().items() if not each.needs)
