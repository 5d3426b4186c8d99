"""Kinds that exclude each other: relations, samplers, miners and losses that cannot work together."""

from nearfield.core.errors import RequestError
from nearfield.learning.losses.library import NEEDS_LABELS, all_pair_kinds, needs_classes
from nearfield.learning.losses.settings import BaseLossSettings, pair_kinds
from nearfield.learning.miners.base import BaseMinerSettings
from nearfield.learning.relations.base import BaseRelationSettings
from nearfield.learning.samplers.base import BaseSamplerSettings, clip_samplers

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
