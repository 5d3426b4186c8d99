"""Which measures a study may be judged by, and which it may only describe."""

import math

from nearfield.core.errors import RequestError, nearest

_PROBES = ("macro_f1", "accuracy", "weighted_f1")
_RETRIEVAL = (
    *(f"recall_at_{k}" for k in (1, 2, 4, 8)),
    "r_precision",
    "map_at_r",
    *(f"multilabel_recall_at_{k}" for k in (1, 2, 4, 8)),
    *(f"tag_overlap_at_{k}" for k in (1, 2, 4, 8)),
    "tag_map",
    "tag_ndcg",
)

JUDGES: tuple[str, ...] = (
    *(f"{probe}/{name}" for probe in ("probe", "knn", "dense_probe") for name in _PROBES),
    *(f"{gallery}/{name}" for gallery in ("retrieval", "retrieval_from_train") for name in _RETRIEVAL),
    "tagging/roc_auc",
    "tagging/pr_auc",
    "tagger/roc_auc",
    "tagger/pr_auc",
    *(
        f"retrieval_without_{column}/{name}_at_{k}"
        for column in ("song", "artist")
        for name in ("multilabel_recall", "tag_overlap")
        for k in (1, 2, 4, 8)
    ),
    "clusters/nmi",
    "clusters/ami",
    "clusters/silhouette",
    "time/triplet_accuracy",
    "time/same_recording_at_1",
    "time/near_in_time_at_1",
)
"""Measures on held-out clips of which more is better."""

MEASURES: tuple[str, ...] = (
    *JUDGES,
    *(f"retrieval_with_group/{name}" for name in _RETRIEVAL),
    "retrieval/same_recording_share",
    *(f"geometry/{name}" for name in ("centroid_spread", "centroid_min", "centroid_max")),
    *(f"geometry/{name}" for name in ("alike_distance", "unlike_distance", "overlap")),
    *(f"geometry/{name}" for name in ("effective_rank", "hubness", "mean_norm")),
    *(f"geometry/{name}" for name in ("neighbour_distance", "opposite_distance", "neighbour_overlap")),
    *(f"nuisance/{column}/macro_f1" for column in ("node", "session", "speaker", "device")),
    *(f"loss/{side}_{state}" for side in ("train", "val", "test") for state in ("mined", "unmined")),
)
"""What a study may describe beside its judge."""


def span(name: str) -> tuple[float, float]:
    """The least and the largest value that a measure can have."""
    family = name.partition("/")[0]
    if name == "clusters/silhouette":
        return -1.0, 1.0
    shares = ("probe", "knn", "dense_probe", "tagging", "tagger", "time", "clusters", "nuisance")
    return (0.0, 1.0) if family in shares or family.startswith("retrieval") else (-math.inf, math.inf)


def check_judge(name: str, where: str) -> None:
    """Raises RequestError where arms cannot be judged by the measure `name`."""
    family = name.partition("/")[0]
    reasons = {
        "train": "a judge taken on training data rewards learning by heart, and losses of different "
        "settings have different scales",
        "val": "choices within a run are made on val, so its scores flatter",
        "baseline": "a baseline is the same for every arm",
        "retrieval_with_group": "it finds clips of the query's own recording, and is for the record only",
        "geometry": "it says what a space is like, not how good it is",
        "nuisance": "it says what a space gives away, not how good it is",
        "loss": "losses of different settings have different scales",
    }
    if family in reasons:
        raise RequestError(
            f"{where}: judge: {name!r} is refused: {reasons[family]}. Take a measure on held-out clips, such "
            "as probe/macro_f1, retrieval_from_train/recall_at_1 or tagging/pr_auc."
        )
    if name not in JUDGES:
        raise RequestError(f"{where}: judge: unknown measure {name!r}. {_hint(name)}")


def check_measure(name: str, where: str) -> None:
    """Raises RequestError where a study cannot describe the measure `name`."""
    if name.startswith("train/"):
        raise RequestError(
            f"{where}: measures: {name!r} is a curve of training, which every document shows. Leave it out."
        )
    if name not in MEASURES:
        raise RequestError(f"{where}: measures: unknown measure {name!r}. {_hint(name)}")


def _hint(name: str) -> str:
    """The nearest measure, and some that are often wanted; all of them are too many for a line."""
    guess = nearest(name, MEASURES)
    usual = "probe/macro_f1, probe/accuracy, retrieval_from_train/recall_at_1, retrieval/map_at_r, "
    return (f"Did you mean {guess!r}? " if guess else "") + f"Usual: {usual}tagging/pr_auc, clusters/nmi."
