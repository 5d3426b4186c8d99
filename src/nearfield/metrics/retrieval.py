"""Retrieval by labels and by tags: recall@k, MAP@R and others, also with groups left out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints
from nearfield.metrics.checks import check_lengths
from nearfield.metrics.neighbors import (
    Ranked,
    Search,
    available,
    barred_counts,
    count_equal,
    members,
    nearest,
    ranking,
)

# A search within the clips that are judged, worked out again without each group of clips.
#
# Where clips are searched among themselves, each of them is a query and stands in the gallery of all others.
# Leaving a group out of the queries alone, or resampling their scores, shows half of its influence: a
# measure of this kind is a U-statistic, and intervals and tests that take the gallery as given are too
# narrow. So every group is left out on both sides (the delete-a-group jackknife; Efron and Stein 1981 show
# that its variance errs to the large side for such statistics).
#
# Conventions: N clips of B blocks. A block is a group; where there are many clips it is several groups
# together, so that the work stays within bounds. `without` (B,) is the measure without each block.

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


# Retrieval by label: does the neighbourhood of a clip carry the clip's own label?
#
# Conventions
# -----------
# Q queries look among N gallery clips. Labels are class numbers; -1 is not known, and such a clip is neither
# query nor in the gallery. R is how many gallery clips that the query may find carry its label; a query with
# R = 0 has nothing to find: its scores are NaN, and it is counted, never scored as zero. Scores are per query
# in 0..1, 1 is best; a measure is their mean.
#
# Metrics
# -------
# - `recall_at_k`: 1 where one of the first k carries the query's label (Jegou et al. 2011). Recall at 1 is
#   precision at 1 and the accuracy of the nearest neighbour.
# - `r_precision`: the share of the first R that carry the label.
# - `map_at_r`: the mean over ranks i = 1..R of precision at i where rank i carries the label, else 0
#   (Musgrave, Belongie and Lim 2020, "A Metric Learning Reality Check").

CUTOFFS = (1, 2, 4, 8)


def label_scores(
    search: Search, query_labels: Ints, gallery_labels: Ints, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Every metric of this file for every query: names to (Q,) scores, NaN where R is 0.

    Raises RequestError where a gallery clip has no label: it would stand in the way of those that have.
    """
    check_lengths(len(search.queries), query_labels=query_labels)
    check_lengths(len(search.gallery), gallery_labels=gallery_labels)
    if (gallery_labels < 0).any():
        raise RequestError("gallery_labels: a clip of unknown label is in the gallery; leave such clips out.")
    relevant = relevant_counts(search, query_labels, gallery_labels)
    names = [f"recall_at_{cutoff}" for cutoff in cutoffs] + ["r_precision", "map_at_r"]
    scores = {name: np.full(len(query_labels), np.nan) for name in names}
    # A query without anything to find is not worth a ranking.
    wanted = np.where(relevant > 0, np.maximum(relevant, max(cutoffs)), 1)
    for block in ranking(search, wanted):
        kept = np.flatnonzero(relevant[block.rows] > 0)
        block = Ranked(block.rows[kept], block.index[kept], block.distance[kept])
        hits = _hits(block, query_labels, gallery_labels)
        count = relevant[block.rows]
        for cutoff in cutoffs:
            scores[f"recall_at_{cutoff}"][block.rows] = hits[:, :cutoff].any(axis=1)
        found = hits & (np.arange(hits.shape[1]) < count[:, None])
        scores["r_precision"][block.rows] = found.sum(axis=1) / count
        scores["map_at_r"][block.rows] = _precision_sums(found) / count
    return scores


