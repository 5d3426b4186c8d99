"""What can be had without listening: chance, one fixed list, the same recording first. Every table prints it.

Conventions: as in `retrieval.py` and `multilabel.py`; scores are per query, NaN where a query has nothing
to find. Chance is a closed form, so these rows carry no noise of their own.
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
    """What a ranking by pure chance scores on average, per query: R `relevant` (Q,) among `found` (Q,).

    Recall is one minus a hypergeometric miss; MAP@R sums (1/i) P(rank i relevant) (1 + the expected hits
    before it). NaN where R is 0.
    """
    scores = {f"recall_at_{cutoff}": 1 - miss(relevant, found, cutoff) for cutoff in cutoffs}
    some = np.maximum(relevant, 1)
    share = relevant / np.maximum(found, 1)
    beside = (some - 1) / np.maximum(found - 1, 1)
    harmonic = np.cumsum(1 / np.arange(1, int(some.max(initial=1)) + 1))[some - 1]
    scores["r_precision"] = share
    scores["map_at_r"] = share / some * (harmonic * (1 - beside) + some * beside)
    return {name: np.where(relevant > 0, values, np.nan) for name, values in scores.items()}


def miss(relevant: Ints, found: Ints, draws: int | Ints) -> Floats:
    """The chance that `draws` clips out of `found`, without putting back, hold none of the `relevant`."""
    relevant, found, draws = np.broadcast_arrays(relevant, found, draws)
    chance = np.ones(relevant.shape)
    for drawn in range(int(draws.max(initial=0))):
        left = found - drawn
        step = np.where(left > 0, (left - relevant) / np.maximum(left, 1), 1.0)
        chance = np.where(drawn < np.minimum(draws, found), chance * np.maximum(step, 0), chance)
    return chance


def expected_recall(
    search: Search, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, Floats]:
    """The multi-label recall of a ranking by pure chance, on average, per query: names to (Q,) scores.

    A tag is covered unless each of k draws without putting back misses all clips that carry it.
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
    """The multi-label recall of listing the query's own recording first, in order of row, then chance.

    `recordings` are those of the queries and of the gallery. Raises RequestError where the search bars
    sources.
    """
    if search.query_sources is not None:
        raise RequestError("recording_first: the search bars sources, so there may be nothing to put first.")
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
    """What one fixed list scores for every query: the clips with the most tags, equals in order of row."""
    order = np.argsort(-gallery_tags.sum(axis=1), kind="stable")
    index = _first_allowed(search, order, max(cutoffs))
    scores = listed_scores(index, query_tags, gallery_tags, cutoffs)
    return {name: values for name, values in scores.items() if name.startswith("multilabel_recall")}


def guess_scores(train_labels: Ints, labels: Ints) -> dict[str, float]:
    """Accuracy and macro F1 of guessing each clip's label by its share in train, both to first order.

    With shares p in `labels` and q in `train_labels`, accuracy is sum p q; a class's F1 is 2 p q / (p + q).
    """
    classes = int(max(train_labels.max(initial=0), labels.max(initial=0))) + 1
    q = np.bincount(train_labels, minlength=classes) / max(len(train_labels), 1)
    p = np.bincount(labels, minlength=classes) / max(len(labels), 1)
    here = p + q > 0
    f1 = 2 * p * q / np.where(p + q > 0, p + q, 1)
    return {"accuracy": float(p @ q), "macro_f1": float(f1[here].mean()) if here.any() else 0.0}


def _after(
    first: Ints, rest: Search, query_tags: Bools, gallery_tags: Bools, cutoffs: tuple[int, ...]
) -> dict[str, Floats]:
    """Expected recall of the rows listed in `first` (Q, k), -1 beyond, and then chance among `rest`."""
    carriers, found = _carriers(rest, gallery_tags), available(rest)
    padded = np.vstack([gallery_tags, np.zeros((1, query_tags.shape[1]), dtype=bool)])
    possible = query_tags.any(axis=1) & ((first >= 0).any(axis=1) | (found > 0))
    size = np.maximum(query_tags.sum(axis=1), 1)
    scores: dict[str, Floats] = {}
    for cutoff in cutoffs:
        covered = padded[first[:, :cutoff]].any(axis=1)
        draws = cutoff - (first[:, :cutoff] >= 0).sum(axis=1)
        chance = np.where(covered, 1.0, 1 - miss(carriers, found[:, None], draws[:, None]))
        recall = (chance * query_tags).sum(axis=1) / size
        scores[f"multilabel_recall_at_{cutoff}"] = np.where(possible, recall, np.nan)
    return scores


def _carriers(search: Search, gallery_tags: Bools) -> Ints:
    """(Q, K) how many clips that the query may find carry each tag."""
    kinds = np.zeros(len(search.queries), dtype=np.int64)
    barred = [barred_counts(search, kinds, np.where(tag, 0, 1)) for tag in gallery_tags.T]
    return np.asarray(gallery_tags.sum(axis=0) - np.stack(barred, axis=1), dtype=np.int64)


def _first_allowed(search: Search, order: Ints, count: int) -> Ints:
    """(Q, count) the first of `order` that each query may find, -1 beyond."""
    index = np.full((len(search.queries), count), -1, dtype=np.int64)
    own = np.full(len(index), -1) if search.own is None else search.own
    sources = np.full(len(index), -1) if search.query_sources is None else search.query_sources
    rows_of = members(search.gallery_sources)
    lists: dict[int, Ints] = {}
    for query, source in enumerate(sources.tolist()):
        if source not in lists:
            barred = rows_of.get(source, index[:0, 0])
            # No more than the barred rows can stand before the last that is needed.
            front = order[: count + 1 + len(barred)]
            lists[source] = front[~np.isin(front, barred)][: count + 1]
        found = lists[source][lists[source] != own[query]][:count]
        index[query, : len(found)] = found
    return index
