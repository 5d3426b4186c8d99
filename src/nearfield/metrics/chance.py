"""Baselines that ignore the embeddings: random ranking, one fixed list, the same recording first.

Conventions as in `retrieval.py`: scores are per query, NaN for a query with nothing to find. Scores of a
random ranking are expected values in closed form, without sampling noise.
"""

from dataclasses import replace

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.types import Bools, Floats, Ints
from nearfield.metrics.neighbors import Search, available, barred_counts, members
from nearfield.metrics.retrieval import CUTOFFS, listed_scores


def expected_label_scores(
    relevant: Ints, found: Ints, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Computes the expected label scores of a random ranking.

    Recall@k is one minus the hypergeometric probability of a miss. MAP@R is the sum over i = 1..R of
    (1/i) P(clip i is relevant) (1 + expected number of relevant clips before it), divided by R.

    Parameters
    ----------
    relevant
        (Q,) R, the number of relevant clips of each query.
    found
        (Q,) number of clips that each query may return.
    cutoffs
        Values of k for recall@k.

    Returns
    -------
    dict
        `recall_at_{k}`, `r_precision` and `map_at_r`, each (Q,); NaN where R is 0.
    """
    scores = {f"recall_at_{cutoff}": 1 - miss(relevant, found, cutoff) for cutoff in cutoffs}
    some = np.maximum(relevant, 1)
    share = relevant / np.maximum(found, 1)
    rest_share = (some - 1) / np.maximum(found - 1, 1)
    harmonic = np.cumsum(1 / np.arange(1, int(some.max(initial=1)) + 1))[some - 1]
    scores["r_precision"] = share
    scores["map_at_r"] = share / some * (harmonic * (1 - rest_share) + some * rest_share)
    return {name: np.where(relevant > 0, values, np.nan) for name, values in scores.items()}


def miss(relevant: Ints, found: Ints, draws: int | Ints) -> Floats:
    """Computes the probability that `draws` clips of `found`, without replacement, include no relevant one.

    Parameters
    ----------
    relevant, found, draws
        Number of relevant clips, of all clips and of draws; arrays that broadcast.

    Returns
    -------
    ndarray
        Hypergeometric probabilities in the broadcast shape.
    """
    relevant, found, draws = np.broadcast_arrays(relevant, found, draws)
    probability = np.ones(relevant.shape)
    for drawn in range(int(draws.max(initial=0))):
        left = found - drawn
        step = np.where(left > 0, (left - relevant) / np.maximum(left, 1), 1.0)
        probability = np.where(
            drawn < np.minimum(draws, found), probability * np.maximum(step, 0), probability
        )
    return probability


def expected_recall(
    search: Search, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Computes the expected multi-label recall of a random ranking.

    A tag counts unless k draws without replacement all miss the clips that have it. Parameters and result
    are those of `retrieval.tag_scores`.
    """
    nothing = np.full((len(query_tags), max(cutoffs)), -1, dtype=np.int64)
    return _after(nothing, search, query_tags, gallery_tags, cutoffs)


def recording_first(
    search: Search,
    query_tags: Bools,
    gallery_tags: Bools,
    recordings: tuple[Ints, Ints],
    cutoffs: tuple[int, ...] = CUTOFFS,
) -> dict[str, Floats]:
    """Computes the expected multi-label recall of the query's recording first, then a random ranking.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.
    query_tags, gallery_tags
        (Q, K) and (N, K) tags.
    recordings
        Recording numbers of the queries and of the gallery; clips of the query's recording are listed first,
        by row.
    cutoffs
        Values of k.

    Returns
    -------
    dict
        `multilabel_recall_at_{k}`, each (Q,).

    Raises
    ------
    RequestError
        If the search excludes sources: then clips of the query's recording may not be returned.
    """
    if search.query_sources is not None:
        raise RequestError(
            "recording_first: the search excludes sources, and with them clips of the query's recording. "
            "Give a search without query_sources."
        )
    index = np.full((len(query_tags), max(cutoffs)), -1, dtype=np.int64)
    rows_of = members(recordings[1])
    own = np.full(len(query_tags), -1) if search.own is None else search.own
    for query, recording in enumerate(recordings[0].tolist()):
        rows = rows_of.get(recording, index[:0, 0])
        first = rows[rows != own[query]][: max(cutoffs)]
        index[query, : len(first)] = first
    elsewhere = replace(search, query_sources=recordings[0], gallery_sources=recordings[1])
    return _after(index, elsewhere, query_tags, gallery_tags, cutoffs)


def hub_scores(
    search: Search, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """Computes the multi-label recall of one fixed list: the clips with most tags first, ties by row.

    Parameters and result are those of `retrieval.tag_scores`.
    """
    order = np.argsort(-gallery_tags.sum(axis=1), kind="stable")
    index = _first_allowed(search, order, max(cutoffs))
    scores = listed_scores(index, query_tags, gallery_tags, cutoffs)
    return {name: values for name, values in scores.items() if name.startswith("multilabel_recall")}


def guess_scores(train_labels: Ints, labels: Ints) -> dict[str, float]:
    """Computes accuracy and macro F1, to first order, of labels guessed with their frequencies in train.

    With class frequencies p in `labels` and q in `train_labels`, accuracy is the sum of p q, and the F1 of a
    class is 2 p q / (p + q).

    Parameters
    ----------
    train_labels, labels
        Class numbers of train and of the evaluated clips.

    Returns
    -------
    dict
        `accuracy` and `macro_f1`.
    """
    classes = int(max(train_labels.max(initial=0), labels.max(initial=0))) + 1
    q = np.bincount(train_labels, minlength=classes) / max(len(train_labels), 1)
    p = np.bincount(labels, minlength=classes) / max(len(labels), 1)
    present = p + q > 0
    f1 = 2 * p * q / np.where(present, p + q, 1)
    return {"accuracy": float(p @ q), "macro_f1": float(f1[present].mean()) if present.any() else 0.0}


def _after(
    first: Ints, rest: Search, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...]
) -> dict[str, Floats]:
    """Expected recall of the rows in `first` (Q, k; -1 for none), followed by a random ranking of `rest`."""
    carriers, found = _carriers(rest, gallery_tags), available(rest)
    padded = np.vstack([gallery_tags, np.zeros((1, query_tags.shape[1]), dtype=bool)])
    possible = query_tags.any(axis=1) & ((first >= 0).any(axis=1) | (found > 0))
    size = np.maximum(query_tags.sum(axis=1), 1)
    scores: dict[str, Floats] = {}
    for cutoff in cutoffs:
        covered = padded[first[:, :cutoff]].any(axis=1)
        draws = cutoff - (first[:, :cutoff] >= 0).sum(axis=1)
        probability = np.where(covered, 1.0, 1 - miss(carriers, found[:, None], draws[:, None]))
        recall = (probability * query_tags).sum(axis=1) / size
        scores[f"multilabel_recall_at_{cutoff}"] = np.where(possible, recall, np.nan)
    return scores


def _carriers(search: Search, gallery_tags: Bools) -> Ints:
    """(Q, K) number of clips with each tag that the query may return."""
    kinds = np.zeros(len(search.queries), dtype=np.int64)
    barred = [barred_counts(search, kinds, np.where(tag, 0, 1)) for tag in gallery_tags.T]
    return np.asarray(gallery_tags.sum(axis=0) - np.stack(barred, axis=1), dtype=np.int64)


def _first_allowed(search: Search, order: Ints, count: int) -> Ints:
    """(Q, count) first rows of `order` that each query may return; -1 if there are fewer."""
    index = np.full((len(search.queries), count), -1, dtype=np.int64)
    own = np.full(len(index), -1) if search.own is None else search.own
    sources = np.full(len(index), -1) if search.query_sources is None else search.query_sources
    rows_of = members(search.gallery_sources)
    lists: dict[int, Ints] = {}
    for query, source in enumerate(sources.tolist()):
        if source not in lists:
            barred = rows_of.get(source, index[:0, 0])
            # At most this many rows of `order` are needed, since at most `barred` of them are skipped.
            front = order[: count + 1 + len(barred)]
            lists[source] = front[~np.isin(front, barred)][: count + 1]
        found = lists[source][lists[source] != own[query]][:count]
        index[query, : len(found)] = found
    return index
