"""Recipes that cannot work: kinds that exclude each other, margins that no embedding can satisfy."""

import math
from dataclasses import dataclass

from nearfield.core.errors import RequestError
from nearfield.core.settings import Settings
from nearfield.core.types import Distance
from nearfield.learning.losses.base import OWN_KINDS
from nearfield.learning.losses.circle import Circle
from nearfield.learning.losses.contrastive import Contrastive
from nearfield.learning.losses.library import NEEDS_LABELS, PAIRS_ALONE, Library, default_of, needs_classes
from nearfield.learning.losses.triplet import Triplet
from nearfield.learning.miners import All, DistanceWeighted, Easy, Hard, Semihard
from nearfield.learning.samplers import sets_pairs
from nearfield.learning.samplers.balanced import Balanced, BalancedTags
from nearfield.learning.samplers.shuffle import Shuffle

# What vectors of unit length can satisfy at all: margins beyond the geometry are found before training.
#
# On the unit sphere Euclidean distances end at 2, squared ones at 4, cosine distances (1 - cos) at 2,
# whatever is learnt. Only two points can be that far apart: many classes keep at most the square root of 2,
# 2 and 1 from each other all at once, C classes C / (C - 1) times as much in square and cosine (the corners
# of a simplex).

SPANS: dict[Distance, float] = {"euclidean": 2.0, "squared_euclidean": 4.0, "cosine": 2.0}
"""The largest distance of two vectors of unit length."""

_WORDS = {"euclidean": "Euclidean", "squared_euclidean": "squared Euclidean", "cosine": "cosine"}
_LIBRARY = {
    ("TripletMarginLoss", "margin"): "apart",
    ("ContrastiveLoss", "pos_margin"): "together",
    ("ContrastiveLoss", "neg_margin"): "apart",
    ("CircleLoss", "m"): "circle",
}


@dataclass(frozen=True)
class _Margin:
    """A margin to judge: its key, its value, what it is of, and the distance it is measured in."""

    key: str
    value: float
    sort: str
    distance: Distance


def check_margin(loss: Settings, normalized: bool, classes: int = 0) -> str | None:
    """A warning in words, or None where the settings of `loss` ask for something that can be had.

    `normalized`: whether vectors have unit length; without it only losses over cosines can be judged.
    `classes` (0: not known) is how many must keep their distance from each other. Raises RequestError where
    nothing could ever satisfy a margin, unless the settings have `allow_impossible_margin`.
    """
    warnings: list[str] = []
    for margin in _margins(loss):
        if not normalized and margin.distance != "cosine" and not isinstance(loss, Library):
            continue
        impossible = _impossible(margin)
        if impossible and not getattr(loss, "allow_impossible_margin", False):
            raise RequestError(impossible + _way_out(loss))
        crowded = None if impossible else _crowded(margin, classes)
        warnings += [found for found in (impossible, crowded) if found]
    return " ".join(warnings) or None


def max_separation(distance: Distance, classes: int) -> float:
    """How far so many classes (2 or more) can keep from each other on the unit sphere, all at once.

    In enough dimensions (classes - 1).
    """
    squared = 2 * classes / (classes - 1)
    return {"squared_euclidean": squared, "euclidean": math.sqrt(squared), "cosine": squared / 2}[distance]


def _margins(loss: Settings) -> list[_Margin]:
    if isinstance(loss, Triplet):
        return [_Margin("margin", loss.margin, "apart", loss.distance)]
    if isinstance(loss, Contrastive):
        return [
            _Margin("pos_margin", loss.pos_margin, "together", loss.distance),
            _Margin("neg_margin", loss.neg_margin, "apart", loss.distance),
        ]
    if isinstance(loss, Circle):
        return [_Margin("m", loss.m, "circle", "cosine")]
    if not isinstance(loss, Library):
        return []
    return [
        _Margin(key, float(default_of(loss, key)), sort, loss.distance or "euclidean")
        for (kind, key), sort in _LIBRARY.items()
        if kind == loss.kind
    ]


