"""Triplets by what a tagger says: each rule against sets and loops, its odds, and what it leaves to learn."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nearfield.core.errors import DataError, RequestError
from nearfield.core.settings import make
from nearfield.core.types import Bools, ClipMetadata, Floats
from nearfield.learning.build import loss
from nearfield.learning.samplers import SamplerSettings
from nearfield.replication.tag_triplets import TagTripletSampler
from tests.learning.test_samplers import read


def facts_of(tags: Bools, predictions: Floats | None) -> ClipMetadata:
    count = len(tags)
    return ClipMetadata(
        labels=np.full(count, -1),
        label_names=(),
        tags=tags,
        tag_names=tuple(f"tag {number}" for number in range(tags.shape[1])),
        recordings=np.arange(count),
        groups=np.arange(count),
        start_times=np.zeros(count),
        seconds=np.full(count, 5.0),
        predictions=predictions,
    )


def music(count: int = 40, seed: int = 0, tags: int = 7) -> ClipMetadata:
    """Clips with some tags or none, and a tagger that is right more often than not; a few it never heard."""
    rng = np.random.default_rng(seed)
    has = rng.random((count, tags)) < 0.3
    said = np.clip(0.5 * has + rng.random((count, tags)) * 0.6, 0, 1)
    said[rng.random(count) < 0.1] = np.nan
    return facts_of(has, said)


def built(metadata: ClipMetadata, seed: int = 3, **given_settings: Any) -> TagTripletSampler:
    usual = {"kind": "tag_triplets", "batch_size": 8, "keep_right": False}
    made = make(SamplerSettings, "sampler", usual | given_settings)
    sampler: TagTripletSampler = made.build(metadata, np.arange(len(metadata)), 2.0, seed)
    return sampler


def tags_by_hand(metadata: ClipMetadata, clip: int, rule: str, top: int) -> tuple[set[int], set[int]]:
    """Tags by which a clip's positive and its negative are drawn, whoever has them."""
    assert metadata.predictions is not None
    said, has = metadata.predictions[clip], set(np.flatnonzero(metadata.tags[clip]).tolist())
    order = sorted(range(len(said)), key=lambda tag: (-said[tag], tag))
    if rule == "extreme":
        least = min(range(len(said)), key=lambda tag: (said[tag], tag))
        return ({order[0]}, {least}) if order[0] != least else (set(), set())
    named = set(order[:top])
    return has - named, named - has


def odds_by_hand(
    metadata: ClipMetadata, clip: int, rule: str, top: int, guard: bool
) -> dict[tuple[int, int], float] | None:
    """How probable each (positive, negative) is for an anchor; None for a clip that is no anchor."""
    clips = [c for c in range(len(metadata)) if metadata.tags[c].any()]
    if clip not in clips or metadata.predictions is None or np.isnan(metadata.predictions[clip]).any():
        return None
    near, far = tags_by_hand(metadata, clip, rule, top)

    def serving(tags: set[int], strange: bool, least: int) -> list[list[int]]:
        apart = [
            c for c in clips if c != clip and not (strange and (metadata.tags[c] & metadata.tags[clip]).any())
        ]
        found = [[c for c in apart if metadata.tags[c, tag]] for tag in sorted(tags)]
        return [members for members in found if len(members) >= least]

    positives, negatives = serving(near, False, 1), serving(far, guard, 2)
    if not positives or not negatives:
        return None
    odds: dict[tuple[int, int], float] = {}
    for ps in positives:
        for p in ps:
            for ns in negatives:
                left = [n for n in ns if n != p]
                for n in left:
                    share = 1 / len(positives) / len(ps) / len(negatives) / len(left)
                    odds[p, n] = odds.get((p, n), 0) + share
    return odds


RULES = [("extreme", 5, False), ("extreme", 5, True), ("errors", 2, False), ("errors", 3, True)]


