"""Checks of combinations of relation, sampler, miner and loss."""

from nearfield.core.errors import RequestError
from nearfield.learning.losses.library import NEEDS_LABELS, all_pair_kinds, needs_classes
from nearfield.learning.losses.settings import BaseLossSettings, pair_kinds
from nearfield.learning.miners.base import BaseMinerSettings
from nearfield.learning.relations.base import BaseRelationSettings
from nearfield.learning.samplers.base import BaseSamplerSettings, clip_samplers


def check(
    relation: BaseRelationSettings,
    miner: BaseMinerSettings,
    loss: BaseLossSettings,
    normalized: bool = True,
    sampler: BaseSamplerSettings | None = None,
) -> None:
    """Checks a combination when the recipe is read.

    Parameters
    ----------
    relation, miner, loss, sampler
        The settings; without a sampler, only the others are checked.
    normalized
        Whether the vectors have unit length.

    Raises
    ------
    RequestError
        If they cannot be combined; the message names the reason and alternatives.
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
    what = "has weights for each class" if "classes" in loss.needs else "compares labels"
    raise RequestError(
        f"loss.kind: {loss.kind} {what}, so every item needs exactly one label, but the relation "
        f"{relation.kind!r} gives none. Set relation.kind to labels, or use a loss that needs only pairs: "
        f"{', '.join(all_pair_kinds())}."
    )


def _tags(relation: BaseRelationSettings, miner: BaseMinerSettings, loss: BaseLossSettings) -> None:
    if "tags" not in loss.needs:
        return
    if "tags" not in relation.gives:
        raise RequestError(
            f"loss.kind: {loss.kind} needs the tags of each clip, but the relation {relation.kind!r} gives "
            "none. Set relation.kind to tags, or use a loss that needs only pairs: "
            f"{', '.join(pair_kinds())}."
        )
    if not miner.keeps_all:
        raise RequestError(
            f"miner.kind: {loss.kind} uses the tags of each clip and no pairs, so the miner "
            f"{miner.kind!r} has no effect. Set miner to {{kind: all}}, or use a loss over pairs: "
            f"{', '.join(pair_kinds())}."
        )


def _own_pairs(sampler: BaseSamplerSettings | None, loss: BaseLossSettings) -> None:
    wanted = {"labels", "tags"} & loss.needs
    if sampler is None or not wanted or not sampler.sets_pairs:
        return
    raise RequestError(
        f"sampler.kind: {sampler.kind} sets the pairs itself, so the relation is not used, but {loss.kind} "
        f"needs the {wanted.pop()} of the relation. Use another sampler ({clip_samplers()}), or a loss that "
        f"needs only pairs: {', '.join(pair_kinds())}."
    )


def _positives(
    relation: BaseRelationSettings, sampler: BaseSamplerSettings | None, loss: BaseLossSettings
) -> None:
    """Raises RequestError if batches cannot contain positives."""
    if sampler is None or not loss.needs_positives:
        return
    why = sampler.without_positives("labels") if "labels" in relation.gives else None
    if why is not None:
        with_classes = ", ".join(name for name in sorted(NEEDS_LABELS) if needs_classes(name))
        raise RequestError(
            f"{why}, but {loss.kind} needs positives. Use 2 or more clips of each label, or a loss with "
            f"weights for each class: {with_classes}."
        )
    why = sampler.without_positives("views") if relation.of_views else None
    if why is not None:
        raise RequestError(
            f"{why}, so the relation {relation.kind!r} finds no positives, but {loss.kind} needs them. Set "
            "sampler.kind to views, or relation.kind to labels, tags or time."
        )


def _mixtures(relation: BaseRelationSettings, sampler: BaseSamplerSettings | None) -> None:
    if sampler is None or not sampler.mixes or "tags" in relation.gives:
        return
    raise RequestError(
        f"sampler.mixing: a mixture has the tags of both clips, and the relation {relation.kind!r} does not "
        "support mixtures. Set relation.kind to tags, or sampler.mixing to null. To add a quiet background "
        "that does not change the labels, use the augmentation mix."
    )


def _mined_labels(miner: BaseMinerSettings, loss: BaseLossSettings) -> None:
    if not loss.takes_mined and not miner.keeps_all:
        raise RequestError(
            f"miner.kind: {loss.kind} uses labels only and cannot leave out pairs, so the miner "
            f"{miner.kind!r} has no effect. Set miner to {{kind: all}}, or use another loss: "
            f"{', '.join(pair_kinds())}."
        )


def _unit_length(miner: BaseMinerSettings, loss: BaseLossSettings, normalized: bool) -> None:
    if normalized:
        return
    if miner.needs_unit_length:
        raise RequestError(
            f"miner.kind: {miner.kind} requires vectors of unit length, but embedding.normalize is false. "
            "Set it to true, or use the miner multi_similarity or semihard."
        )
    kept = miner.triplet_range(loss.distance or "euclidean")
    if kept is None or not loss.reads_triplet_range:
        return
    if (kept.distance == "cosine") != (loss.distance == "cosine"):
        raise RequestError(
            f"miner.distance: {kept.distance} and loss.distance {loss.distance} agree only for vectors of "
            "unit length, but embedding.normalize is false. Set it to true, or leave out miner.distance."
        )


def _nothing_left(miner: BaseMinerSettings, loss: BaseLossSettings) -> None:
    if loss.satisfied_gap is None or loss.distance is None or loss.triplet_margin is None:
        return
    kept = miner.triplet_range(loss.distance, loss.triplet_margin)
    if kept is None or kept.low is None or kept.distance != loss.distance or kept.low < loss.satisfied_gap:
        return
    raise RequestError(
        f"miner.kind: {miner.kind} keeps only triplets that satisfy the margin of the loss, "
        f"{loss.triplet_margin:g}, so the loss is always 0. Use the miner semihard or all, or a loss that "
        "is above 0 for these triplets (triplet with smooth: true)."
    )
