"""Retrieval by labels and tags: recall@k, MAP@R, margins, nDCG; the jackknife of their means over groups."""

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
    all_distances,
    available,
    barred_counts,
    count_equal,
    members,
    nearest,
    ranking,
)

# The delete-a-group jackknife of a retrieval metric.
#
# When clips are searched among themselves, each clip is both a query and part of the gallery of all others.
# Removing a group from the queries only, or resampling the scores of the queries, shows half of its
# influence: such a metric is a U-statistic, and intervals and tests with a fixed gallery are too narrow.
# Each group is therefore removed from the queries and from the gallery (Efron and Stein 1981 show that the
# jackknife variance of such statistics is biased upwards).
#
# Conventions: N clips, B blocks. A block is one group, or several groups when there are many clips, which
# bounds the computation. `..._without` functions return the (B,) values of a metric without each block.

CELLS = 2**29
"""Largest clips x clips x blocks for which every group is its own block."""
LEAST = 100
"""Smallest number of blocks above that size."""


@dataclass(frozen=True)
class Blocks:
    """The jackknife blocks: clips of one block are left out together."""

    of: Ints
    """(N,) the block of each clip, 0 to B - 1."""
    count: int
    """B, the number of blocks."""
    groups: int
    """Number of groups in all blocks."""

    @classmethod
    def by(cls, groups: Ints) -> "Blocks":
        """Assigns clips to blocks by `groups` (N,); a clip with -1 is a group of its own. Deterministic."""
        own = np.where(groups >= 0, groups, -1 - np.arange(len(groups)))
        names, place = np.unique(own, return_inverse=True)
        most = max(LEAST, CELLS // max(1, len(groups) ** 2))
        if len(names) <= most:
            return cls(place, len(names), len(names))
        block_of_group = stream(0, "blocks").permutation(len(names)) % most
        return cls(np.asarray(block_of_group[place], dtype=np.int64), most, len(names))

    def take(self, at: Ints) -> "Blocks":
        """Returns the blocks of the clips at positions `at`; block numbers do not change."""
        return Blocks(self.of[at], self.count, self.groups)


@dataclass(frozen=True)
class Left:
    """The ranking of one query with each block removed: its h relevant clips, nearest first."""

    rows: Ints
    """(h,) gallery rows of the relevant clips."""
    there: Bools
    """(h, B) whether the clip remains without the block."""
    rank: Ints
    """(h, B) rank, from 1, among the remaining clips."""
    relevant: Ints
    """(B,) number of remaining relevant clips, including those below the searched depth."""
    found: Ints
    """(B,) number of remaining clips."""

    @property
    def number(self) -> Ints:
        """(h, B) number of remaining relevant clips up to and including each."""
        return counted(self.there)


def means_without(
    search: Search,
    blocks: Blocks,
    depth: Ints,
    relevant: Callable[[int], Bools],
    score: Callable[[int, Left], dict[str, Floats]],
) -> dict[str, Floats]:
    """Computes the means of scores over queries with each block removed from queries and gallery.

    Parameters
    ----------
    search
        Search of the N clips among themselves.
    blocks
        Blocks of the clips.
    depth
        (N,) number of neighbors to rank for each query: the depth that the score needs plus the size of the
        largest block.
    relevant
        Maps the row of a query to a (N,) mask of its relevant clips.
    score
        Maps the row of a query and its ranking without each block to (B,) scores by name; NaN where a score
        is undefined.

    Returns
    -------
    dict
        Names to (B,) means; NaN where no query remains.
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
    """(h, B) cumulative counts of `there` over its rows."""
    return np.asarray(np.cumsum(there, axis=0, dtype=np.int32))


def deepest(blocks: Blocks) -> int:
    """Returns the number of clips in the largest block."""
    return int(np.bincount(blocks.of, minlength=1).max())


def _left(index: Ints, findable: Bools, relevant: Bools, blocks: Blocks) -> Left:
    """Ranks the relevant clips without each block; `index` (L,) gallery rows, nearest first; masks (N,)."""
    hits = relevant[index]
    rows, place = index[hits], np.flatnonzero(hits)
    size = len(rows), blocks.count
    # Each listed clip counts towards the next relevant clip; the cumulative sum adds it to all later ones.
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
    """(B,) number of clips of `which` that remain without each block."""
    return np.asarray(which.sum() - np.bincount(blocks.of[which], minlength=blocks.count))


class _Findable:
    """The gallery rows that a query may return."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.sources = members(search.gallery_sources)

    def __call__(self, row: int) -> Bools:
        """(N,) mask of the rows that the query in `row` may return."""
        found = np.ones(len(self.search.gallery), dtype=bool)
        if self.search.own is not None and self.search.own[row] >= 0:
            found[self.search.own[row]] = False
        if self.search.query_sources is not None:
            found[self.sources.get(int(self.search.query_sources[row]), [])] = False
        return found


# Retrieval by label: do the neighbors of a clip have its label?
#
# Conventions
# -----------
# Q queries search N gallery clips. Labels are class numbers; -1 means unknown, and such a clip is neither a
# query nor in the gallery. R is the number of gallery clips with the query's label that the query may return.
# A query with R = 0 has score NaN; it is counted, and never scored as zero. Scores are per query in 0..1,
# 1 is best; a metric is their mean.
#
# Metrics
# -------
# - `recall_at_k`: 1 if one of the first k clips has the query's label (Jegou et al. 2011). Recall at 1 is
#   precision at 1 and the accuracy of the nearest neighbor.
# - `r_precision`: the fraction of the first R clips that have the label.
# - `map_at_r`: the mean over ranks i = 1..R of the precision at i if the clip at rank i has the label, else 0
#   (Musgrave, Belongie and Lim 2020, "A Metric Learning Reality Check").
# - `margin`: (b - a) / max(a, b), where a is the distance to the nearest clip of the query's label and b to
#   the nearest clip of another label. It is above 0 where recall at 1 is 1 (Crammer et al. 2002 call (b - a)
#   / 2 the hypothesis margin of a nearest-neighbor rule).
# - `silhouette`: the same, where a and b are mean distances: to the clips of the query's label, and to those
#   of the label that is the nearest by it (Rousseeuw 1987). It is low for labels of several clusters.
#
# Both are in -1..1, and NaN where no clip of another label may be returned. The ratio has no unit, so that
# spaces of different scale compare; it depends on whether distances are Euclidean or squared, as cosine ones.

CUTOFFS = (1, 2, 4, 8)


def label_scores(
    search: Search, query_labels: Ints, gallery_labels: Ints, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Scores retrieval by label: recall@k, R-precision and MAP@R of every query.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.
    query_labels
        (Q,) class numbers of the queries; -1 means unknown.
    gallery_labels
        (N,) class numbers of the gallery, all known.
    cutoffs
        Values of k for recall@k.

    Returns
    -------
    dict
        `recall_at_{k}`, `r_precision` and `map_at_r`, each (Q,); NaN where R is 0.

    Raises
    ------
    RequestError
        If a gallery clip has no label, or lengths differ.
    """
    check_lengths(len(search.queries), query_labels=query_labels)
    check_lengths(len(search.gallery), gallery_labels=gallery_labels)
    if (gallery_labels < 0).any():
        raise RequestError("gallery_labels: a gallery clip has no label (-1). Leave such clips out.")
    relevant = relevant_counts(search, query_labels, gallery_labels)
    names = [f"recall_at_{cutoff}" for cutoff in cutoffs] + ["r_precision", "map_at_r"]
    scores = {name: np.full(len(query_labels), np.nan) for name in names}
    # A query without relevant clips is ranked to depth 1 only; its scores stay NaN.
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


def margin_scores(search: Search, query_labels: Ints, gallery_labels: Ints) -> dict[str, Floats]:
    """Scores how much nearer each query is to clips of its label than to those of other labels.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.
    query_labels
        (Q,) class numbers of the queries; -1 means unknown.
    gallery_labels
        (N,) class numbers of the gallery, all known.

    Returns
    -------
    dict
        `margin` and `silhouette`, each (Q,); NaN where R is 0, or where no other label may be returned.
    """
    check_lengths(len(search.queries), query_labels=query_labels)
    check_lengths(len(search.gallery), gallery_labels=gallery_labels)
    order = np.argsort(gallery_labels, kind="stable")
    classes, starts = np.unique(gallery_labels[order], return_index=True)
    scores = {name: np.full(len(query_labels), np.nan) for name in ("margin", "silhouette")}
    for rows, distances in all_distances(search):
        sorted_ = distances[:, order]
        there = np.isfinite(sorted_)
        counts = np.add.reduceat(there, starts, axis=1, dtype=np.int64)
        sums = np.add.reduceat(np.where(there, sorted_, 0.0), starts, axis=1)
        by_class = {
            "margin": np.minimum.reduceat(sorted_, starts, axis=1),
            "silhouette": np.where(counts > 0, sums / np.maximum(counts, 1), np.inf),
        }
        is_own = query_labels[rows, None] == classes
        for name, found in by_class.items():
            own, other = (np.where(mask, found, np.inf).min(axis=1) for mask in (is_own, ~is_own))
            larger = np.maximum(own, other)
            known = np.isfinite(larger)
            gaps = np.where(known, other, 0.0) - np.where(known, own, 0.0)
            scores[name][rows] = np.where(known, gaps / np.where(larger > 0, larger, 1.0), np.nan)
    return scores


def label_means_without(
    search: Search, labels: Ints, blocks: Blocks, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Computes the means of `label_scores` without each block.

    Parameters
    ----------
    search
        Search of the N clips among themselves.
    labels
        (N,) class numbers of the clips.
    blocks
        Blocks of the clips.
    cutoffs
        Values of k for recall@k.

    Returns
    -------
    dict
        Names to (B,) means.
    """
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
    """(Q,) R: the number of gallery clips with the query's label that it may return; 0 if it has no label."""
    same = count_equal(query_labels[:, None], gallery_labels[:, None])
    barred = barred_counts(search, query_labels, gallery_labels)
    return np.asarray(np.where(query_labels >= 0, same - barred, 0), dtype=np.int64)


def _hits(block: Ranked, query_labels: Ints, gallery_labels: Ints) -> Bools:
    """(n, k) mask of ranked clips that have the query's label."""
    if not len(gallery_labels):
        return np.zeros(block.index.shape, dtype=bool)
    found = gallery_labels[block.index]
    hits: Bools = (found == query_labels[block.rows, None]) & (block.index >= 0)
    return hits


def _precision_sums(found: Bools) -> Floats:
    """(n,) the precision at each rank with a hit, summed over these ranks."""
    ranks = np.arange(1, found.shape[1] + 1)
    return np.asarray((np.cumsum(found, axis=1) / ranks * found).sum(axis=1), dtype=np.float64)


# Retrieval by tags: do the neighbors of a clip have its tags?
#
# Conventions
# -----------
# Q queries search N gallery clips; tags are booleans (Q, K) and (N, K). A query without tags has score NaN;
# it is counted and left out of every mean. The query itself is excluded by row number. If fewer than k clips
# may be returned, all of them count. Scores are per query in 0..1, 1 is best.
#
# Metrics
# -------
# - `multilabel_recall_at_k`: the fraction of the query's tags that at least one of the first k neighbors has,
#   |y_q & (y_1 | ... | y_k)| / |y_q|. It never decreases with k and does not penalize wrong tags, so clips
#   with many tags score high. Compare it with the baselines of `chance.py`.
# - `tag_overlap_at_k`: the mean Jaccard index |y_q & y_i| / |y_q | y_i| of the first k neighbors; it does not
#   favor clips with many tags.
# - `tag_map`: average precision of the whole ranking; a clip is relevant if it shares a tag with the query.
# - `tag_ndcg`: discounted cumulative gain of the whole ranking, divided by that of the best order. The gain
#   of a clip is its Jaccard index with the query (Jarvelin and Kekalainen 2002; discount 1 / log2(1 + rank)).


def tag_scores(
    search: Search, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Scores retrieval by tags: multi-label recall@k and tag overlap@k of every query.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.
    query_tags, gallery_tags
        (Q, K) and (N, K) tags.
    cutoffs
        Values of k.

    Returns
    -------
    dict
        `multilabel_recall_at_{k}` and `tag_overlap_at_{k}`, each (Q,); NaN for queries without tags.
    """
    check_lengths(len(search.queries), query_tags=query_tags)
    check_lengths(len(search.gallery), gallery_tags=gallery_tags)
    index, _ = nearest(search, max(cutoffs))
    return listed_scores(index, query_tags, gallery_tags, cutoffs)


def listed_scores(
    index: Ints, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Computes `tag_scores` for given neighbors.

    Parameters
    ----------
    index
        (Q, k) gallery rows of the neighbors, nearest first; -1 for none.
    query_tags, gallery_tags
        (Q, K) and (N, K) tags.
    cutoffs
        Values of k.

    Returns
    -------
    dict
        `multilabel_recall_at_{k}` and `tag_overlap_at_{k}`, each (Q,); NaN for queries without tags or
        without neighbors.
    """
    # Index -1 selects the added last row, which has no tags.
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
    """Scores whole rankings by tags: average precision and nDCG of every query.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.
    query_tags, gallery_tags
        (Q, K) and (N, K) tags.

    Returns
    -------
    dict
        `tag_map` and `tag_ndcg`, each (Q,); NaN where no clip that the query may return shares a tag with it.
    """
    check_lengths(len(search.queries), query_tags=query_tags)
    check_lengths(len(search.gallery), gallery_tags=gallery_tags)
    average, discounted = (np.full(len(query_tags), np.nan) for _ in range(2))
    sizes = gallery_tags.sum(axis=1)
    for block in ranking(search, available(search)):
        # The product counts shared tags: float32 for BLAS, exact up to 2^24 tags.
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
    """Computes the means of `tag_scores` and `ranking_scores` without each block.

    Parameters
    ----------
    search
        Search of the N clips among themselves.
    tags
        (N, K) tags of the clips.
    blocks
        Blocks of the clips.
    cutoffs
        Values of k.

    Returns
    -------
    dict
        Names to (B,) means.
    """
    check_lengths(len(search.queries), tags=tags, blocks=blocks.of)
    sizes = tags.sum(axis=1)
    discount = np.r_[0.0, 1 / np.log2(np.arange(1, len(tags) + 1) + 1)]

    def shared(row: int) -> Ints:
        return np.asarray(tags[:, tags[row]].sum(axis=1))

    def score(row: int, left: Left) -> dict[str, Floats]:
        both = shared(row)[left.rows]
        overlap = both / (sizes[row] + sizes[left.rows] - both)
        # Only clips that reach the first k without some block matter; usually few of the relevant ones do.
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
    """(N,) mask of the clips that share a tag with the clip in `row`."""
    return np.asarray(tags[:, tags[row]].any(axis=1))


def recall_of_first(tags: Bools, row: int, left: Left) -> Floats:
    """(B,) `multilabel_recall_at_1` of a query without each block; NaN where no clip remains."""
    share = tags[left.rows][:, tags[row]].sum(axis=1) / max(int(tags[row].sum()), 1)
    return np.where(left.found > 0, share @ (left.there & (left.rank <= 1)), np.nan)


def _ranking_without(left: Left, overlap: Floats, discount: Floats) -> dict[str, Floats]:
    """(B,) `tag_map` and `tag_ndcg`; `overlap` (h,) is that of the relevant clips, `discount` by rank."""
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
