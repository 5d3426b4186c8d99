"""Recipes that cannot work: kinds that exclude each other, margins that no embedding can satisfy."""

import math

from nearfield.core.errors import RequestError
from nearfield.core.types import Distance
from nearfield.learning.losses.library import NEEDS_LABELS, all_pair_kinds, needs_classes
from nearfield.learning.losses.settings import BaseLossSettings, Margin, pair_kinds
from nearfield.learning.miners.base import BaseMinerSettings
from nearfield.learning.relations.base import BaseRelationSettings
from nearfield.learning.samplers.base import BaseSamplerSettings, clip_samplers

# What vectors of unit length can satisfy at all: margins beyond the geometry are found before training.
#
# On the unit sphere Euclidean distances end at 2, squared ones at 4, cosine distances (1 - cos) at 2,
# whatever is learnt. Only two points can be that far apart: many classes keep at most the square root of 2,
# 2 and 1 from each other all at once, C classes C / (C - 1) times as much in square and cosine (the corners
# of a simplex).

SPANS: dict[Distance, float] = {"euclidean": 2.0, "squared_euclidean": 4.0, "cosine": 2.0}
"""The largest distance of two vectors of unit length."""

_WORDS = {"euclidean": "Euclidean", "squared_euclidean": "squared Euclidean", "cosine": "cosine"}


def check_margin(loss: BaseLossSettings, normalized: bool, classes: int = 0) -> str | None:
    """A warning in words, or None where the settings of `loss` ask for something that can be had.

    `normalized`: whether vectors have unit length; without it only losses over cosines can be judged.
    `classes` (0: not known) is how many must keep their distance from each other. Raises RequestError where
    nothing could ever satisfy a margin, unless the settings have `allow_impossible_margin`.
    """
    warnings: list[str] = []
    for margin in loss.margins():
        if not (normalized or margin.unit_length or margin.distance == "cosine"):
            continue
        impossible = _impossible(margin)
        if impossible and not margin.allows_impossible:
            raise RequestError(impossible + _way_out(margin))
        crowded = None if impossible else _crowded(margin, classes)
        warnings += [found for found in (impossible, crowded) if found]
    return " ".join(warnings) or None


def max_separation(distance: Distance, classes: int) -> float:
    """How far so many classes (2 or more) can keep from each other on the unit sphere, all at once.

    In enough dimensions (classes - 1).
    """
    squared = 2 * classes / (classes - 1)
    return {"squared_euclidean": squared, "euclidean": math.sqrt(squared), "cosine": squared / 2}[distance]


def _impossible(margin: Margin) -> str | None:
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


def _crowded(margin: Margin, classes: int) -> str | None:
    if margin.sort != "apart" or classes < 2 or margin.value < max_separation(margin.distance, classes):
        return None
    return (
        f"loss.{margin.key}: {margin.value:g} is more than {classes} classes can keep from each other on the "
        f"unit sphere all at once ({max_separation(margin.distance, classes):.3g} in "
        f"{_WORDS[margin.distance]} distance): the loss cannot come to rest."
    )


def _way_out(margin: Margin) -> str:
    if margin.allows_impossible is None:
        return ""
    return " To train all the same, as in repeating a study, set loss.allow_impossible_margin to true."


# What cannot be combined, told when the recipe is read: the reason and what to take in its place.


def check(
    relation: BaseRelationSettings,
    miner: BaseMinerSettings,
    loss: BaseLossSettings,
    normalized: bool = True,
    sampler: BaseSamplerSettings | None = None,
) -> None:
    """Raises RequestError where relation, miner, loss and (if given) sampler cannot work together.

    `normalized`: whether the vectors have unit length.
    """
    _labels(relation, loss)
    _tags(relation, miner, loss)
    _own_pairs(sampler, loss)
    _mixtures(relation, sampler)
    _positives(relation, sampler, loss)
    _mined_labels(miner, loss)
    _unit_length(miner, loss, normalized)
    _nothing_left(miner, loss)


def _labels(relation: BaseRelationSettings, loss: BaseLossSettings) -> None:
    if "labels" not in loss.needs or "labels" in relation.gives:
        return
    what = "keeps weights for each class" if "classes" in loss.needs else "compares labels"
    raise RequestError(
        f"loss.kind: {loss.kind} {what}, so every item needs exactly one label, and the relation "
        f"{relation.kind!r} gives none. Set relation.kind to labels, or take a loss that works from pairs "
        f"alone: {', '.join(all_pair_kinds())}."
    )


