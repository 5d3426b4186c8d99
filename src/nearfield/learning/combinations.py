"""What cannot be combined, told when the recipe is read: the reason and what to take in its place."""

from nearfield.core.errors import RequestError
from nearfield.core.settings import Settings
from nearfield.learning.losses.base import OWN_KINDS
from nearfield.learning.losses.library import Library, needs_classes
from nearfield.learning.losses.library_loss import NEEDS_LABELS, PAIRS_ALONE
from nearfield.learning.losses.triplet import Triplet
from nearfield.learning.miners.distance_weighted import DistanceWeighted
from nearfield.learning.miners.triplets import All, Easy, Hard, Semihard
from nearfield.learning.samplers import sets_pairs
from nearfield.learning.samplers.balanced import Balanced
from nearfield.learning.samplers.balanced_tags import BalancedTags
from nearfield.learning.samplers.shuffle import Shuffle


def check(
    relation_kind: str,
    miner: Settings,
    loss: Settings,
    normalised: bool = True,
    sampler: Settings | None = None,
) -> None:
    """Raises RequestError where relation, miner, loss and (if given) sampler cannot work together.

    `normalised`: whether the vectors have unit length.
    """
    _labels(relation_kind, loss)
    _tags(relation_kind, miner, loss)
    _own_pairs(sampler, loss)
    _mixtures(relation_kind, sampler)
    _alike(relation_kind, sampler, loss)
    _mined_labels(miner, loss)
    _unit_length(miner, loss, normalised)
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


def _unit_length(miner: Settings, loss: Settings, normalised: bool) -> None:
    if normalised:
        return
    if isinstance(miner, DistanceWeighted):
        raise RequestError(
            "miner.kind: distance_weighted draws by the distances of vectors of unit length, and "
            "embedding.normalise is false. Set it to true, or take the miner multi_similarity or semihard."
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
            "and embedding.normalise is false. Set it to true, or leave out miner.distance."
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
