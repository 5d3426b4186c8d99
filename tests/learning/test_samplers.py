"""Samplers: what each promises of an epoch, against slow versions, chi-squared tests and a peer."""

import csv
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nearfield.core.errors import DataError, RequestError
from nearfield.core.settings import make
from nearfield.core.types import BatchIndices, ClipMetadata, Ints
from nearfield.learning.build import relation
from nearfield.learning.relations.time import false_negative_rate
from nearfield.learning.samplers import Sampler, SamplerSettings
from nearfield.learning.samplers.balanced import BalancedSampler, share_quotas
from nearfield.learning.samplers.batches import cut
from nearfield.learning.samplers.tiles import TileSampler, lay
from nearfield.replication.tag_triplets import TagTripletSampler

CLIP = 2.0


def facts_of(count: int, seed: int = 0, labels: int = 5, tags: int = 6) -> ClipMetadata:
    """Clips of 0.5 to 12 s, five recordings a group, one after another on their recording's clock."""
    rng = np.random.default_rng(seed)
    recordings = np.sort(rng.integers(0, max(count // 4, 1), size=count))
    seconds = rng.integers(5, 120, size=count) / 10.0
    before = np.cumsum(seconds) - seconds
    start_times = before - before[np.searchsorted(recordings, recordings)]
    return ClipMetadata(
        labels=rng.integers(0, labels, size=count),
        label_names=tuple(f"label {number}" for number in range(labels)),
        tags=rng.random((count, tags)) < 0.3,
        tag_names=tuple(f"tag {number}" for number in range(tags)),
        recordings=recordings,
        groups=recordings // 5,
        start_times=start_times,
        seconds=seconds,
        predictions=np.where(rng.random((count, 1)) < 0.9, rng.random((count, tags)), np.nan),
    )


def labelled(sizes: list[int]) -> ClipMetadata:
    """A collection with so many clips of each label, in mixed order."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    names = tuple(f"label {number}" for number in range(len(sizes)))
    return replace(facts_of(len(labels)), labels=labels, label_names=names)


def built(
    given_settings: dict[str, Any], metadata: ClipMetadata, rows: Ints | None = None, seed: int = 3
) -> Any:
    chosen = np.arange(len(metadata)) if rows is None else rows
    return make(SamplerSettings, "sampler", given_settings).build(metadata, chosen, CLIP, seed)


def joined(draws: list[BatchIndices]) -> tuple[Ints, Any]:
    return np.concatenate([d.rows for d in draws]), np.concatenate([d.starts for d in draws])


def uniform(counts: Any) -> bool:
    """Whether counts are what equal chances give; refuses one fair sample in ten thousand."""
    return len(counts) == 1 or bool(chisquare(counts).pvalue > 1e-4)


EVERY: list[dict[str, Any]] = [
    {"kind": "shuffle", "batch_size": 7},
    {"kind": "shuffle", "batch_size": 7, "drop_last": True},
    {"kind": "views", "batch_size": 8},
    {"kind": "balanced", "classes": 3, "per_class": 2},
    {"kind": "balanced", "classes": 3, "per_class": 2, "visits": "classes"},
    {"kind": "tiles", "batch_size": 5, "neighbors": 2, "jitter": True},
    {"kind": "tiles", "batch_size": 5, "mode": "triplet", "jitter": True, "other_group": True},
    {"kind": "tag_triplets", "batch_size": 4},
    {"kind": "tag_triplets", "batch_size": 4, "guard": True},
    {"kind": "tag_triplets", "batch_size": 4, "rule": "extreme"},
    {"kind": "tag_triplets", "batch_size": 4, "rule": "errors", "top": 2, "guard": True},
    {"kind": "balanced_tags", "batch_size": 8},
]


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_promises_of_every_sampler(given_settings: dict[str, Any]) -> None:
    metadata = facts_of(61)
    rows = np.arange(0, 61, 1)[5:58]  # a split's share
    sampler: Sampler = built(given_settings, metadata, rows)
    draws = list(sampler.epoch(4))
    drawn, starts = joined(draws)
    assert set(drawn) <= set(rows)
    assert len(drawn) == sampler.clips_per_epoch
    assert all(len(indices) == sampler.batch_size for indices in draws[:-1][:-1])
    assert drawn.dtype == np.int64
    assert (starts >= 0).all()
    assert (starts <= np.maximum(metadata.seconds[drawn] - CLIP, 0) + 1e-3).all()
    assert [len(indices) for indices in draws] == [len(indices) for indices in sampler.epoch(5)]
    assert make(SamplerSettings, "sampler", given_settings).sets_pairs == (draws[0].pairs is not None)
    assert "\n" not in sampler.describe()
    assert f"Batches of {sampler.batch_size} " in sampler.describe()

    again, again_starts = joined(list(built(given_settings, metadata, rows).epoch(4)))
    assert np.array_equal(drawn, again)
    assert np.array_equal(starts, again_starts)
    for other in (sampler.epoch(5), built(given_settings, metadata, rows, seed=4).epoch(4)):
        assert not np.array_equal(drawn, joined(list(other))[0])


@given(count=st.integers(1, 200), size=st.integers(2, 20), drop_last=st.booleans())
@settings(max_examples=50)
def test_cutting_keeps_the_order_and_never_leaves_one_alone(count: int, size: int, drop_last: bool) -> None:
    order = np.random.default_rng(0).permutation(count)
    parts = list(cut(order, size, drop_last))
    kept = count - count % size if drop_last else count
    assert np.array_equal(np.concatenate([*parts, order[:0]]), order[:kept])
    assert all(len(part) == size for part in parts[:-1])
    if parts:
        assert len(parts[-1]) <= size + 1
    if count > 1 and not drop_last:
        assert len(parts[-1]) > 1


@given(
    count=st.integers(2, 120),
    size=st.integers(1, 20),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 99),
    kind=st.sampled_from(["shuffle", "views"]),
)
@settings(max_examples=50, deadline=None)
def test_each_clip_exactly_once_an_epoch(count: int, size: int, seed: int, epoch: int, kind: str) -> None:
    metadata = facts_of(count, seed)
    sampler = built({"kind": kind, "batch_size": 2 * size + 2}, metadata, seed=seed)
    times = 2 if kind == "views" else 1
    seen = np.bincount(joined(list(sampler.epoch(epoch)))[0], minlength=count)
    assert (seen == times).all()


def test_a_shuffle_is_uniform_over_orders_and_over_starts() -> None:
    metadata = replace(facts_of(4), seconds=np.array([12.0, 12.0, 1.0, 0.0]))
    sampler = built({"kind": "shuffle", "batch_size": 4}, metadata)
    draws = [next(sampler.epoch(number)) for number in range(2400)]
    orders = Counter(tuple(indices.rows) for indices in draws)
    assert len(orders) == 24
    assert uniform(list(orders.values()))
    starts = {row: np.array([d.starts[d.rows == row][0] for d in draws]) for row in range(4)}
    assert uniform(np.histogram(starts[0], bins=10, range=(0.0, 10.0))[0])
    assert starts[0].max() < 10
    assert not starts[2].any()
    assert not starts[3].any()


def test_views_put_each_clip_twice_in_its_batch() -> None:
    metadata = replace(facts_of(21), seconds=np.full(21, 10.0))
    for same in (False, True):
        draws = list(built({"kind": "views", "batch_size": 10, "same_window": same}, metadata).epoch(0))
        for indices in draws:
            half = len(indices) // 2
            assert np.array_equal(indices.rows[:half], indices.rows[half:])
            assert np.array_equal(indices.starts[:half], indices.starts[half:]) == same
            pairs = relation("views")(metadata, indices)
            assert torch.equal(pairs.positive.int().sum(1), torch.ones(len(indices)).long())
        assert [len(indices) for indices in draws] == [10, 10, 10, 12]


sizes_strategy = st.lists(st.integers(1, 40), min_size=2, max_size=12)


@given(sizes=sizes_strategy, classes=st.integers(2, 6), per_class=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_balanced_batches_are_exact_and_visit_every_clip(
    sizes: list[int], classes: int, per_class: int, seed: int
) -> None:
    classes = min(classes, len(sizes))
    metadata = labelled(sizes)
    sampler: BalancedSampler = built(
        {"kind": "balanced", "classes": classes, "per_class": per_class}, metadata, seed=seed
    )
    draws = list(sampler.epoch(seed))
    for indices in draws:
        assert sorted(Counter(metadata.labels[indices.rows]).values()) == [per_class] * classes
        for label in set(metadata.labels[indices.rows]):
            times = Counter(indices.rows[metadata.labels[indices.rows] == label])
            each = per_class // sizes[label]
            assert all(each <= found <= each + (per_class % sizes[label] > 0) for found in times.values())
    seen = np.bincount(joined(draws)[0], minlength=len(metadata))
    assert (seen > 0).all()
    for label in range(len(sizes)):
        assert np.ptp(seen[metadata.labels == label]) <= 1
    # No shorter epoch could do it: a batch shows per_class clips of a label, and a label once.
    hands = [-(-size // per_class) for size in sizes]
    assert len(draws) == max(max(hands), -(-sum(hands) // classes))


@given(
    classes=st.integers(2, 5), per_class=st.integers(1, 5), times=st.integers(1, 6), more=st.integers(0, 3)
)
@settings(max_examples=30, deadline=None)
def test_balanced_is_exactly_once_where_composition_allows(
    classes: int, per_class: int, times: int, more: int
) -> None:
    metadata = labelled([per_class * times * classes] * (classes + more))
    draws = list(built({"kind": "balanced", "classes": classes, "per_class": per_class}, metadata).epoch(0))
    assert (np.bincount(joined(draws)[0], minlength=len(metadata)) == 1).all()


@given(sizes=sizes_strategy, classes=st.integers(2, 6), per_class=st.integers(1, 6), longer=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_hands_go_to_the_least_visited_as_one_by_one(
    sizes: list[int], classes: int, per_class: int, longer: int
) -> None:
    classes = min(classes, len(sizes))
    base = [-(-size // per_class) for size in sizes]
    batches = max(max(base), -(-sum(base) // classes)) + longer
    hands = list(base)
    while sum(hands) < batches * classes:
        open_ones = [label for label in range(len(sizes)) if hands[label] < batches]
        hands[min(open_ones, key=lambda label: (hands[label] + 1) / sizes[label])] += 1
    shared = share_quotas(np.array(sizes), per_class, batches, batches * classes, np.random.default_rng(0))
    assert shared.sum() == batches * classes
    assert shared.max() <= batches

    def visits(given: list[int]) -> list[float]:  # that each hand beyond the first need brought about
        each = zip(given, base, sizes, strict=True)
        return sorted(hand / size for have, need, size in each for hand in range(need + 1, have + 1))

    # Ties may fall otherwise, to a label of another size.
    assert visits(shared.tolist()) == pytest.approx(visits(hands))


def test_balanced_draws_labels_and_company_by_chance() -> None:
    metadata = labelled([12] * 6)
    sampler = built({"kind": "balanced", "classes": 2, "per_class": 4}, metadata)
    row_pairs = Counter(
        tuple(sorted(set(metadata.labels[indices.rows])))
        for number in range(300)
        for indices in sampler.epoch(number)
    )
    assert len(row_pairs) == 15
    # Within an epoch draws hang together, so chi-squared is only near; no pair may be rare.
    assert min(row_pairs.values()) > 0.75 * max(row_pairs.values())


def test_visits_by_class_is_as_even_over_labels_as_the_peer() -> None:
    from pytorch_metric_learning.samplers import MPerClassSampler

    metadata = labelled([40, 40, 8, 8, 8, 8])
    sampler = built({"kind": "balanced", "classes": 3, "per_class": 4, "visits": "classes"}, metadata)
    ours = np.zeros(6)
    for number in range(150):
        for indices in sampler.epoch(number):
            ours += np.bincount(metadata.labels[indices.rows], minlength=6) / 4
    assert uniform(ours)
    torch.manual_seed(0)
    np.random.seed(0)
    peer = np.array(list(MPerClassSampler(metadata.labels, 4, batch_size=12, length_before_new_iter=12_000)))
    theirs = np.bincount(metadata.labels[peer], minlength=6) / 4
    assert np.abs(ours / ours.sum() - theirs / theirs.sum()).max() < 0.03
    by_clips = built({"kind": "balanced", "classes": 3, "per_class": 4}, metadata)
    rows, _ = joined([indices for number in range(20) for indices in by_clips.epoch(number)])
    assert np.bincount(metadata.labels[rows])[0] > 2 * np.bincount(metadata.labels[rows])[2]


@pytest.mark.parametrize(
    ("settings", "clips"),
    [({"kind": "shuffle", "batch_size": 8}, 8), ({"kind": "views", "batch_size": 8}, 4)],
)
def test_a_sampler_with_too_few_clips_for_one_batch_says_so(settings: dict[str, object], clips: int) -> None:
    enough, few = (built(settings, labelled([many])) for many in (clips, clips - 1))
    assert not enough.is_short
    assert few.is_short
    assert all(len(indices.rows) == enough.batch_size for indices in enough.epoch(0))
    assert all(len(indices.rows) < few.batch_size for indices in few.epoch(0))


@pytest.mark.parametrize("visits", ["clips", "classes"])
def test_balanced_takes_the_labels_there_are_where_it_wants_more(visits: str) -> None:
    metadata = labelled([9, 12, 8, 3, 12])
    wanting: BalancedSampler = built(
        {"kind": "balanced", "classes": 8, "per_class": 8, "visits": visits}, metadata
    )
    content: BalancedSampler = built(
        {"kind": "balanced", "classes": 5, "per_class": 8, "visits": visits}, metadata
    )
    assert wanting.is_short
    assert not content.is_short
    assert wanting.batch_size == 40
    for mine, theirs in zip(wanting.epoch(3), content.epoch(3), strict=True):
        assert mine.rows.tolist() == theirs.rows.tolist()
    said = "Batches of 40 clips: 5 of 5 labels x 8 clips (sampler.classes is 8, and there are no more). "
    assert wanting.describe().startswith(said)
    assert content.describe().startswith("Batches of 40 clips: 5 of 5 labels x 8 clips. ")


def test_small_labels_are_repeated_or_left_out_by_name() -> None:
    metadata = labelled([9, 1, 8, 3, 12])
    metadata = replace(metadata, labels=np.where(np.arange(len(metadata)) == 0, -1, metadata.labels))
    kept: BalancedSampler = built({"kind": "balanced", "classes": 5, "per_class": 4}, metadata)
    assert kept.dropped == ()
    assert kept.unlabelled == 1
    assert "Left out: 1 clips without a label." in kept.describe()
    dropping: BalancedSampler = built(
        {"kind": "balanced", "classes": 3, "per_class": 4, "small": "drop"}, metadata
    )
    assert dropping.dropped == ("label 1", "label 3")
    assert "label 1, label 3" in dropping.describe()
    rows, _ = joined(list(dropping.epoch(0)))
    assert set(metadata.labels[rows]) == {0, 2, 4}


@given(sizes=sizes_strategy, classes=st.integers(2, 6), per_class=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_without_small_labels_batches_are_exact_and_repeat_nothing(
    sizes: list[int], classes: int, per_class: int, seed: int
) -> None:
    large = [label for label, size in enumerate(sizes) if size >= per_class]
    classes = min(classes, len(large))
    assume(classes >= 2)
    metadata = labelled(sizes)
    chosen = {"kind": "balanced", "classes": classes, "per_class": per_class, "small": "drop"}
    sampler: BalancedSampler = built(chosen, metadata, seed=seed)
    draws = list(sampler.epoch(seed))
    for indices in draws:
        assert len(set(indices.rows.tolist())) == len(indices) == classes * per_class
        assert sorted(Counter(metadata.labels[indices.rows]).values()) == [per_class] * classes
    seen = set(joined(draws)[0].tolist())
    assert seen == set(np.flatnonzero(np.isin(metadata.labels, large)).tolist())
    assert sampler.dropped == tuple(f"label {label}" for label in range(len(sizes)) if label not in large)


@pytest.mark.parametrize(
    ("given_settings", "metadata", "sentence"),
    [
        (
            {"kind": "balanced", "classes": 4, "small": "drop"},
            labelled([9, 1, 2, 3, 2]),
            "sampler: balanced: classes is 4, but the clips to train on have 1 label with at least 4 clips. "
            "Remedy: add clips of more labels, or set sampler.small to duplicate or lower "
            "sampler.per_class (5 labels in all).",
        ),
        ({"kind": "balanced"}, labelled([9]), "have 1 label. Remedy: add clips of more labels."),
        (
            {"kind": "balanced"},
            replace(facts_of(9), labels=np.full(9, -1)),
            "none of the clips to train on has a label",
        ),
        ({"kind": "shuffle", "drop_last": True}, facts_of(9), "a batch needs 32 clips, but there are 9"),
        ({"kind": "shuffle"}, facts_of(1), "a batch needs 2 clips, but there are 1 to train on"),
        ({"kind": "views"}, facts_of(1), "it needs two clips"),
        ({"kind": "tiles"}, replace(facts_of(9), seconds=np.zeros(9)), "have no duration"),
        (
            {"kind": "tiles"},
            replace(facts_of(9), recordings=np.arange(9), seconds=np.full(9, 3.0)),
            "sampler: tiles: 0 of 9 tiles have a neighbor in their recording. A tile is 2 s long, a hop 2 "
            "s, the range 5 s. Lower data.clip_seconds or sampler.hop_seconds, or increase "
            "sampler.range_seconds.",
        ),
        (
            {"kind": "tiles", "mode": "triplet"},
            replace(facts_of(9), recordings=np.zeros(9, int), seconds=np.full(9, 5.0)),
            "no tile has a negative",
        ),
        (
            {"kind": "tag_triplets"},
            replace(facts_of(9), tags=np.zeros((9, 6), bool)),
            "none of the clips to train on has a tag",
        ),
        (
            {"kind": "tag_triplets"},
            replace(facts_of(9), tags=np.ones((9, 6), bool)),
            "none of 6 tags has two clips with it and a third without.",
        ),
        (
            {"kind": "tag_triplets", "guard": True},
            replace(facts_of(9), tags=np.eye(9, 6, dtype=bool) | (np.arange(6) == 5)),
            "shares none with one of them. Set sampler.guard to false.",
        ),
        ({"kind": "tag_triplets", "synonyms": [["tag 1", "tag1"]]}, facts_of(9), "Did you mean 'tag 1'?"),
    ],
)
def test_what_cannot_be_sampled_is_refused_with_a_cure(
    given_settings: dict[str, Any], metadata: ClipMetadata, sentence: str
) -> None:
    with pytest.raises(RequestError) as refused:
        built(given_settings, metadata)
    assert sentence in str(refused.value)


# Tiles


def tiles_by_hand(metadata: ClipMetadata, tile: float, step: float) -> list[tuple[int, float]]:
    """(row, start) of every tile: 0, step, 2 step ... while a whole tile fits, at least one a clip."""
    found = []
    for row, seconds in enumerate(metadata.seconds):
        place = 0
        while place == 0 or place * step + tile <= seconds + 1e-6:
            found.append((row, place * step))
            place += 1
    return found


def candidates_by_hand(
    metadata: ClipMetadata, tiles: list[tuple[int, float]], anchor: tuple[int, float], range_seconds: float
) -> list[tuple[int, float]]:
    """Tiles of the anchor's recording that start within the range, itself not."""
    row, start = anchor
    here = metadata.start_times[row] + start
    return [
        (other, at)
        for other, at in tiles
        if metadata.recordings[other] == metadata.recordings[row]
        and (other, at) != anchor
        and abs(metadata.start_times[other] + at - here) <= range_seconds + 1e-6
    ]


@given(
    count=st.integers(2, 14),
    seed=st.integers(0, 10_000),
    step=st.sampled_from([0.5, 0.7, 2.0, 3.0]),
    range_seconds=st.sampled_from([0.7, 2.0, 5.0, 30.0]),
)
@settings(max_examples=40, deadline=None)
def test_tiling_and_neighbours_by_hand(count: int, seed: int, step: float, range_seconds: float) -> None:
    metadata = facts_of(count, seed)
    tiles = tiles_by_hand(metadata, CLIP, step)
    grid = lay(metadata, np.arange(count), CLIP, step)
    named = list(zip(grid.rows.tolist(), grid.starts.tolist(), strict=True))
    assert np.allclose(sorted(named), tiles, atol=1e-9)
    low, high = grid.near(range_seconds)
    for number, tile in enumerate(named):
        run = [named[other] for other in range(low[number], high[number]) if other != number]
        assert sorted(run) == sorted(candidates_by_hand(metadata, named, tile, range_seconds))


@given(
    count=st.integers(8, 40),
    seed=st.integers(0, 10_000),
    batch=st.integers(2, 9),
    neighbours=st.integers(1, 4),
    jitter=st.booleans(),
    mode=st.sampled_from(["batch", "triplet"]),
)
@settings(max_examples=40, deadline=None)
def test_every_tile_with_a_neighbour_is_an_anchor_once_an_epoch(
    count: int, seed: int, batch: int, neighbours: int, jitter: bool, mode: str
) -> None:
    metadata = facts_of(count, seed)
    assume(len(set(metadata.recordings)) > 1)
    chosen = {"kind": "tiles", "batch_size": batch, "neighbors": neighbours, "jitter": jitter, "mode": mode}
    sampler: TileSampler = built({**chosen, "range_seconds": 4.0}, metadata)
    close = partial(relation("time", range_seconds=4.0), metadata)
    tiles = tiles_by_hand(metadata, CLIP, CLIP)
    have = {tile: candidates_by_hand(metadata, tiles, tile, 4.0) for tile in tiles}
    assert sampler.alone == sum(not found for found in have.values())
    anchors: list[tuple[int, float]] = []
    for indices in sampler.epoch(0):
        size = len(indices) // (1 + neighbours * (2 if mode == "triplet" else 1))
        cells = close(indices)
        row_pairs = np.arange(size, size * (1 + neighbours)).reshape(neighbours, size)
        for a in range(size):
            row = int(indices.rows[a])
            start = float(indices.starts[a]) if not jitter else float(indices.starts[a] + 1e-9) // CLIP * CLIP
            anchors.append((row, start))
            assert cells.positive[a, row_pairs[:, a]].all()
            windows = {(int(indices.rows[n]), float(indices.starts[n])) for n in row_pairs[:, a]}
            assert len(windows) == min(neighbours, len(have[row, start]))
            if mode == "triplet":
                assert indices.pairs is not None
                assert indices.pairs.positive[a].nonzero().flatten().tolist() == row_pairs[:, a].tolist()
                far = (row_pairs[:, a] + size * neighbours).tolist()
                assert indices.pairs.negative[a].nonzero().flatten().tolist() == far
                assert (metadata.recordings[indices.rows[far]] != metadata.recordings[row]).all()
        if indices.pairs is not None:
            assert int(indices.pairs.positive.sum()) == int(indices.pairs.negative.sum()) == size * neighbours
    assert len(anchors) == len(set(anchors))
    assert set(anchors) == {tile for tile, found in have.items() if found}


def one_recording_of_files() -> ClipMetadata:
    """Four files of 6 s on one clock (the last after a pause), two further recordings in two groups."""
    start_times = np.array([100.0, 106.0, 112.0, 130.0, 100.0, 101.0])
    recordings = np.array([0, 0, 0, 0, 1, 2])
    return replace(
        facts_of(6),
        recordings=recordings,
        groups=np.array([0, 0, 0, 0, 0, 1]),
        start_times=start_times,
        seconds=np.array([6.0, 6.0, 6.0, 6.0, 4.0, 20.0]),
    )


@pytest.mark.parametrize("neighbours", [1, 2])
def test_all_neighbours_come_equally_often_also_from_other_files(neighbours: int) -> None:
    metadata = one_recording_of_files()
    tiles = tiles_by_hand(metadata, CLIP, CLIP)
    sampler = built(
        {"kind": "tiles", "batch_size": 4, "neighbors": neighbours, "range_seconds": 6.0, "hop_seconds": 2.0},
        metadata,
    )
    met: dict[tuple[int, float], Counter[tuple[int, float]]] = {tile: Counter() for tile in tiles}
    for number in range(600):
        for indices in sampler.epoch(number):
            size = len(indices) // (1 + neighbours)
            windows = list(zip(indices.rows.tolist(), indices.starts.tolist(), strict=True))
            for a in range(size):
                met[windows[a]].update(windows[a + size * (n + 1)] for n in range(neighbours))
    for tile in tiles:
        expected = candidates_by_hand(metadata, tiles, tile, 6.0)
        assert set(met[tile]) == set(expected)
        assert uniform([met[tile][other] for other in expected])
    assert {row for row, _ in met[0, 4.0]} == {0, 1}
    assert {row for row, _ in met[3, 0.0]} == {3}


@pytest.mark.parametrize(
    "rule",
    [{}, {"other_group": True}, {"not_synchronous": 3.0}, {"other_group": True, "not_synchronous": 8.0}],
)
def test_opposites_are_uniform_over_all_that_is_allowed(rule: dict[str, Any]) -> None:
    metadata = one_recording_of_files()
    tiles = tiles_by_hand(metadata, CLIP, CLIP)
    sampler: TileSampler = built({"kind": "tiles", "batch_size": 4, "mode": "triplet", **rule}, metadata)
    met: dict[tuple[int, float], Counter[tuple[int, float]]] = {}
    for number in range(1200):
        for indices in sampler.epoch(number):
            size = len(indices) // 3
            windows = list(zip(indices.rows.tolist(), indices.starts.tolist(), strict=True))
            for a in range(size):
                met.setdefault(windows[a], Counter())[windows[a + 2 * size]] += 1
    unopposed = 0
    for row, start in tiles:
        allowed = [
            (other, at)
            for other, at in tiles
            if metadata.recordings[other] != metadata.recordings[row]
            and (not rule.get("other_group") or metadata.groups[other] != metadata.groups[row])
            and abs(metadata.start_times[other] + at - metadata.start_times[row] - start)
            >= rule.get("not_synchronous", 0)
        ]
        if not allowed:
            unopposed += 1
            assert (row, start) not in met
            continue
        assert set(met[row, start]) == set(allowed)
        assert uniform([met[row, start][other] for other in allowed])
    assert sampler.unopposed == unopposed


def test_a_tile_that_nothing_may_oppose_is_no_anchor_and_is_counted() -> None:
    metadata = replace(one_recording_of_files(), groups=np.array([0, 0, 0, 0, -1, 1]))
    sampler: TileSampler = built(
        {"kind": "tiles", "mode": "triplet", "other_group": True, "batch_size": 4}, metadata
    )
    rows, _ = joined(list(sampler.epoch(0)))
    assert sampler.unopposed == 2
    assert "Left out: 2 without a negative." in sampler.describe()
    assert 4 not in rows  # its group is unknown: it is nobody's other


def test_rare_opposites_are_found_where_drawing_again_is_hopeless() -> None:
    recordings = np.repeat([0, 1, 2], [3000, 3, 3000])
    count = len(recordings)
    metadata = replace(
        facts_of(count),
        recordings=recordings,
        groups=np.repeat([0, 1, 0], [3000, 3, 3000]),
        start_times=np.concatenate([np.arange(3000), np.arange(3), np.arange(3000)]) * 2.0,
        seconds=np.full(count, 2.0),
    )
    sampler: TileSampler = built({"kind": "tiles", "mode": "triplet", "other_group": True}, metadata)
    assert sampler.unopposed == 0
    for indices in sampler.epoch(0):
        size = len(indices) // 3
        assert (metadata.groups[indices.rows[:size]] != metadata.groups[indices.rows[2 * size :]]).all()


def test_batches_mix_recordings_as_the_whole_does() -> None:
    lengths = np.array([600.0, 60.0, 60.0, 120.0, 360.0])  # 300, 30, 30, 60, 180 tiles of 2 s
    metadata = replace(facts_of(5), recordings=np.arange(5), start_times=np.zeros(5), seconds=lengths)
    for number in range(5):
        for indices in built({"kind": "tiles", "batch_size": 40}, metadata).epoch(number):
            share = np.bincount(indices.rows[:40], minlength=5)
            assert (np.abs(share - 40 * lengths / 1200) <= 2).all()


def test_jitter_moves_a_pair_together_and_stays_in_the_clip() -> None:
    metadata = replace(
        facts_of(3), recordings=np.arange(3), start_times=np.zeros(3), seconds=np.array([21.0, 21.5, 20.0])
    )
    sampler = built({"kind": "tiles", "jitter": True, "batch_size": 3, "hop_seconds": 1.0}, metadata)
    moved: list[float] = []
    for number in range(30):
        for indices in sampler.epoch(number):
            anchors, near = np.split(indices.starts, 2)
            assert np.abs((anchors - near) - np.rint(anchors - near)).max() < 1e-9
            assert np.abs(anchors - near).max() <= 5 + 1e-9
            assert (indices.starts + CLIP <= metadata.seconds[indices.rows] + 1e-9).all()
            moved.extend(anchors % 1.0)
    assert 0.3 < np.mean(moved) < 0.6


def test_the_false_opposite_rate_of_tiles_is_that_of_chance_between_recordings() -> None:
    count = 40
    metadata = replace(
        facts_of(count),
        recordings=np.arange(count),
        start_times=np.zeros(count),
        seconds=np.full(count, 10.0),
    )
    metadata = replace(metadata, labels=np.arange(count) % 4)
    triplets = built({"kind": "tiles", "mode": "triplet", "batch_size": 16}, metadata)
    rate = false_negative_rate([d for n in range(10) for d in triplets.epoch(n)], metadata.labels)
    assert rate == pytest.approx(9 / 39, abs=0.03)  # of 39 other recordings nine have the label
    batches = built({"kind": "tiles", "batch_size": 16}, metadata)
    rate = false_negative_rate(batches.epoch(0), metadata.labels, partial(relation("time"), metadata))
    assert rate == pytest.approx(9 / 39, abs=0.05)


# Tag triplets


def test_tag_triplets_say_what_they_are() -> None:
    metadata = facts_of(60)
    metadata = replace(metadata, tags=np.where(np.arange(60)[:, None] < 5, False, metadata.tags))
    for guard in (False, True):
        sampler: TagTripletSampler = built(
            {"kind": "tag_triplets", "batch_size": 7, "guard": guard}, metadata
        )
        t = sampler.triplets(2)
        assert len(t.tags) == int(metadata.tags.any(axis=1).sum())
        assert metadata.tags[t.anchors, t.tags].all()
        assert metadata.tags[t.positives, t.tags].all()
        assert (t.anchors != t.positives).all()
        assert not metadata.tags[t.negatives, t.tags].any()
        assert metadata.tags[t.negatives].any(axis=1).all()
        shared = [
            bool((metadata.tags[a] & metadata.tags[n]).any())
            for a, n in zip(t.anchors, t.negatives, strict=True)
        ]
        assert sampler.shared_share(2) == pytest.approx(np.mean(shared))
        assert any(shared) != guard
        done = 0
        for indices in sampler.epoch(2):
            size = len(indices) // 3
            part = slice(done, done + size)
            assert np.array_equal(
                indices.rows, np.concatenate([t.anchors[part], t.positives[part], t.negatives[part]])
            )
            assert indices.pairs is not None
            assert indices.pairs.positive.nonzero().tolist() == [[i, i + size] for i in range(size)]
            assert indices.pairs.negative.nonzero().tolist() == [[i, i + 2 * size] for i in range(size)]
            done += size
        assert done == len(t.tags)


@pytest.mark.parametrize("guard", [False, True])
def test_tags_and_their_clips_are_drawn_uniformly(guard: bool) -> None:
    metadata = facts_of(30, seed=2)
    tags = metadata.tags.copy()
    tags[:, 5] = False
    tags[3, [0, 5]] = True  # one clip alone cannot make a triplet of tag 5
    tags[4, :5] = True  # shares a tag with everyone: guarded, it is no anchor
    metadata = replace(metadata, tags=tags)
    sampler: TagTripletSampler = built({"kind": "tag_triplets", "guard": guard}, metadata)
    assert sampler.dropped == ("tag 5",)
    drawn = [sampler.triplets(number) for number in range(400)]
    which, anchors, positives, negatives = (np.concatenate(part) for part in zip(*drawn, strict=True))
    assert uniform(np.bincount(which))
    shares = (tags.astype(int) @ tags.astype(int).T) > 0
    tagged = tags.any(axis=1)
    for tag in range(5):
        here = which == tag
        has = np.flatnonzero(tags[:, tag])
        able = has[(~shares[has] & tagged).any(axis=1)] if guard else has
        counts = np.bincount(anchors[here], minlength=30)
        assert set(np.flatnonzero(counts)) == set(able)
        assert uniform(counts[able])
        for anchor in able[:3]:
            mine = here & (anchors == anchor)
            row_pairs = np.bincount(positives[mine], minlength=30)
            assert uniform(row_pairs[np.setdiff1d(has, anchor)])
            allowed = (~shares[anchor] if guard else ~tags[:, tag]) & tagged
            against = np.bincount(negatives[mine], minlength=30)
            assert not against[~allowed].any()
            assert uniform(against[allowed])


def test_negatives_lack_synonyms_too() -> None:
    metadata = facts_of(80)
    chosen = {"kind": "tag_triplets", "synonyms": [["tag 0", "tag 1", "tag 2"]]}
    sampler: TagTripletSampler = built(chosen, metadata)
    merged = np.concatenate([metadata.tags[:, :3].any(axis=1, keepdims=True), metadata.tags[:, 3:]], axis=1)
    t = sampler.triplets(0)
    assert t.tags.max() == 3
    assert merged[t.anchors, t.tags].all()
    assert merged[t.positives, t.tags].all()
    assert not merged[t.negatives, t.tags].any()


def test_more_tags_than_fit_one_word() -> None:
    metadata = facts_of(90, tags=150)
    metadata = replace(metadata, tags=np.random.default_rng(0).random((90, 150)) < 0.03)
    sampler: TagTripletSampler = built({"kind": "tag_triplets", "guard": True}, metadata)
    t = sampler.triplets(0)
    assert not (metadata.tags[t.anchors] & metadata.tags[t.negatives]).any()
    plain: TagTripletSampler = built({"kind": "tag_triplets"}, metadata)
    t = plain.triplets(0)
    shared = (metadata.tags[t.anchors] & metadata.tags[t.negatives]).any(axis=1)
    assert plain.shared_share(0) == pytest.approx(shared.mean())


# Real sets, and speed


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tiles_of_real_long_recordings(real_data: Callable[[str], Path]) -> None:
    table = read(real_data("long-recordings"))
    names = sorted({line["recording"] for line in table})
    clock = [line["start_time"] if len(line["start_time"]) == 16 else "1970-01-01T00:00" for line in table]
    start_times = np.array(clock, dtype="datetime64[s]").astype(np.int64).astype(float)
    recordings = np.array([names.index(line["recording"]) for line in table])
    seconds = np.array([float(line["seconds"]) for line in table])
    metadata = replace(
        facts_of(len(table)),
        recordings=recordings,
        groups=recordings,
        start_times=start_times,
        seconds=seconds,
    )
    train = np.flatnonzero([line["split"] == "train" for line in table])
    forest = recordings == names.index("S4A03895")
    within: TileSampler = built({"kind": "tiles"}, metadata, train)
    across: TileSampler = built({"kind": "tiles", "range_seconds": 930.0}, metadata, train)
    assert within.clips_per_epoch == 2 * sum(int(metadata.seconds[row] / CLIP + 1e-6) for row in train)
    for sampler, other_file in ((within, False), (across, True)):
        draws = list(sampler.epoch(0))
        anchors = np.concatenate([indices.rows[: len(indices) // 2] for indices in draws])
        near = np.concatenate([indices.rows[len(indices) // 2 :] for indices in draws])
        assert (recordings[anchors] == recordings[near]).all()
        assert (anchors != near)[forest[anchors]].any() == other_file
        assert all(len(set(recordings[indices.rows])) > 3 for indices in draws)


def test_tag_triplets_of_real_music(real_data: Callable[[str], Path]) -> None:
    table = read(real_data("incompetech-tags"))
    names = sorted({tag for line in table for tag in line["tags"].split("|")})
    tags = np.array([[name in line["tags"].split("|") for name in names] for line in table])
    metadata = replace(facts_of(len(table)), tags=tags, tag_names=tuple(names))
    plain: TagTripletSampler = built({"kind": "tag_triplets"}, metadata)
    guarded: TagTripletSampler = built({"kind": "tag_triplets", "guard": True}, metadata)
    assert len(plain.rule.usable) == len(names) == 44
    assert 0.3 < plain.shared_share(0) < 0.95
    assert guarded.shared_share(0) == 0
    share = 1 - (tags.astype(int) @ tags.astype(int).T == 0).mean()  # between any two clips
    assert plain.shared_share(0) == pytest.approx(share, abs=0.2)


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_an_epoch_of_many_clips_is_quickly_scheduled(given_settings: dict[str, Any]) -> None:
    metadata = facts_of(20_000, labels=50)
    begun = time.thread_time()
    batches = sum(1 for _ in built(given_settings, metadata).epoch(0))
    took = time.thread_time() - begun  # what others on the machine take does not count
    assert took < 2 + batches * 1e-3  # it takes tenths of a second


def test_errors_about_data_are_data_errors() -> None:
    with pytest.raises(DataError):
        built({"kind": "tiles"}, replace(facts_of(9), seconds=np.zeros(9)))