@pytest.mark.parametrize(("rule", "top", "guard"), RULES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_usable_clip_is_an_anchor_once_and_its_company_is_allowed(
    rule: str, top: int, guard: bool, seed: int
) -> None:
    metadata = music(30, seed)
    odds = {clip: odds_by_hand(metadata, clip, rule, top, guard) for clip in range(30)}
    anchors = [clip for clip, found in odds.items() if found]
    if not anchors:
        with pytest.raises(DataError):
            built(metadata, rule=rule, top=top, guard=guard)
        return
    sampler = built(metadata, rule=rule, top=top, guard=guard)
    t = sampler.triplets(seed)
    assert sorted(t.anchors.tolist()) == anchors
    for tag, a, p, n in zip(*(part.tolist() for part in t), strict=True):
        found = odds[a]
        assert found is not None
        assert (p, n) in found
        assert metadata.tags[p, tag]
        assert tag in tags_by_hand(metadata, a, rule, top)[0]
    shared = [
        (metadata.tags[a] & metadata.tags[n]).any() for a, n in zip(t.anchors, t.negatives, strict=True)
    ]
    assert sampler.shared_share(seed) == pytest.approx(np.mean(shared))
    assert not (guard and any(shared))
    tagged = metadata.tags.any(axis=1)
    assert metadata.predictions is not None
    unasked = int((tagged & np.isnan(metadata.predictions).any(axis=1)).sum())
    assert sampler.rule.describe() == (
        f"over {len(anchors)} anchors ({unasked} clips without predictions left out, "
        f"{int(tagged.sum()) - unasked - len(anchors)} without a tag for the positive or for the negative)"
    )
    draws = list(sampler.epoch(seed))
    assert (
        np.concatenate([indices.rows[: len(indices) // 3] for indices in draws]).tolist()
        == t.anchors.tolist()
    )
    assert all(indices.pairs is not None for indices in draws)


@pytest.mark.parametrize(("rule", "top", "guard"), RULES)
def test_tags_and_then_clips_are_drawn_evenly(rule: str, top: int, guard: bool) -> None:
    metadata = music(24, seed=5, tags=5)
    assert metadata.predictions is not None  # a worse tagger: half of what it says is chance
    guess = np.random.default_rng(1).random((24, 5))
    metadata = replace(metadata, predictions=np.where(guess < 0.5, guess, metadata.predictions))
    sampler = built(metadata, rule=rule, top=top, guard=guard)
    drawn: dict[int, Counter[tuple[int, int]]] = {}
    for number in range(1500):
        t = sampler.triplets(number)
        for a, p, n in zip(t.anchors.tolist(), t.positives.tolist(), t.negatives.tolist(), strict=True):
            drawn.setdefault(a, Counter())[p, n] += 1
    assert len(drawn) > 2
    for anchor, met in drawn.items():
        odds = odds_by_hand(metadata, anchor, rule, top, guard)
        assert odds is not None
        assert set(met) <= set(odds)
        if len(odds) > 1:
            counts = [met[pair] for pair in odds]
            assert chisquare(counts, [1500 * share for share in odds.values()]).pvalue > 1e-4


def test_a_worked_example_in_which_the_new_negative_has_the_tag_of_the_new_positive() -> None:
    """Tags: opera, choir, guitar. The tagger hears guitar alone in an opera with choir."""
    has = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 1]], dtype=bool)
    said = np.array([[0.1, 0.2, 0.9], *[[np.nan] * 3] * 4])
    metadata = facts_of(has, said)
    plain, guarded = (built(metadata, rule="errors", top=1, guard=guard) for guard in (False, True))
    for sampler, negatives in ((plain, {2, 3, 4}), (guarded, {3, 4})):
        drawn = [sampler.triplets(number) for number in range(60)]
        assert {int(t.anchors[0]) for t in drawn} == {0}
        assert {int(t.positives[0]) for t in drawn} == {1, 2}
        assert {int(t.tags[0]) for t in drawn} == {0}  # no other clip has a choir
        assert {int(t.negatives[0]) for t in drawn} == negatives
    assert any(plain.shared_share(number) for number in range(60))  # clip 2 is an opera as well
    assert not any(guarded.shared_share(number) for number in range(60))


def test_the_tagger_is_asked_about_synonyms_as_one_tag() -> None:
    metadata = music(60, tags=6)
    assert metadata.predictions is not None
    groups = [["tag 1", "tag 4"]]
    merged = np.delete(metadata.tags, 4, axis=1)
    merged[:, 1] |= metadata.tags[:, 4]
    said = np.delete(metadata.predictions, 4, axis=1)
    said[:, 1] = np.maximum(said[:, 1], metadata.predictions[:, 4])
    for rule in ("extreme", "errors"):
        one = built(metadata, rule=rule, synonyms=groups, top=2).triplets(0)
        other = built(facts_of(merged, said), rule=rule, top=2).triplets(0)
        assert all(np.array_equal(*both) for both in zip(one, other, strict=True))


@pytest.mark.parametrize("guard", [False, True])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_errors_replace_what_the_tagger_got_wrong_and_the_rest_stays(guard: bool, seed: int) -> None:
    """Beside the same epoch drawn by tag: each part of a triplet against sets made by a loop."""
    metadata = music(40, seed)
    plain = built(metadata, rule="tag", guard=guard)
    replacing = built(metadata, rule="errors", top=2, guard=guard, keep_right=True)
    assert metadata.predictions is not None
    clips = set(np.flatnonzero(metadata.tags.any(axis=1)).tolist())
    before, after = plain.triplets(seed), replacing.triplets(seed)
    assert before.anchors.tolist() == after.anchors.tolist()
    for old, new in zip(zip(*before, strict=True), zip(*after, strict=True), strict=True):
        (tag, a, p, n), (new_tag, _, new_p, new_n) = (tuple(map(int, each)) for each in (old, new))
        missed, wrong = set[int](), set[int]()
        if not np.isnan(metadata.predictions[a]).any():
            missed, wrong = tags_by_hand(metadata, a, "errors", 2)
        has = {t: {c for c in clips - {a} if metadata.tags[c, t]} for t in missed | wrong}
        missed = {t for t in missed if len(has[t]) >= 2}
        disjoint = {c for c in clips if not (metadata.tags[c] & metadata.tags[a]).any()} if guard else clips
        wrong = {t for t in wrong if len(has[t] & disjoint) >= 2}
        if missed:
            assert new_tag in missed
            assert new_p in has[new_tag] - {n}
        else:
            assert (new_tag, new_p) == (tag, p)
        if wrong:
            assert new_n in set().union(*(has[t] & disjoint for t in wrong)) - {new_p}
        else:
            assert new_n == n
    assert replacing.shared_share(seed) == 0 or not guard


def test_a_tag_that_the_tagger_never_misses_is_not_called_rare() -> None:
    metadata = music(60)
    said = np.random.default_rng(0).random(metadata.tags.shape)
    said[:, 3] = 2.0 * metadata.tags[:, 3]
    for keep in (False, True):
        sampler = built(replace(metadata, predictions=said), rule="errors", top=2, keep_right=keep)
        assert sampler.dropped == ()


def active(metadata: ClipMetadata, signal: torch.Tensor, **given_settings: Any) -> float:
    """Share of triplets that violate a cosine margin of 0.4 even after 20 epochs of training on them."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    objective = loss("triplet", margin=0.4, distance="cosine")
    sampler = built(metadata, batch_size=50, **given_settings)
    shares = []
    for indices in (indices for number in range(20) for indices in sampler.epoch(number)):
        assert indices.pairs is not None
        value, parts = objective.forward_with_metrics(
            network(signal[torch.from_numpy(indices.rows)]), indices.pairs
        )
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        shares.append(parts["active_fraction"].item())
    return float(np.mean(shares[-20:]))


def test_training_on_extreme_tags_runs_out_of_active_triplets() -> None:
    """Four genres with four tags each, hardly a clip with tags of two; a sound in which tags are small steps
    within a genre, and a tagger that hears both with some noise."""
    rng = np.random.default_rng(0)
    own = (np.arange(400) % 4)[:, None] == np.arange(16)[None, :] // 4
    has = rng.random((400, 16)) < np.where(own, 0.5, 0.003)
    sound = own + 0.6 * has + 0.3 * rng.standard_normal((400, 16))
    metadata = facts_of(has, 1 / (1 + np.exp(-4 * (sound - 1.3))))
    signal = torch.from_numpy(sound - sound.mean(axis=0)).float()
    by_tag, by_extremes, by_errors = (
        active(metadata, signal, rule=rule, top=2) for rule in ("tag", "extreme", "errors")
    )
    assert by_extremes < 0.04
    assert by_tag > 0.12
    assert by_errors > by_tag


@pytest.mark.parametrize("rule", ["extreme", "errors"])
def test_without_predictions_the_key_is_named(rule: str) -> None:
    metadata = replace(music(), predictions=None)
    with pytest.raises(RequestError) as refused:
        built(metadata, rule=rule)
    assert str(refused.value) == (
        f"sampler.rule: {rule!r} needs the predictions of a tagger, but sampler.tagger is not set. Set it "
        "to the folder of a run that was trained with loss bce or focal, or set sampler.rule to tag."
    )
    unheard = replace(music(), predictions=np.full((40, 7), np.nan))
    with pytest.raises(
        DataError, match=f"rule '{rule}': no clip has predictions and .* set sampler.rule to tag"
    ):
        built(unheard, rule=rule)
    built(metadata, rule="tag", tagger="runs/tagger")  # one recipe for every rule: this one does not ask


def test_errors_on_real_music(real_data: Callable[[str], Path]) -> None:
    table = read(real_data("incompetech-tags"))
    names = sorted({tag for line in table for tag in line["tags"].split("|")})
    has = np.array([[name in line["tags"].split("|") for name in names] for line in table])
    said = np.clip(has + np.random.default_rng(0).normal(0, 0.5, has.shape), 0, 1)
    metadata = facts_of(has, said)
    plain, guarded = (built(metadata, rule="errors", guard=guard) for guard in (False, True))
    assert plain.rule.count > 0.6 * len(table)
    kept = built(metadata, rule="errors", keep_right=True)
    assert kept.rule.count == len(table)
    assert "errors of the tagger replace the positive of " in kept.describe()
    assert plain.shared_share(0) > 0.2
    assert guarded.shared_share(0) == 0
    assert guarded.rule.count > 0.5 * len(table)
