"""Retrieval by tags: does the neighbourhood of a clip carry the clip's own tags, and beside it the cheats.

Conventions
-----------
Q queries look among N gallery clips; tags are booleans (Q, K) and (N, K). A query without tags has no
score: NaN, counted and left out of every mean. The query itself is barred by row number; where fewer than
k clips may be found, all of them count. Scores are per query in 0..1, 1 is best.

Metrics
-------
- `multilabel_recall_at_k`: the share of the query's tags that the first k neighbours carry between them,
  |y_q & (y_1 | ... | y_k)| / |y_q|. It never falls with k and has no term for precision: clips with many
  tags win it, which is why the rows of `chance.py` belong beside it.
- `tag_overlap_at_k`: the mean Jaccard overlap |y_q & y_i| / |y_q | y_i| of the first k neighbours, which
  clips with many tags do not win.
- `tag_map`: average precision of the whole ranking, a clip being relevant where it shares a tag.
- `tag_ndcg`: discounted gain of the whole ranking over that of the best order, the gain of a clip being its
  Jaccard overlap with the query (Jarvelin and Kekalainen 2002; discount 1 / log2(1 + rank)).
"""

from functools import partial

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.checks import check_lengths
from nearfield.evaluation.left_out import Blocks, Left, counted, means_without
from nearfield.evaluation.neighbours import Search, available, nearest, ranking
from nearfield.evaluation.retrieval import CUTOFFS


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
