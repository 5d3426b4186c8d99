"""Tools for a loss that takes some anchors (rows) of a batch at a time: alike cells as a table, and sums."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from nearfield.core.nouns import Pairs
from nearfield.learning.distances import FAR


@dataclass(frozen=True)
class Table:
    """The alike cells of R rows, packed to the left: (R, K), K the most that one row has.

    A batch has few alike cells and many unlike ones; what concerns the alike ones is done on the table.
    """

    rows: Tensor
    """(M,) row of each alike cell."""
    columns: Tensor
    """(M,) its column."""
    places: Tensor
    """(M,) its column in the table."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, alike: Tensor) -> Self:
        """The table of (R, B) booleans."""
        rows, columns = alike.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(alike))
        places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        return cls(rows, columns, places, (len(alike), int(counts.max()) if len(alike) else 0))

    def read(self, cells: Tensor, empty: float) -> Tensor:
        """(R, K) values of (R, B) cells; `empty` where a row has fewer than K."""
        table = cells.new_full(self.shape, empty)
        table[self.rows, self.places] = cells[self.rows, self.columns]
        return table

    def add(self, cells: Tensor, table: Tensor) -> None:
        """Adds (R, K) values to their (R, B) cells."""
        cells[self.rows, self.columns] += table[self.rows, self.places]

    def ones(self, like: Tensor) -> Tensor:
        """(R, K): one at each cell, zero where a row has fewer than K."""
        table = like.new_zeros(self.shape)
        table[self.rows, self.places] = 1
        return table


@dataclass(frozen=True)
class Company:
    """Whom a part's anchors are near to or far from."""

    alike: Table
    here: Tensor
    """(R, K) one where the table holds a cell, else zero."""
    strength: Tensor | None
    """(R, K) how alike, zero where the table holds no cell; None where all are fully alike."""
    unlike: Tensor
    """(R, B) one where unlike, else zero."""

    @classmethod
    def of(cls, pairs: Pairs, part: slice, like: Tensor) -> Self:
        """The company of a part's rows, in the arithmetic of `like`. Alike with strength 0 is not alike."""
        given = None if pairs.strength is None else pairs.strength[part].to(like.dtype)
        alike = Table.of(pairs.alike[part] if given is None else pairs.alike[part] & (given > 0))
        here = alike.ones(like)
        strength = None if given is None else alike.read(given, 0.0)
        return cls(alike, here, strength, pairs.unlike[part].to(like.dtype))

    @property
    def weights(self) -> Tensor:
        """(R, K) the strength, or one where there is none given; zero where the table holds no cell."""
        return self.here if self.strength is None else self.strength

    def hide(self, cells: Tensor, sign: float) -> Tensor:
        """(R, B) `cells` moved out of sight, by `sign` times FAR, wherever they are not unlike."""
        return torch.add(cells, 1 - self.unlike, alpha=sign * FAR)


class Tally:
    """Sums over all parts by name, in double precision where the device has it."""

    def __init__(self, like: Tensor) -> None:
        kind = torch.float32 if like.device.type == "mps" else torch.float64
        self._zero = torch.zeros((), dtype=kind, device=like.device)
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Adds all of `values` to the sum `name`."""
        self._sums[name] = self[name] + values.sum(dtype=self._zero.dtype)

    def __getitem__(self, name: str) -> Tensor:
        return self._sums.get(name, self._zero)

    def see(self, company: Company, distances: Tensor) -> None:
        """Adds up what the parts `alike_distance` and `unlike_distance` need, from (R, B) distances."""
        self.add("alike", company.alike.read(distances, 0.0))
        self.add("alike_cells", company.here)
        self.add("unlike", torch.linalg.vecdot(company.unlike, distances))
        self.add("unlike_cells", company.unlike.sum(1))

    def one_over(self, name: str) -> Tensor:
        """One over a sum of what is never negative; 1 where the sum is 0."""
        return 1 / torch.where(self[name] > 0, self[name], 1)

    def share(self, part: str, whole: str) -> Tensor:
        """One sum over another; 0 over 0 is 0."""
        return self[part] * self.one_over(whole)

    def parts(self) -> dict[str, Tensor]:
        """The mean distances, seen with `see`, under the names that training logs."""
        return {
            "alike_distance": self.share("alike", "alike_cells"),
            "unlike_distance": self.share("unlike", "unlike_cells"),
        }


def exponents(logits: Tensor) -> tuple[Tensor, Tensor]:
    """log of the summed exponentials of each row, (R, 1), and each one's share of the sum.

    Without overflow; `logits` are used up. A row of no columns sums to nothing: its log is -FAR.
    """
    if not logits.shape[1]:
        return logits.new_full((len(logits), 1), -FAR), logits
    largest = logits.amax(1, keepdim=True)
    shares = logits.sub_(largest).exp_()
    total = shares.sum(1, keepdim=True)
    return largest + total.log(), shares.div_(total)
