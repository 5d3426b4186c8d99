"""Batches balanced over tags: what they promise, for clips with several tags."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nearfield.core.errors import DataError, RequestError
from nearfield.core.settings import make
from nearfield.core.types import Facts
from nearfield.learning.samplers import SamplerSettings
from nearfield.learning.samplers.balanced import BalancedTagSampler
from tests.learning.test_tag_rules import facts_of


def built(facts: Facts, seed: int = 3, **given_settings: Any) -> BalancedTagSampler:
    made = make(SamplerSettings, "sampler", {"kind": "balanced_tags", **given_settings})
    sampler: BalancedTagSampler = made.build(facts, np.arange(len(facts)), 2.0, seed)
    return sampler


def skewed(count: int, seed: int) -> Facts:
    """Tags from common (half of the clips) to rare (a fiftieth); some clips have none."""
    chance = np.random.default_rng(seed)
    return facts_of(chance.random((count, 6)) < np.array([0.5, 0.4, 0.2, 0.1, 0.05, 0.02]), None)


@given(
    count=st.integers(8, 80), seed=st.integers(0, 10_000), size=st.integers(2, 20), per_tag=st.integers(1, 5)
)
@settings(max_examples=60, deadline=None)
def test_no_clip_is_twice_in_a_batch_and_batches_are_full(
    count: int, seed: int, size: int, per_tag: int
) -> None:
    facts = skewed(count, seed)
    tagged = int(facts.tags.any(axis=1).sum())
    assume(tagged >= size)
    sampler = built(facts, batch_size=size, per_tag=per_tag)
    draws = list(sampler.epoch(seed))
    for draw in draws:
        assert len(set(draw.rows.tolist())) == len(draw) == size
        assert facts.tags[draw.rows].any(axis=1).all()
    drawn = size * len(draws)
    assert tagged <= drawn == sampler.clips_per_epoch < tagged + size
    assert sampler.untagged == count - tagged
    assert sampler.dropped == tuple(f"tag {tag}" for tag in range(6) if not facts.tags[:, tag].any())


def test_the_batch_of_all_clips_is_all_clips() -> None:
    facts = skewed(40, 0)
    tagged = np.flatnonzero(facts.tags.any(axis=1))
    draws = list(built(facts, batch_size=len(tagged), per_tag=3).epoch(0))
    assert [sorted(draw.rows.tolist()) for draw in draws] == [tagged.tolist()]


def test_tags_have_equal_turns_where_every_clip_has_one() -> None:
    """With one tag a clip it is a balanced sampler: so many of each in a batch, each clip evenly visited."""
    owner = np.repeat(np.arange(4), [40, 20, 12, 8])
    facts = facts_of(np.eye(4, dtype=bool)[owner], None)
    sampler = built(facts, batch_size=8, per_tag=2)
    seen = np.zeros(80, dtype=int)
    for number in range(40):
        epoch = np.zeros(80, dtype=int)
        for draw in sampler.epoch(number):
            assert Counter(owner[draw.rows].tolist()) == {0: 2, 1: 2, 2: 2, 3: 2}
            pairs = owner[draw.rows].reshape(-1, 2)
            assert (pairs[:, 0] == pairs[:, 1]).all()  # those of one tag stand together
            epoch[draw.rows] += 1
        assert epoch.sum() == 80
        for tag in range(4):
            assert np.ptp(epoch[owner == tag]) <= 1
        seen += epoch
    for tag in range(4):
        assert chisquare(seen[owner == tag]).pvalue > 1e-4


def test_a_clip_of_a_rare_and_a_common_tag_waits_for_the_others() -> None:
    """Ten clips of the rare tag have the common one too: the common tag's turns go to the ninety others."""
    tags = np.zeros((100, 2), dtype=bool)
    tags[:, 0] = True
    tags[:10, 1] = True
    sampler = built(facts_of(tags, None), batch_size=10, per_tag=1)
    for number in range(20):
        seen = np.zeros(100, dtype=int)
        for draw in sampler.epoch(number):
            assert (draw.rows < 10).sum() >= 5  # five turns are the rare tag's
            seen[draw.rows] += 1
        assert seen[10:].max() <= 1
        assert 45 <= seen[10:].sum() <= 50
        assert np.ptp(seen[:10]) <= 1


def test_rare_tags_come_far_more_often_than_by_shuffling() -> None:
    facts = skewed(600, 1)
    share = facts.tags[facts.tags.any(axis=1)].mean(axis=0)
    drawn = np.concatenate([draw.rows for n in range(10) for draw in built(facts).epoch(n)])
    ours = facts.tags[drawn].mean(axis=0)
    assert ours[5] > 4 * share[5]
    assert ours.min() > 0.12  # each of six tags has its turn a sixth of the time
    assert (ours[:2] < 1.2 * share[:2]).all()


def test_synonyms_have_one_turn() -> None:
    owner = np.repeat(np.arange(3), 30)
    facts = facts_of(np.eye(3, dtype=bool)[owner], None)
    sampler = built(facts, batch_size=12, per_tag=3, synonyms=[["tag 0", "tag 1"]])
    for draw in sampler.epoch(0):
        assert (owner[draw.rows] == 2).sum() == 6


def test_what_cannot_be_sampled_is_refused_with_a_cure() -> None:
    with pytest.raises(DataError, match="balanced_tags: none of the clips to train on has a tag"):
        built(replace(skewed(9, 0), tags=np.zeros((9, 6), dtype=bool)))
    with pytest.raises(RequestError) as refused:
        built(facts_of(np.ones((9, 6), dtype=bool), None), batch_size=10)
    assert str(refused.value) == (
        "sampler: balanced_tags: batch_size is 10, and 9 of the clips to train on have tags; none comes "
        "twice in a batch. Make the batch smaller, or take shuffle."
    )
