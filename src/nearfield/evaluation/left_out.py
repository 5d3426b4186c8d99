"""A search within the clips that are judged, worked out again without each group of clips.

Where clips are searched among themselves, each of them is a query and stands in the gallery of all others.
Leaving a group out of the queries alone, or resampling their scores, shows half of its influence: a measure
of this kind is a U-statistic, and intervals and tests that take the gallery as given are too narrow. So every
group is left out on both sides (the delete-a-group jackknife; Efron and Stein 1981 show that its variance
errs to the large side for such statistics).

Conventions: N clips of B blocks. A block is a group; where there are many clips it is several groups
together, so that the work stays within bounds. `without` (B,) is the measure without each block.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.core.seeds import stream
from nearfield.evaluation.neighbours import Search, members, ranking

CELLS = 2**29
"""Clips x clips x blocks up to which every group is a block of its own ..."""
LEAST = 100
"""... and how many blocks there are at least beyond that."""


@dataclass(frozen=True)
class Blocks:
    """Which clips are left out together."""

    of: Ints
    """(N,) the block of each clip, 0 to B - 1."""
    count: int
    """B"""
    groups: int
    """How many groups the blocks hold."""

    @classmethod
    def by(cls, groups: Ints) -> "Blocks":
        """Blocks of clips of `groups` (N,), where -1 is a group of its own; the same for the same groups."""
        own = np.where(groups >= 0, groups, -1 - np.arange(len(groups)))
        names, place = np.unique(own, return_inverse=True)
        most = max(LEAST, CELLS // max(1, len(groups) ** 2))
        if len(names) <= most:
            return cls(place, len(names), len(names))
        dealt = stream(0, "blocks").permutation(len(names)) % most
        return cls(np.asarray(dealt[place], dtype=np.int64), most, len(names))

    def take(self, at: Ints) -> "Blocks":
        """Of the clips at the positions `at`; the numbers of the blocks stay."""
        return Blocks(self.of[at], self.count, self.groups)


@dataclass(frozen=True)
class Left:
    """What one query finds in the gallery without each block: its h relevant clips, nearest first."""

    rows: Ints
    """(h,) their gallery rows."""
    there: Bools
    """(h, B) whether they are left without the block."""
    rank: Ints
    """(h, B) their rank, from 1, among the clips that are left."""
    relevant: Ints
    """(B,) how many relevant clips are left, those beyond the searched depth too."""
    found: Ints
    """(B,) how many clips are left at all."""

    @property
    def number(self) -> Ints:
        """(h, B) how many relevant clips are left up to each."""
        return counted(self.there)


def means_without(
    search: Search,
    blocks: Blocks,
    depth: Ints,
    relevant: Callable[[int], Bools],
    score: Callable[[int, Left], dict[str, Floats]],
) -> dict[str, Floats]:
    """Names to (B,) means over queries of `score`, each block left out of the queries and of the gallery.

    `search` is of the clips among themselves, `blocks` are theirs. `depth` (N,): how far down each query's
    list is read; as deep as the score looks, and the clips of the largest block more. `relevant`: a query's
    row to (N,) what counts as found. `score`: the row and what is left to (B,) scores by name, NaN where it
    has none. A mean is NaN where no query is left.
    """
    sums: dict[str, Floats] = {}
    counts: dict[str, Floats] = {}
    findable = _Findable(search)
    for ranked in ranking(search, depth):
        for row, index in zip(ranked.rows.tolist(), ranked.index, strict=True):
            left = _left(index[index >= 0], findable(row), relevant(row), blocks)
            for name, values in score(row, left).items():
                defined = np.isfinite(values)
                defined[blocks.of[row]] = False
                sums[name] = sums.get(name, 0.0) + np.where(defined, values, 0.0)
                counts[name] = counts.get(name, 0.0) + defined
    return {
        name: np.where(counts[name] > 0, total / np.maximum(counts[name], 1), np.nan)
        for name, total in sums.items()
    }


def counted(there: Bools) -> Ints:
    """(h, B) how many there are up to each row."""
    return np.asarray(np.cumsum(there, axis=0, dtype=np.int32))


def deepest(blocks: Blocks) -> int:
    """How many clips of a list can be of one block."""
    return int(np.bincount(blocks.of, minlength=1).max())


def _left(index: Ints, findable: Bools, relevant: Bools, blocks: Blocks) -> Left:
    """`index` (L,) gallery rows, nearest first; the masks are (N,)."""
    hits = relevant[index]
    rows, place = index[hits], np.flatnonzero(hits)
    size = len(rows), blocks.count
    # Every listed clip counts for the first relevant one at or below it, and by the sum for those below.
    first: Ints = np.cumsum(hits) - hits
    cells = (first * blocks.count + blocks.of[index])[first < len(rows)]
    above = np.cumsum(np.bincount(cells, minlength=size[0] * size[1]).reshape(size), axis=0, dtype=np.int32)
    return Left(
        rows=rows,
        there=blocks.of[rows][:, None] != np.arange(blocks.count),
        rank=(place[:, None] + 1).astype(np.int32) - above,
        relevant=_remaining(relevant & findable, blocks),
        found=_remaining(findable, blocks),
    )


def _remaining(which: Bools, blocks: Blocks) -> Ints:
    """(B,) how many of `which` are left without each block."""
    return np.asarray(which.sum() - np.bincount(blocks.of[which], minlength=blocks.count))


class _Findable:
    """The gallery rows that a query may find."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.sources = members(search.gallery_sources)

    def __call__(self, row: int) -> Bools:
        """(N,)"""
        found = np.ones(len(self.search.gallery), dtype=bool)
        if self.search.own is not None and self.search.own[row] >= 0:
            found[self.search.own[row]] = False
        if self.search.query_sources is not None:
            found[self.sources.get(int(self.search.query_sources[row]), [])] = False
        return found
