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
from nearfield.core.types import ClipMetadata
from nearfield.learning.samplers import SamplerSettings
from nearfield.learning.samplers.balanced import BalancedTagSampler
from tests.replication.test_tag_triplets import facts_of


def built(metadata: ClipMetadata, seed: int = 3, **given_settings: Any) -> BalancedTagSampler:
    made = make(SamplerSettings, "sampler", {"kind": "balanced_tags", **given_settings})
    sampler: BalancedTagSampler = made.build(metadata, np.arange(len(metadata)), 2.0, seed)
    return sampler


def skewed(count: int, seed: int) -> ClipMetadata:
    """Tags from common (half of the clips) to rare (a fiftieth); some clips have none."""
    rng = np.random.default_rng(seed)
    return facts_of(rng.random((count, 6)) < np.array([0.5, 0.4, 0.2, 0.1, 0.05, 0.02]), None)


@given(
    count=st.integers(8, 80), seed=st.integers(0, 10_000), size=st.integers(2, 20), per_tag=st.integers(1, 5)
)
@settings(max_examples=60, deadline=None)
def test_no_clip_is_twice_in_a_batch_and_batches_are_full(
    count: int, seed: int, size: int, per_tag: int
) -> None:
    metadata = skewed(count, seed)
    tagged = int(metadata.tags.any(axis=1).sum())
    assume(tagged >= size)
    sampler = built(metadata, batch_size=size, per_tag=per_tag)
    draws = list(sampler.epoch(seed))
    for indices in draws:
        assert len(set(indices.rows.tolist())) == len(indices) == size
        assert metadata.tags[indices.rows].any(axis=1).all()
    drawn = size * len(draws)
    assert tagged <= drawn == sampler.clips_per_epoch < tagged + size
    assert sampler.untagged == count - tagged
    assert sampler.dropped == tuple(f"tag {tag}" for tag in range(6) if not metadata.tags[:, tag].any())


def test_the_batch_of_all_clips_is_all_clips() -> None:
    metadata = skewed(40, 0)
    tagged = np.flatnonzero(metadata.tags.any(axis=1))
    draws = list(built(metadata, batch_size=len(tagged), per_tag=3).epoch(0))
    assert [sorted(indices.rows.tolist()) for indices in draws] == [tagged.tolist()]


def test_tags_have_equal_turns_where_every_clip_has_one() -> None:
    """With one tag a clip it is a balanced sampler: so many of each in a batch, each clip evenly visited."""
    owner = np.repeat(np.arange(4), [40, 20, 12, 8])
    metadata = facts_of(np.eye(4, dtype=bool)[owner], None)
    sampler = built(metadata, batch_size=8, per_tag=2)
    seen = np.zeros(80, dtype=int)
    for number in range(40):
        epoch = np.zeros(80, dtype=int)
        for indices in sampler.epoch(number):
            assert Counter(owner[indices.rows].tolist()) == {0: 2, 1: 2, 2: 2, 3: 2}
            pairs = owner[indices.rows].reshape(-1, 2)
            assert (pairs[:, 0] == pairs[:, 1]).all()  # those of one tag stand together
            epoch[indices.rows] += 1
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
        for indices in sampler.epoch(number):
            assert (indices.rows < 10).sum() >= 5  # five turns are the rare tag's
            seen[indices.rows] += 1
        assert seen[10:].max() <= 1
        assert 45 <= seen[10:].sum() <= 50
        assert np.ptp(seen[:10]) <= 1


def test_rare_tags_come_far_more_often_than_by_shuffling() -> None:
    metadata = skewed(600, 1)
    share = metadata.tags[metadata.tags.any(axis=1)].mean(axis=0)
    drawn = np.concatenate([indices.rows for n in range(10) for indices in built(metadata).epoch(n)])
    ours = metadata.tags[drawn].mean(axis=0)
    assert ours[5] > 4 * share[5]
    assert ours.min() > 0.12  # each of six tags has its turn a sixth of the time
    assert (ours[:2] < 1.2 * share[:2]).all()


def test_synonyms_have_one_turn() -> None:
    owner = np.repeat(np.arange(3), 30)
    metadata = facts_of(np.eye(3, dtype=bool)[owner], None)
    sampler = built(metadata, batch_size=12, per_tag=3, synonyms=[["tag 0", "tag 1"]])
    for indices in sampler.epoch(0):
        assert (owner[indices.rows] == 2).sum() == 6


def test_what_cannot_be_sampled_is_refused_with_a_cure() -> None:
    with pytest.raises(DataError, match="balanced_tags: none of the clips to train on has a tag"):
        built(replace(skewed(9, 0), tags=np.zeros((9, 6), dtype=bool)))
    with pytest.raises(RequestError) as refused:
        built(facts_of(np.ones((9, 6), dtype=bool), None), batch_size=10)
    assert str(refused.value) == (
        "sampler: balanced_tags: batch_size is 10, but only 9 of the clips to train on have tags, and no "
        "clip is twice in a batch. Lower sampler.batch_size, or use the sampler shuffle."
    )