def label_means_without(
    search: Search, labels: Ints, blocks: Blocks, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Names to (B,) means of the same scores without each block; clips are searched among themselves."""
    check_lengths(len(search.queries), labels=labels, blocks=blocks.of)

    def score(_: int, left: Left) -> dict[str, Floats]:
        wanted = left.relevant
        count, found = np.maximum(wanted, 1), left.there & (left.rank <= wanted)
        sums = (left.number / np.maximum(left.rank, 1) * found).sum(axis=0)
        scores = {f"recall_at_{k}": (left.there & (left.rank <= k)).any(axis=0) for k in cutoffs}
        scores |= {"r_precision": found.sum(axis=0) / count, "map_at_r": sums / count}
        return {name: np.where(wanted > 0, values, np.nan) for name, values in scores.items()}

    def relevant(row: int) -> Bools:
        return np.asarray((labels == labels[row]) & (labels[row] >= 0))

    depth = np.maximum(relevant_counts(search, labels, labels), max(cutoffs)) + deepest(blocks)
    return means_without(search, blocks, depth, relevant, score)


def relevant_counts(search: Search, query_labels: Ints, gallery_labels: Ints) -> Ints:
    """(Q,) R: gallery clips of the query's label that it may find; 0 where its label is not known."""
    same = count_equal(query_labels[:, None], gallery_labels[:, None])
    barred = barred_counts(search, query_labels, gallery_labels)
    return np.asarray(np.where(query_labels >= 0, same - barred, 0), dtype=np.int64)


def _hits(block: Ranked, query_labels: Ints, gallery_labels: Ints) -> Bools:
    """(n, k) where the found clip carries the query's label."""
    if not len(gallery_labels):
        return np.zeros(block.index.shape, dtype=bool)
    found = gallery_labels[block.index]
    hits: Bools = (found == query_labels[block.rows, None]) & (block.index >= 0)
    return hits


def _precision_sums(found: Bools) -> Floats:
    """(n,) the sum over ranks that hold a find of the precision at that rank."""
    ranks = np.arange(1, found.shape[1] + 1)
    return np.asarray((np.cumsum(found, axis=1) / ranks * found).sum(axis=1), dtype=np.float64)


# Retrieval by tags: does the neighbourhood of a clip carry the clip's own tags, and beside it the cheats.
#
# Conventions
# -----------
# Q queries look among N gallery clips; tags are booleans (Q, K) and (N, K). A query without tags has no
# score: NaN, counted and left out of every mean. The query itself is barred by row number; where fewer than
# k clips may be found, all of them count. Scores are per query in 0..1, 1 is best.
#
# Metrics
# -------
# - `multilabel_recall_at_k`: the share of the query's tags that the first k neighbours carry between them,
#   |y_q & (y_1 | ... | y_k)| / |y_q|. It never falls with k and has no term for precision: clips with many
#   tags win it, which is why the rows of `chance.py` belong beside it.
# - `tag_overlap_at_k`: the mean Jaccard overlap |y_q & y_i| / |y_q | y_i| of the first k neighbours, which
#   clips with many tags do not win.
# - `tag_map`: average precision of the whole ranking, a clip being relevant where it shares a tag.
# - `tag_ndcg`: discounted gain of the whole ranking over that of the best order, the gain of a clip being its
#   Jaccard overlap with the query (Jarvelin and Kekalainen 2002; discount 1 / log2(1 + rank)).


def tag_scores(
    search: Search, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Recall and overlap at every cutoff for every query: names to (Q,) scores."""
    check_lengths(len(search.queries), query_tags=query_tags)
    check_lengths(len(search.gallery), gallery_tags=gallery_tags)
    index, _ = nearest(search, max(cutoffs))
    return listed_scores(index, query_tags, gallery_tags, cutoffs)


def listed_scores(
    index: Ints, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """The same for neighbours that are already listed: `index` (Q, k) gallery rows, -1 for none."""
    # One row of no tags at the end is what -1 picks.
    padded = np.vstack([gallery_tags, np.zeros((1, query_tags.shape[1]), dtype=bool)])
    there = index >= 0
    possible = query_tags.any(axis=1) & there.any(axis=1)
    size = np.maximum(query_tags.sum(axis=1), 1)
    union, overlap = np.zeros_like(query_tags), np.zeros(len(index))
    scores: dict[str, Floats] = {}
    for rank in range(index.shape[1]):
        found = padded[index[:, rank]]
        union = union | found
        overlap = overlap + (found & query_tags).sum(axis=1) / np.maximum((found | query_tags).sum(axis=1), 1)
        if rank + 1 in cutoffs:
            ranks = np.maximum(there[:, : rank + 1].sum(axis=1), 1)
            scores[f"multilabel_recall_at_{rank + 1}"] = (union & query_tags).sum(axis=1) / size
            scores[f"tag_overlap_at_{rank + 1}"] = overlap / ranks
    return {name: np.where(possible, values, np.nan) for name, values in scores.items()}


def ranking_scores(search: Search, query_tags: Bools, gallery_tags: Bools) -> dict[str, Floats]:
    """`tag_map` and `tag_ndcg` of every query; NaN where no clip that it may find shares a tag with it."""
    check_lengths(len(search.queries), query_tags=query_tags)
    check_lengths(len(search.gallery), gallery_tags=gallery_tags)
    average, discounted = (np.full(len(query_tags), np.nan) for _ in range(2))
    sizes = gallery_tags.sum(axis=1)
    for block in ranking(search, available(search)):
        # The product counts shared tags; BLAS does it in float32, exact up to 2^24 tags.
        shared = query_tags[block.rows].astype(np.float32) @ gallery_tags.T.astype(np.float32)
        either = query_tags[block.rows].sum(axis=1)[:, None] + sizes - shared
        overlap = shared.astype(np.float64) / np.maximum(either, 1)
        gains = np.where(block.index >= 0, np.take_along_axis(overlap, block.index, axis=1), 0.0)
        relevant = gains > 0
        ranks = np.arange(1, gains.shape[1] + 1)
        count = relevant.sum(axis=1)
        some = count > 0
        precisions = (np.cumsum(relevant, axis=1) / ranks * relevant).sum(axis=1)
        discount = 1 / np.log2(ranks + 1)
        best = -np.sort(-gains, axis=1) @ discount
        average[block.rows[some]] = precisions[some] / count[some]
        discounted[block.rows[some]] = (gains @ discount)[some] / best[some]
    return {"tag_map": average, "tag_ndcg": discounted}


def tag_means_without(
    search: Search, tags: Bools, blocks: Blocks, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Names to (B,) means of every metric of this file without each block; clips are searched among
    themselves."""
    check_lengths(len(search.queries), tags=tags, blocks=blocks.of)
    sizes = tags.sum(axis=1)
    discount = np.r_[0.0, 1 / np.log2(np.arange(1, len(tags) + 1) + 1)]

    def shared(row: int) -> Ints:
        return np.asarray(tags[:, tags[row]].sum(axis=1))

    def score(row: int, left: Left) -> dict[str, Floats]:
        both = shared(row)[left.rows]
        overlap = both / (sizes[row] + sizes[left.rows] - both)
        # Few of the relevant clips are ever among the first.
        near = left.rank.min(axis=1, initial=len(tags)) <= max(cutoffs)
        there, rank, own = left.there[near], left.rank[near], tags[left.rows[near]][:, tags[row]]
        scores = {}
        for cutoff in cutoffs:
            first = (there & (rank <= cutoff)).astype(np.float64)
            listed = np.maximum(np.minimum(cutoff, left.found), 1)
            scores[f"multilabel_recall_at_{cutoff}"] = (first.T @ own > 0).sum(axis=1) / max(sizes[row], 1)
            scores[f"tag_overlap_at_{cutoff}"] = overlap[near] @ first / listed
        possible = (left.found > 0) & (sizes[row] > 0)
        scores = {name: np.where(possible, values, np.nan) for name, values in scores.items()}
        return scores | _ranking_without(left, overlap, discount)

    depth = np.full(len(tags), len(tags))
    return means_without(search, blocks, depth, partial(sharing, tags), score)


def sharing(tags: Bools, row: int) -> Bools:
    """(N,) the clips that share a tag with a clip."""
    return np.asarray(tags[:, tags[row]].any(axis=1))


def recall_of_first(tags: Bools, row: int, left: Left) -> Floats:
    """(B,) `multilabel_recall_at_1` of a query without each block; NaN where nothing is left to find."""
    share = tags[left.rows][:, tags[row]].sum(axis=1) / max(int(tags[row].sum()), 1)
    return np.where(left.found > 0, share @ (left.there & (left.rank <= 1)), np.nan)


def _ranking_without(left: Left, overlap: Floats, discount: Floats) -> dict[str, Floats]:
    """(B,) `tag_map` and `tag_ndcg`; `overlap` (h,) with the query's relevant clips; `discount` by rank."""
    some = left.relevant > 0
    precisions = (left.number / np.maximum(left.rank, 1) * left.there).sum(axis=0)
    gains = overlap @ (left.there * discount[left.rank])
    order = np.argsort(-overlap, kind="stable")
    there = left.there[order]
    best = overlap[order] @ (there * discount[counted(there)])
    return {
        "tag_map": np.where(some, precisions / np.maximum(left.relevant, 1), np.nan),
        "tag_ndcg": np.where(some, gains / np.where(some, best, 1), np.nan),
    }