def _impossible(margin: _Margin) -> str | None:
    key, value, span = margin.key, margin.value, SPANS[margin.distance]
    if margin.sort == "circle":
        if value < 1:
            return None
        return (
            f"loss.{key}: {value:g} asks for nothing. A circle loss is satisfied inside the circle "
            f"s_n^2 + (1 - s_p)^2 = 2 m^2 of cosines, so a smaller {key} is stricter, the opposite of a "
            f"triplet's margin. Use more than 0 and less than 1; 0.25 and 0.4 are usual."
        )
    if value < span:
        return None
    ends = f"{_WORDS[margin.distance]} distances of vectors of unit length end at {span:g}"
    if margin.sort == "together":
        return f"loss.{key}: {value:g} asks for nothing: {ends}. Use less than {span:g}; 0 is usual."
    many = {"euclidean": 1.4, "squared_euclidean": 2.0, "cosine": 1.0}[margin.distance]
    return (
        f"loss.{key}: no vectors can satisfy {value:g}: {ends}. Use less than {span:g}; "
        f"{many:g} is about the most that many classes can keep from each other all at once."
    )


def _crowded(margin: _Margin, classes: int) -> str | None:
    if margin.sort != "apart" or classes < 2 or margin.value < max_separation(margin.distance, classes):
        return None
    return (
        f"loss.{margin.key}: {margin.value:g} is more than {classes} classes can keep from each other on the "
        f"unit sphere all at once ({max_separation(margin.distance, classes):.3g} in "
        f"{_WORDS[margin.distance]} distance): the loss cannot come to rest."
    )


def _way_out(loss: Settings) -> str:
    if isinstance(loss, Library):
        return ""
    return " To train all the same, as in repeating a study, set loss.allow_impossible_margin to true."


# What cannot be combined, told when the recipe is read: the reason and what to take in its place.


def check(
    relation_kind: str,
    miner: Settings,
    loss: Settings,
    normalized: bool = True,
    sampler: Settings | None = None,
) -> None:
    """Raises RequestError where relation, miner, loss and (if given) sampler cannot work together.

    `normalized`: whether the vectors have unit length.
    """
    _labels(relation_kind, loss)
    _tags(relation_kind, miner, loss)
    _own_pairs(sampler, loss)
    _mixtures(relation_kind, sampler)
    _alike(relation_kind, sampler, loss)
    _mined_labels(miner, loss)
    _unit_length(miner, loss, normalized)
    _nothing_left(miner, loss)


def _labels(relation_kind: str, loss: Settings) -> None:
    needs: frozenset[str] = getattr(loss, "needs", frozenset())
    if "labels" not in needs or relation_kind == "labels":
        return
    what = "keeps weights for each class" if "classes" in needs else "compares labels"
    raise RequestError(
        f"loss.kind: {_kind(loss)} {what}, so every item needs exactly one label, and the relation "
        f"{relation_kind!r} gives none. Set relation.kind to labels, or take a loss that works from pairs "
        f"alone: {', '.join((*OWN_KINDS, *PAIRS_ALONE))}."
    )


def _tags(relation_kind: str, miner: Settings, loss: Settings) -> None:
    if "tags" not in getattr(loss, "needs", frozenset()):
        return
    if relation_kind != "tags":
        raise RequestError(
            f"loss.kind: {_kind(loss)} reads the tags of each clip, and the relation {relation_kind!r} gives "
            "none. Set relation.kind to tags, or take a loss that works from pairs alone: "
            f"{', '.join(OWN_KINDS)}."
        )
    if not _keeps_all(miner):
        raise RequestError(
            f"miner.kind: {_kind(loss)} reads the tags of each clip and no pairs, so the miner "
            f"{_kind(miner)!r} would do nothing. Set miner to {{kind: all}}, or take a loss over pairs: "
            f"{', '.join(OWN_KINDS)}."
        )


def _own_pairs(sampler: Settings | None, loss: Settings) -> None:
    wanted = {"labels", "tags"} & getattr(loss, "needs", frozenset())
    if sampler is None or not wanted or not sets_pairs(sampler):
        return
    raise RequestError(
        f"sampler.kind: {_kind(sampler)} says itself who is alike, so that the relation is not asked, and "
        f"{_kind(loss)} needs the {wanted.pop()} that the relation would give. Take another sampler "
        "(balanced, balanced_tags, shuffle), or a loss that works from pairs alone: "
        f"{', '.join(OWN_KINDS)}."
    )


