"""Retrieval by label: does the neighbourhood of a clip carry the clip's own label?

Conventions
-----------
Q queries look among N gallery clips. Labels are class numbers; -1 is not known, and such a clip is neither
query nor in the gallery. R is how many gallery clips that the query may find carry its label; a query with
R = 0 has nothing to find: its scores are NaN, and it is counted, never scored as zero. Scores are per query
in 0..1, 1 is best; a measure is their mean.

Metrics
-------
- `recall_at_k`: 1 where one of the first k carries the query's label (Jegou et al. 2011). Recall at 1 is
  precision at 1 and the accuracy of the nearest neighbour.
- `r_precision`: the share of the first R that carry the label.
- `map_at_r`: the mean over ranks i = 1..R of precision at i where rank i carries the label, else 0
  (Musgrave, Belongie and Lim 2020, "A Metric Learning Reality Check").
"""

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.checks import check_lengths
from nearfield.evaluation.left_out import Blocks, Left, deepest, means_without
from nearfield.evaluation.neighbours import Ranked, Search, barred_counts, count_equal, ranking

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
