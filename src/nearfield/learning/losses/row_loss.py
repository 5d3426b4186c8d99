"""What the losses of cosines share: one pass over the batch, some anchors (rows) at a time."""

from abc import abstractmethod

from torch import Tensor

from nearfield.core.nouns import Pairs
from nearfield.learning.distances import Points
from nearfield.learning.losses.base import PairLoss, Parts
from nearfield.learning.losses.gaps import settle
from nearfield.learning.losses.rows import Company, Tally


class RowLoss(PairLoss):
    """A loss whose value is made of what each anchor's row of cosines adds to sums."""

    def measure(self, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor | None, Parts]:
        """One pass over the rows."""
        settled = settle(vectors, pairs)
        points = Points(vectors, "cosine")
        tally = Tally(points.places)
        for part in points.parts():
            distances = points.distances(part)
            company = Company.of(settled, part, distances)
            tally.see(company, distances)
            points.pull(part, self.add_rows(company, distances, tally), distances)
        value, scale, parts = self.conclude(tally)
        return value.to(points.places.dtype), points.gradient(scale), {**parts, **tally.parts()}

    @abstractmethod
    def add_rows(self, company: Company, distances: Tensor, tally: Tally) -> Tensor:
        """Adds R anchors to the sums; the slopes of their summed losses over (R, B) `distances`."""

    @abstractmethod
    def conclude(self, tally: Tally) -> tuple[Tensor, Tensor, Parts]:
        """The value, what the summed slopes are to be multiplied by, and the loss's own parts."""