def _tags(relation: BaseRelationSettings, miner: BaseMinerSettings, loss: BaseLossSettings) -> None:
    if "tags" not in loss.needs:
        return
    if "tags" not in relation.gives:
        raise RequestError(
            f"loss.kind: {loss.kind} reads the tags of each clip, and the relation {relation.kind!r} gives "
            "none. Set relation.kind to tags, or take a loss that works from pairs alone: "
            f"{', '.join(pair_kinds())}."
        )
    if not miner.keeps_all:
        raise RequestError(
            f"miner.kind: {loss.kind} reads the tags of each clip and no pairs, so the miner "
            f"{miner.kind!r} would do nothing. Set miner to {{kind: all}}, or take a loss over pairs: "
            f"{', '.join(pair_kinds())}."
        )


def _own_pairs(sampler: BaseSamplerSettings | None, loss: BaseLossSettings) -> None:
    wanted = {"labels", "tags"} & loss.needs
    if sampler is None or not wanted or not sampler.sets_pairs:
        return
    raise RequestError(
        f"sampler.kind: {sampler.kind} says itself who is alike, so that the relation is not asked, and "
        f"{loss.kind} needs the {wanted.pop()} that the relation would give. Take another sampler "
        f"({clip_samplers()}), or a loss that works from pairs alone: {', '.join(pair_kinds())}."
    )


def _positives(
    relation: BaseRelationSettings, sampler: BaseSamplerSettings | None, loss: BaseLossSettings
) -> None:
    """Refuses batches in which no two clips can be alike."""
    if sampler is None or not loss.needs_positives:
        return
    why = sampler.without_positives("labels") if "labels" in relation.gives else None
    if why is not None:
        with_classes = ", ".join(name for name in sorted(NEEDS_LABELS) if needs_classes(name))
        raise RequestError(
            f"{why}, and {loss.kind} pulls alike ones together. Take 2 or more of each label, or a loss that "
            f"keeps weights for each class: {with_classes}."
        )
    why = sampler.without_positives("views") if relation.of_views else None
    if why is not None:
        raise RequestError(
            f"{why}, so that the relation {relation.kind!r} finds no two alike, and {loss.kind} pulls alike "
            "ones together. Set sampler.kind to views; or relation.kind to labels, tags or time."
        )


def _mixtures(relation: BaseRelationSettings, sampler: BaseSamplerSettings | None) -> None:
    if sampler is None or not sampler.mixes or "tags" in relation.gives:
        return
    raise RequestError(
        f"sampler.mixing: two clips heard together have the tags of both, and the relation {relation.kind!r} "
        "cannot say what they are. Set relation.kind to tags, or sampler.mixing to null; for a quiet "
        "background that leaves a clip what it is, take the augmentation mix."
    )


def _mined_labels(miner: BaseMinerSettings, loss: BaseLossSettings) -> None:
    if not loss.takes_mined and not miner.keeps_all:
        raise RequestError(
            f"miner.kind: {loss.kind} reads labels alone and cannot leave out pairs, so the miner "
            f"{miner.kind!r} would do nothing. Set miner to {{kind: all}}, or take another loss: "
            f"{', '.join(pair_kinds())}."
        )


def _unit_length(miner: BaseMinerSettings, loss: BaseLossSettings, normalized: bool) -> None:
    if normalized:
        return
    if miner.needs_unit_length:
        raise RequestError(
            f"miner.kind: {miner.kind} draws by the distances of vectors of unit length, and "
            "embedding.normalize is false. Set it to true, or take the miner multi_similarity or semihard."
        )
    kept = miner.triplet_range(loss.distance or "euclidean")
    if kept is None or not loss.reads_triplet_range:
        return
    if (kept.distance == "cosine") != (loss.distance == "cosine"):
        raise RequestError(
            f"miner.distance: {kept.distance} and the loss's {loss.distance} agree only for vectors of unit "
            "length, and embedding.normalize is false. Set it to true, or leave out miner.distance."
        )


def _nothing_left(miner: BaseMinerSettings, loss: BaseLossSettings) -> None:
    if loss.satisfied_gap is None or loss.distance is None or loss.triplet_margin is None:
        return
    kept = miner.triplet_range(loss.distance, loss.triplet_margin)
    if kept is None or kept.low is None or kept.distance != loss.distance or kept.low < loss.satisfied_gap:
        return
    raise RequestError(
        f"miner.kind: {miner.kind} keeps only triplets that satisfy the loss's margin of "
        f"{loss.triplet_margin:g}, so the loss is always 0. Take the miner semihard or all, or a loss that "
        "satisfied triplets pull too (triplet with smooth: true)."
    )
