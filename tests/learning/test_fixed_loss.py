"""The loss over fixed batches, mined and not: the same as taking each batch by hand, and no trace left."""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses, miners
from torch.nn.functional import normalize

from nearfield.core.rng import torch_stream
from nearfield.core.settings import make
from nearfield.core.types import ClipMetadata, Ints
from nearfield.learning.build import miner_beside, relation
from nearfield.learning.losses import LossSettings
from nearfield.learning.miners import MinerSettings
from nearfield.learning.samplers import Sampler, SamplerSettings
from nearfield.training.validation import FixedLoss, fixed_loss

COUNT = 90
LABELS = np.arange(COUNT) % 6
FACTS = ClipMetadata(
    labels=LABELS,
    label_names=tuple("abcdef"),
    tags=np.eye(6, dtype=bool)[LABELS],
    tag_names=tuple("abcdef"),
    recordings=np.arange(COUNT),
    groups=np.arange(COUNT),
    start_times=np.zeros(COUNT),
    seconds=np.zeros(COUNT),
)


def vectors_of(noise: float = 1.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 8, generator=rng)
    return normalize(centres[torch.from_numpy(LABELS)] + noise * torch.randn(COUNT, 8, generator=rng))


def sampler_of(rows: Ints | None = None, seed: int = 0, **given: Any) -> Sampler:
    chosen = given or {"kind": "balanced", "classes": 4, "per_class": 3}
    sampler: Sampler = make(SamplerSettings, "sampler", chosen).build(
        FACTS, np.arange(COUNT) if rows is None else rows, 1.0, seed
    )
    return sampler


def fixed(loss: dict[str, Any], miner: dict[str, Any], related: str = "labels", **sampler: Any) -> FixedLoss:
    lose = make(LossSettings, "loss", loss)
    mine = miner_beside(make(MinerSettings, "miner", miner), lose)
    return FixedLoss(
        sampler_of(**sampler), relation(related).settings.build(FACTS), mine, lose.build(8, 6), batches=9
    )


def test_the_numbers_are_those_of_the_peers_over_each_batch() -> None:
    vectors = vectors_of()
    measured = fixed({"kind": "triplet", "margin": 0.2}, {"kind": "semihard"}).measure(vectors.numpy())
    draws = [indices for number in range(3) for indices in sampler_of().epoch(number)][:9]
    peer, miner = losses.TripletMarginLoss(0.2), miners.TripletMarginMiner(0.2, type_of_triplets="semihard")
    mined, unmined = [], []
    for indices in draws:
        given, labels = vectors[indices.rows], torch.from_numpy(LABELS[indices.rows])
        unmined.append(peer(given, labels).item())
        mined.append(peer(given, labels, miner(given, labels)).item())
    assert measured == {
        "mined": pytest.approx(np.mean(mined), rel=1e-5),
        "unmined": pytest.approx(np.mean(unmined), rel=1e-5),
    }


@pytest.mark.parametrize(
    ("loss", "miner", "kind", "sampler"),
    [
        ({"kind": "triplet"}, {"kind": "batch_hard"}, "labels", {}),
        ({"kind": "triplet"}, {"kind": "distance_weighted"}, "labels", {}),
        ({"kind": "circle"}, {"kind": "multi_similarity"}, "labels", {}),
        (
            {"kind": "contrastive"},
            {"kind": "pair_margin"},
            "tags",
            {"kind": "balanced_tags", "batch_size": 12},
        ),
        ({"kind": "triplet"}, {"kind": "hard"}, "tags", {"kind": "tag_triplets", "batch_size": 8}),
        ({"kind": "bce"}, {"kind": "all"}, "tags", {"kind": "shuffle"}),
        ({"kind": "ProxyAnchorLoss"}, {"kind": "all"}, "labels", {}),
        ({"kind": "DynamicSoftMarginLoss"}, {"kind": "all"}, "labels", {}),
    ],
    ids=str,
)
def test_any_loss_any_miner_the_same_each_time_and_no_trace(
    loss: dict[str, Any], miner: dict[str, Any], kind: str, sampler: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    measuring = fixed(loss, miner, kind, **sampler)
    before = {name: value.clone() for name, value in measuring.loss.state_dict().items()}
    vectors = vectors_of().requires_grad_()
    first = measuring.measure(vectors)
    assert measuring.measure(vectors) == first
    assert all(torch.equal(value, before[name]) for name, value in measuring.loss.state_dict().items())
    assert vectors.grad is None
    assert all(np.isfinite(list(first.values())))
    if miner["kind"] == "all":
        assert first["mined"] == first["unmined"]
    if miner["kind"] in ("batch_hard", "hard"):
        assert first["mined"] > first["unmined"]
    assert measuring.measure(vectors_of(0.5)) != first


def test_only_clips_of_the_rows_count() -> None:
    rows = np.arange(30, 60)
    measuring = FixedLoss(
        sampler_of(rows),
        relation("labels").settings.build(FACTS),
        miner_beside(
            make(MinerSettings, "miner", {"kind": "all"}), make(LossSettings, "loss", {"kind": "triplet"})
        ),
        make(LossSettings, "loss", {"kind": "triplet"}).build(),
        batches=4,
    )
    vectors = vectors_of()
    elsewhere = vectors.clone()
    elsewhere[:30] = elsewhere[60:] = torch.nan
    assert measuring.measure(elsewhere) == measuring.measure(vectors)
    assert len(measuring.draws) == 4


def test_one_batch_is_mined_by_the_generator_given() -> None:
    vectors = vectors_of()
    indices = next(iter(sampler_of().epoch(0)))
    pairs = relation("labels")(FACTS, indices)
    lose = make(LossSettings, "loss", {"kind": "contrastive", "neg_margin": 1.5})
    mine = miner_beside(make(MinerSettings, "miner", {"kind": "distance_weighted"}), lose)
    loss, given = lose.build(), vectors[indices.rows]
    found = [fixed_loss(given, pairs, loss, mine, torch_stream(0, "a", n)) for n in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0]["mined"] != found[2]["mined"]
    assert found[0]["unmined"] == found[2]["unmined"] == pytest.approx(loss(given, pairs).item())
    kept = mine(given, pairs, generator=torch_stream(0, "a", 1))
    assert found[0]["mined"] == pytest.approx(loss(given, kept).item())
