"""Clips heard together: who meets whom, what a relation says of them, and what refuses them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import BatchIndices, MixPartner, Pairs
from nearfield.learning import distributed as together
from nearfield.learning.build import loss, miner, relation
from nearfield.learning.checks import check
from nearfield.learning.losses import LossSettings
from nearfield.learning.miners import MinerSettings
from nearfield.learning.miners.base import BaseMinerSettings
from nearfield.learning.samplers import SamplerSettings
from nearfield.training.validation import FixedLoss
from tests.learning.test_samplers import CLIP, built, facts_of

SHUFFLE = {"kind": "shuffle", "batch_size": 16, "mixing": {"share": 0.7, "decibels": [-3, 9]}}


def test_everyone_meets_another_of_its_batch_once_at_most() -> None:
    metadata = facts_of(100)
    sampler = built(SHUFFLE, metadata)
    alone, decibels = [], []
    for number in range(40):
        for indices in sampler.epoch(number):
            partner = indices.partner
            mixed = partner.rows >= 0
            assert set(partner.rows[mixed]) <= set(indices.rows)
            assert len(set(partner.rows[mixed])) == mixed.sum()
            assert not (partner.rows == indices.rows).any()
            latest = np.maximum(metadata.seconds[partner.rows[mixed]] - CLIP, 0)
            assert ((partner.starts[mixed] >= 0) & (partner.starts[mixed] <= latest)).all()
            alone += (~mixed).tolist()
            decibels += partner.decibels.tolist()
    assert abs(np.mean(alone) - 0.3) < 4 * (0.3 * 0.7 / len(alone)) ** 0.5
    assert kstest(decibels, "uniform", (-3, 12)).pvalue > 1e-4


def test_an_epoch_comes_again_and_mixing_changes_no_clip_of_it() -> None:
    metadata = facts_of(50)
    first, again = (list(built(SHUFFLE, metadata).epoch(3)) for _ in range(2))
    plain = list(built({"kind": "shuffle", "batch_size": 16}, metadata).epoch(3))
    for one, other, unmixed in zip(first, again, plain, strict=True):
        np.testing.assert_array_equal(one.partner.rows, other.partner.rows)
        np.testing.assert_array_equal(one.partner.decibels, other.partner.decibels)
        np.testing.assert_array_equal(np.sort(one.rows), np.sort(other.rows))
        assert unmixed.partner is None
    rows = np.concatenate([indices.rows for indices in first])
    np.testing.assert_array_equal(np.sort(rows), np.arange(50))


@pytest.mark.parametrize("negative", ["none_shared", "not_alike"])
@pytest.mark.parametrize("jaccard", [None, 0.4])
def test_mixtures_have_the_tags_of_both_as_sets_say(negative: str, jaccard: float | None) -> None:
    metadata = facts_of(60, tags=5)
    given = partial(relation("tags", negatives=negative, jaccard=jaccard, pair_weight="jaccard"), metadata)
    names = [frozenset(np.flatnonzero(row).tolist()) for row in metadata.tags]
    seen = 0
    for indices in built(SHUFFLE, metadata).epoch(0):
        pairs = given(indices)
        items = [(int(row),) + ((int(other),) if other >= 0 else ())
                 for row, other in zip(indices.rows, indices.partner.rows, strict=True)]  # fmt: skip
        heard = [frozenset().union(*(names[clip] for clip in clips)) if all(names[clip] for clip in clips)
                 else frozenset() for clips in items]  # fmt: skip
        for a, mine in enumerate(heard):
            for b, theirs in enumerate(heard):
                overlap = len(mine & theirs) / max(1, len(mine | theirs))
                positive = a != b and bool(mine & theirs) and overlap >= (jaccard or 0)
                apart = not mine & theirs if negative == "none_shared" else not positive
                apart = apart and bool(mine) and bool(theirs) and not set(items[a]) & set(items[b])
                assert bool(pairs.positive[a, b]) == positive
                assert bool(pairs.negative[a, b]) == apart
                assert pairs.weight is not None
                assert float(pairs.weight[a, b]) == pytest.approx(overlap if positive else 0)
                seen += positive
            assert pairs.tags is not None
            told = {tag for tag, value in enumerate(pairs.tags[a].tolist()) if value == 1}
            assert told == mine
            assert bool(pairs.tags[a].isnan().all()) == (not mine)
    assert seen


def test_a_process_gets_its_share_of_what_sounds_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    indices: BatchIndices = next(iter(built(SHUFFLE, facts_of(40)).epoch(0)))
    shares = []
    for rank in range(3):
        monkeypatch.setattr(together, "world", lambda rank=rank: (rank, 3))
        shares.append(together.own(indices))
    for name in ("rows", "starts", "decibels"):
        joined = np.concatenate([getattr(each.partner, name) for each in shares])
        np.testing.assert_array_equal(joined, getattr(indices.partner, name))
    assert [len(each) for each in shares] == [5, 6, 5]


def test_a_fixed_loss_is_taken_over_clips_alone() -> None:
    metadata = facts_of(60)
    vectors = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)).numpy()

    def measured(settings: dict[str, object]) -> dict[str, float]:
        sampler = built(
            {**settings, "batch_size": 60}, metadata
        )  # all in one batch: the order is of no matter
        given = relation("tags").settings.build(metadata)
        return FixedLoss(sampler, given, miner("all"), loss("supcon"), 1).measure(vectors)

    assert measured(SHUFFLE) == pytest.approx(measured({"kind": "shuffle"}), rel=1e-5)


@pytest.mark.parametrize("kind", ["labels", "time", "views"])
def test_only_tags_can_say_what_a_mixture_is(kind: str) -> None:
    sampler = make(SamplerSettings, "sampler", SHUFFLE)
    supcon = make(LossSettings, "loss", {"kind": "supcon"})
    check(relation("tags").settings, make_all(), supcon, sampler=sampler)
    if kind != "views":  # of which plain batches hold no two of a clip
        check(
            relation(kind).settings,
            make_all(),
            supcon,
            sampler=make(SamplerSettings, "sampler", {"kind": "shuffle"}),
        )
    with pytest.raises(RequestError, match=rf"sampler.mixing: .*{kind}.*relation.kind to tags.*mix"):
        check(relation(kind).settings, make_all(), supcon, sampler=sampler)


@pytest.mark.parametrize("decibels", [[6, -6], [-40, 0], [0, 31]])
def test_levels_must_stand_in_order_and_in_reach(decibels: list[float]) -> None:
    with pytest.raises(RequestError, match=r"decibels must be two numbers from -30 to 30"):
        make(SamplerSettings, "sampler", {"kind": "shuffle", "mixing": {"decibels": decibels}})


def test_without_anything_beside_a_relation_says_what_it_said() -> None:
    metadata = facts_of(30)
    indices = BatchIndices(np.arange(12), np.zeros(12))
    none = MixPartner(np.full(12, -1), np.zeros(12), np.zeros(12))
    given = partial(relation("tags", negatives="not_alike", jaccard=0.3), metadata)
    plain, mixed = given(indices), given(replace(indices, partner=none))
    assert equal(plain, mixed)


def equal(one: Pairs, other: Pairs) -> bool:
    assert one.tags is not None
    assert other.tags is not None
    return (
        torch.equal(one.positive, other.positive)
        and torch.equal(one.negative, other.negative)
        and torch.equal(one.tags.nan_to_num(2), other.tags.nan_to_num(2))
    )


def make_all() -> BaseMinerSettings:
    made: BaseMinerSettings = make(MinerSettings, "miner", {"kind": "all"})
    return made
