"""What cannot be combined is refused with the reason and what to take instead; all else is let through."""

import itertools
from typing import Any

import pytest
import torch

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.core.types import Pairs
from nearfield.learning import checks
from nearfield.learning.build import miner_beside
from nearfield.learning.build import relation as relate
from nearfield.learning.losses import LossSettings
from nearfield.learning.losses.library import NEEDS_LABELS, READS, all_pair_kinds
from nearfield.learning.losses.settings import LOSSES as FAMILY
from nearfield.learning.losses.settings import pair_kinds
from nearfield.learning.miners import MinerSettings
from nearfield.learning.samplers import SamplerSettings
from nearfield.learning.samplers.base import clip_samplers

RELATIONS = ("labels", "tags", "time", "views")
LOSSES: list[dict[str, Any]] = [
    *({"kind": kind} for kind in kinds(LossSettings)),
    *({"kind": kind} for kind in READS if kind != "RankedListLoss"),
    {"kind": "RankedListLoss", "margin": 0.4, "Tn": 1},
]


def lose(**given: Any) -> Any:
    return make(LossSettings, "loss", given)


def mine(**given: Any) -> Any:
    return make(MinerSettings, "miner", given)


def check(relation: str, miner: Any, loss: Any, normalized: bool = True, sampler: Any = None) -> None:
    checks.check(relate(relation).settings, miner, loss, normalized, sampler)


