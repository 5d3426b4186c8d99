"""Measures without each group of clips against the plain way: take the group's clips out and measure anew."""

import time
from functools import partial

import numpy as np
import pytest

from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.metrics import retrieval as left_out
from nearfield.metrics.intervals import jackknife_deviation, jackknife_interval
from nearfield.metrics.neighbors import Search, nearest
from nearfield.metrics.retrieval import (
    Blocks,
    label_means_without,
    label_scores,
    ranking_scores,
    tag_means_without,
    tag_scores,
)
from nearfield.metrics.temporal import first_without, near_by, near_in_time, of_recording, same_recording

CHANCE = np.random.default_rng(12)
COUNT = 40


def world(barred: str) -> tuple[Vectors, Ints, Ints | None]:
    """Vectors on a grid, where ties are common; groups, some unknown; what is barred to a query."""
    vectors = CHANCE.integers(-2, 3, (COUNT, 3)).astype(np.float32)
    groups = CHANCE.integers(-1, 9, COUNT)
    sources = {"itself": None, "its group": groups, "its song": CHANCE.integers(-1, 4, COUNT)}[barred]
    return vectors, groups, sources


def subset(vectors: Vectors, sources: Ints | None, kept: Bools) -> Search:
    own = None if sources is None else sources[kept]
    return Search.within(vectors[kept], "squared_euclidean", own)


def means(scores: dict[str, Floats]) -> dict[str, float]:
    return {
        name: float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
        for name, values in scores.items()
    }


def check(found: dict[str, Floats], plain: list[dict[str, float]]) -> None:
    assert set(found) == set(plain[0])
    for name, values in found.items():
        np.testing.assert_allclose(values, [each[name] for each in plain], atol=1e-12, err_msg=name)


@pytest.mark.parametrize("barred", ["itself", "its group"])
@pytest.mark.parametrize("classes", [2, 12])
def test_labels_without_a_group_are_those_of_the_other_clips(barred: str, classes: int) -> None:
    vectors, groups, sources = world(barred)
    labels, blocks = CHANCE.integers(0, classes, COUNT), Blocks.by(groups)
    every = subset(vectors, sources, np.ones(COUNT, dtype=bool))
    plain = []
    for block in range(blocks.count):
        kept = blocks.of != block
        plain.append(means(label_scores(subset(vectors, sources, kept), labels[kept], labels[kept])))
    check(label_means_without(every, labels, blocks), plain)


@pytest.mark.parametrize("barred", ["itself", "its group", "its song"])
def test_tags_without_a_group_are_those_of_the_other_clips(barred: str) -> None:
    vectors, groups, sources = world(barred)
    tags, blocks = CHANCE.random((COUNT, 6)) < 0.15, Blocks.by(groups)
    tags[~tags.any(axis=1), 0] = True
    every = subset(vectors, sources, np.ones(COUNT, dtype=bool))
    plain = []
    for block in range(blocks.count):
        kept = blocks.of != block
        search = subset(vectors, sources, kept)
        scores = tag_scores(search, tags[kept], tags[kept]) | ranking_scores(search, tags[kept], tags[kept])
        plain.append(means(scores))
    check(tag_means_without(every, tags, blocks), plain)


def test_nearest_clips_without_a_group_are_those_of_the_other_clips() -> None:
    vectors, groups, _ = world("itself")
    recordings, start_times = CHANCE.integers(-1, 6, COUNT), CHANCE.choice([0.0, 4.0, 8.0, 40.0], COUNT)
    blocks, every = Blocks.by(groups), subset(vectors, None, np.ones(COUNT, dtype=bool))
    found = {
        "same": first_without(every, blocks, partial(of_recording, recordings)),
        "near": first_without(every, blocks, partial(near_by, recordings, start_times, 10.0)),
    }
    plain = []
    for block in range(blocks.count):
        kept = blocks.of != block
        first = nearest(subset(vectors, None, kept), 1)[0][:, 0]
        same = same_recording(first, recordings[kept])
        near = near_in_time(first, recordings[kept], start_times[kept], 10.0)
        plain.append(means({"same": same, "near": near}))
    check(found, plain)


def test_many_groups_are_left_out_in_blocks_of_whole_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_out, "LEAST", 4)
    monkeypatch.setattr(left_out, "CELLS", 0)
    groups = np.repeat(np.arange(10), 3)
    blocks = Blocks.by(groups)
    assert (blocks.count, blocks.groups, set(blocks.of)) == (4, 10, {0, 1, 2, 3})
    assert all(len(set(blocks.of[groups == group])) == 1 for group in range(10))
    np.testing.assert_array_equal(Blocks.by(groups).of, blocks.of)


def test_the_deviation_of_a_mean_is_its_standard_error() -> None:
    scores = CHANCE.random(12)
    without = (scores.sum() - scores) / 11
    assert jackknife_deviation(without) == pytest.approx(scores.std(ddof=1) / np.sqrt(12))


def test_fifty_seven_recordings_cost_milliseconds() -> None:
    vectors, groups = CHANCE.standard_normal((114, 16)).astype(np.float32), np.arange(114) // 2
    labels, blocks = groups % 10, Blocks.by(groups)
    search = Search.within(vectors, sources=groups)
    label_means_without(search, labels, blocks)
    begun = time.perf_counter()
    label_means_without(search, labels, blocks)
    assert time.perf_counter() - begun < 0.5


def test_intervals_of_a_search_within_the_set_hold_the_truth() -> None:
    """benchmarks/intervals.py --measures in small: fifty recordings of five classes, two clips of each.

    Taking the gallery as given holds the truth less often."""
    chance, groups = np.random.default_rng(6), np.arange(100) // 2
    labels, centres = groups // 10, np.random.default_rng(2).normal(0, 1.2, (5, 12))
    blocks = Blocks.by(groups)
    figures, found = [], []
    for _ in range(120):
        own = centres[labels] + chance.normal(0, 1, (50, 12))[groups]
        vectors = (own + chance.normal(0, 0.8, own.shape)).astype(np.float32)
        search = Search.within(vectors, sources=groups)
        scores = label_scores(search, labels, labels)["map_at_r"]
        without = label_means_without(search, labels, blocks)["map_at_r"]
        alone = (scores.sum() - np.bincount(groups, scores)) / 98
        figure = float(scores.mean())
        figures.append(figure)
        found.append([jackknife_interval(figure, each, 50) or (0.0, 1.0) for each in (without, alone)])
    truth = np.mean(figures)
    ours, given = (np.mean([ends[at][0] <= truth <= ends[at][1] for ends in found]) for at in (0, 1))
    assert ours >= 0.93
    assert given < 0.9