def needs_alike(loss: Settings) -> bool:
    """Whether a loss learns from clips of a batch that are alike; others read class numbers or tags."""
    return not {"classes", "tags"} & getattr(loss, "needs", frozenset()) and _kind(loss) != "InstanceLoss"


def _alike(relation_kind: str, sampler: Settings | None, loss: Settings) -> None:
    """Refuses batches in which no two clips can be alike."""
    if sampler is None or not needs_alike(loss):
        return
    is_single = isinstance(sampler, Balanced) and sampler.per_class == 1
    if relation_kind == "labels" and is_single:
        with_classes = ", ".join(name for name in sorted(NEEDS_LABELS) if needs_classes(name))
        raise RequestError(
            f"sampler.per_class: 1 clip of each label makes batches in which no two clips are alike, and "
            f"{_kind(loss)} pulls alike ones together. Allowed: 2 or more; or a loss that keeps weights for "
            f"each class: {with_classes}."
        )
    if relation_kind == "views" and (is_single or isinstance(sampler, Shuffle | BalancedTags)):
        raise RequestError(
            f"sampler.kind: {_kind(sampler)} does not bring two views of a clip together, so that the "
            f"relation 'views' finds no two alike, and {_kind(loss)} pulls alike ones together. Set "
            "sampler.kind to views; or relation.kind to labels, tags or time."
        )


def _mixtures(relation_kind: str, sampler: Settings | None) -> None:
    if relation_kind == "tags" or getattr(sampler, "mixing", None) is None:
        return
    raise RequestError(
        f"sampler.mixing: two clips heard together have the tags of both, and the relation {relation_kind!r} "
        "cannot say what they are. Set relation.kind to tags, or sampler.mixing to null; for a quiet "
        "background that leaves a clip what it is, take the augmentation mix."
    )


def _mined_labels(miner: Settings, loss: Settings) -> None:
    if isinstance(loss, Library) and not loss.takes_mined and not _keeps_all(miner):
        raise RequestError(
            f"miner.kind: {_kind(loss)} reads labels alone and cannot leave out pairs, so the miner "
            f"{_kind(miner)!r} would do nothing. Set miner to {{kind: all}}, or take another loss: "
            f"{', '.join(OWN_KINDS)}."
        )


def _unit_length(miner: Settings, loss: Settings, normalized: bool) -> None:
    if normalized:
        return
    if isinstance(miner, DistanceWeighted):
        raise RequestError(
            "miner.kind: distance_weighted draws by the distances of vectors of unit length, and "
            "embedding.normalize is false. Set it to true, or take the miner multi_similarity or semihard."
        )
    measured, compared = getattr(miner, "distance", None), getattr(loss, "distance", None)
    if (
        not isinstance(miner, All | Hard | Semihard | Easy)
        or not isinstance(loss, Triplet)
        or measured is None
    ):
        return
    if (measured == "cosine") != (compared == "cosine"):
        raise RequestError(
            f"miner.distance: {measured} and the loss's {compared} agree only for vectors of unit length, "
            "and embedding.normalize is false. Set it to true, or leave out miner.distance."
        )


def _nothing_left(miner: Settings, loss: Settings) -> None:
    if not isinstance(miner, Easy) or not isinstance(loss, Triplet) or loss.smooth or loss.swap:
        return
    same = miner.distance in (None, loss.distance)
    if same and (miner.margin or loss.margin) >= loss.margin:
        raise RequestError(
            f"miner.kind: easy keeps only triplets that satisfy the loss's margin of {loss.margin:g}, so the "
            "loss is always 0. Take the miner semihard or all, or set loss.smooth to true."
        )


def _keeps_all(miner: Settings) -> bool:
    return isinstance(miner, All) and miner.margin is None


def _kind(settings: Settings) -> str:
    return str(getattr(settings, "kind", type(settings).__name__))