def test_what_is_let_through_runs_and_what_is_refused_says_why() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(12, 6, generator=torch.Generator().manual_seed(0)))
    labelled = Pairs.from_labels(torch.arange(12) // 3)
    plain = Pairs(labelled.positive, labelled.negative, tags=torch.eye(4)[torch.arange(12) // 3])
    ran = 0
    refused: set[str] = set()
    losses = [lose(**given) for given in LOSSES]
    for relation, kind, loss in itertools.product(("labels", "tags"), kinds(MinerSettings), losses):
        miner = mine(kind=kind)
        try:
            check(relation, miner, loss)
        except RequestError as error:
            refused.add(str(error).partition(":")[0])
            continue
        pairs = miner_beside(miner, loss)(vectors, labelled if relation == "labels" else plain)
        assert torch.isfinite(loss.build(size=6, classes=4)(vectors, pairs))
        ran += 1
    assert ran > 300
    assert refused == {"loss.kind", "miner.kind"}


@pytest.mark.parametrize("relation", RELATIONS[1:])
@pytest.mark.parametrize("kind", sorted(NEEDS_LABELS - {"RankedListLoss"}))
def test_losses_that_need_labels_are_refused_without(relation: str, kind: str) -> None:
    with pytest.raises(RequestError, match=f"loss.kind: {kind} .* the relation '{relation}' gives none"):
        check(relation, mine(kind="all"), lose(kind=kind))


def test_the_refusal_names_reason_and_alternatives() -> None:
    with pytest.raises(RequestError) as caught:
        check("tags", mine(kind="all"), lose(kind="ProxyAnchorLoss"))
    assert str(caught.value) == (
        "loss.kind: ProxyAnchorLoss has weights for each class, so every item needs exactly one label, but "
        "the relation 'tags' gives none. Set relation.kind to labels, or use a loss that needs only pairs: "
        f"{', '.join(all_pair_kinds())}."
    )


def test_a_loss_that_reads_labels_alone_takes_no_miner() -> None:
    check("labels", mine(kind="all"), lose(kind="P2SGradLoss"))
    with pytest.raises(RequestError) as caught:
        check("labels", mine(kind="semihard"), lose(kind="P2SGradLoss"))
    assert str(caught.value) == (
        "miner.kind: P2SGradLoss uses labels only and cannot leave out pairs, so the miner 'semihard' "
        f"has no effect. Set miner to {{kind: all}}, or use another loss: {', '.join(pair_kinds())}."
    )


@pytest.mark.parametrize("kind", [kind for kind, each in FAMILY.kinds().items() if "tags" in each.needs])
def test_tagging_needs_the_tags_and_takes_no_miner(kind: str) -> None:
    check("tags", mine(kind="all"), lose(kind=kind))
    for relation in ("labels", "time", "views"):
        with pytest.raises(RequestError) as caught:
            check(relation, mine(kind="all"), lose(kind=kind))
        assert str(caught.value) == (
            f"loss.kind: {kind} needs the tags of each clip, but the relation {relation!r} gives none. Set "
            f"relation.kind to tags, or use a loss that needs only pairs: {', '.join(pair_kinds())}."
        )
    for miner in [{"kind": name} for name in kinds(MinerSettings) if name != "all"] + [
        {"kind": "all", "margin": 0.2}
    ]:
        with pytest.raises(RequestError, match=r"miner\.kind: .* has no effect\. Set miner to {kind: all}"):
            check("tags", mine(**miner), lose(kind=kind))


def test_samplers_that_set_pairs_give_neither_labels_nor_tags() -> None:
    def sample(**given: Any) -> Any:
        return make(SamplerSettings, "sampler", given)

    triplets, every = sample(kind="tag_triplets"), mine(kind="all")
    check("tags", every, lose(kind="triplet"), sampler=triplets)
    check("tags", every, lose(kind="bce"), sampler=sample(kind="balanced_tags"))
    check("labels", every, lose(kind="ProxyAnchorLoss"), sampler=sample(kind="tiles"))
    with pytest.raises(RequestError) as caught:
        check("tags", every, lose(kind="bce"), sampler=triplets)
    assert str(caught.value) == (
        "sampler.kind: tag_triplets sets the pairs itself, so the relation is not used, but bce needs the "
        f"tags of the relation. Use another sampler ({clip_samplers()}), or a loss that needs only pairs: "
        f"{', '.join(pair_kinds())}."
    )
    with pytest.raises(RequestError, match="ProxyAnchorLoss needs the labels of the relation"):
        check("labels", every, lose(kind="ProxyAnchorLoss"), sampler=sample(kind="tiles", mode="triplet"))


SINGLE = {"kind": "balanced", "per_class": 1}
TWICE_NEVER = [SINGLE, {"kind": "shuffle"}, {"kind": "balanced_tags"}]


@pytest.mark.parametrize(
    ("relation", "settings"), [("labels", SINGLE), *(("views", settings) for settings in TWICE_NEVER)]
)
def test_batches_in_which_no_two_clips_are_alike_are_refused(relation: str, settings: dict[str, Any]) -> None:
    sampler, refused = make(SamplerSettings, "sampler", settings), set()
    for loss in (lose(**given) for given in LOSSES):
        if (relation != "labels" and loss.needs) or "tags" in loss.needs:
            continue
        check(relation, mine(kind="all"), loss)
        try:
            check(relation, mine(kind="all"), loss, True, sampler)
        except RequestError:
            refused.add(loss.kind)
        else:
            assert "classes" in loss.needs or loss.kind == "InstanceLoss"
    assert refused >= {"triplet", "circle", "supcon", "nt_xent", "contrastive", "multi_similarity"}


@pytest.mark.parametrize(("relation", "per_class"), [("labels", 2), ("tags", 1), ("time", 1), ("views", 2)])
def test_batches_in_which_two_clips_may_be_alike_are_not(relation: str, per_class: int) -> None:
    sampler = make(SamplerSettings, "sampler", {"kind": "balanced", "per_class": per_class})
    check(relation, mine(kind="all"), lose(kind="supcon"), True, sampler)


def test_the_refusal_of_one_clip_a_label_says_what_is_allowed() -> None:
    sampler = make(SamplerSettings, "sampler", {"kind": "balanced", "per_class": 1})
    with pytest.raises(RequestError) as error:
        check("labels", mine(kind="all"), lose(kind="supcon"), True, sampler)
    assert str(error.value) == (
        "sampler.per_class: batches with 1 clip of each label contain no positives, but supcon needs "
        "positives. Use 2 or more clips of each label, or a loss with weights for each class: ArcFaceLoss, "
        "CosFaceLoss, LargeMarginSoftmaxLoss, NormalizedSoftmaxLoss, P2SGradLoss, "
        "ProxyAnchorLoss, ProxyNCALoss, SoftTripleLoss, SphereFaceLoss, SubCenterArcFaceLoss."
    )


def test_distances_that_agree_only_on_the_sphere() -> None:
    cosine, euclidean = mine(kind="semihard", distance="cosine"), lose(kind="triplet")
    check("labels", cosine, euclidean, normalized=True)
    check("labels", cosine, lose(kind="triplet", distance="cosine"), normalized=False)
    check("labels", cosine, lose(kind="circle"), normalized=False)
    check("labels", mine(kind="semihard"), euclidean, normalized=False)
    check("labels", mine(kind="hard", distance="squared_euclidean"), euclidean, normalized=False)
    with pytest.raises(RequestError, match=r"miner\.distance: cosine and loss.distance euclidean agree only"):
        check("labels", cosine, euclidean, normalized=False)
    with pytest.raises(RequestError, match="distance_weighted requires vectors of unit length"):
        check("labels", mine(kind="distance_weighted"), euclidean, normalized=False)


def test_easy_triplets_leave_the_hinge_nothing() -> None:
    with pytest.raises(RequestError, match="the loss is always 0"):
        check("labels", mine(kind="easy"), lose(kind="triplet"))
    check("labels", mine(kind="easy", margin=0.1), lose(kind="triplet", margin=0.2))
    check("labels", mine(kind="easy"), lose(kind="triplet", smooth=True))
    check("labels", mine(kind="easy"), lose(kind="circle"))
