"""Scores by place in the recording: places by hand, planted weakness, intervals that hold the truth."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from nearfield.analysis.explain.position import Among, position_scores, relative_places
from nearfield.core.errors import RequestError
from nearfield.core.types import Bools, ClipMetadata, Floats, Ints, Vectors
from nearfield.metrics.intervals import jackknife_interval
from nearfield.metrics.neighbors import Search, nearest
from nearfield.metrics.retrieval import recall_of_first, sharing, tag_scores
from nearfield.metrics.temporal import first_is_relevant, of_recording, same_recording


def _facts(recordings: int = 30, clips: int = 20, seconds: float = 5.0) -> ClipMetadata:
    count = recordings * clips
    of = np.repeat(np.arange(recordings), clips)
    return ClipMetadata(
        labels=np.full(count, -1),
        label_names=(),
        tags=np.zeros((count, 0), dtype=bool),
        tag_names=(),
        recordings=of,
        groups=of,
        start_times=np.tile(np.arange(clips) * seconds, recordings),
        seconds=np.full(count, seconds),
    )


def test_places_run_from_the_first_clip_to_the_last() -> None:
    metadata = _facts(2, 10)
    expected = np.tile((np.arange(10) + 0.5) / 10, 2)
    np.testing.assert_allclose(relative_places(metadata), expected)
    # A recording that starts later than its first clip, and ends after its last one.
    spans = np.tile([-50.0, 50.0], (20, 1))
    np.testing.assert_allclose(relative_places(metadata, spans), np.tile((np.arange(10) * 5 + 52.5) / 100, 2))
    shuffled = np.random.default_rng(0).permutation(20)
    np.testing.assert_allclose(relative_places(metadata.take(shuffled)), expected[shuffled])


def test_whole_files_and_clips_of_no_recording_have_no_place() -> None:
    assert np.isnan(relative_places(_facts(5, 1))).all()
    metadata = _facts(2, 10)
    lost = replace(metadata, recordings=np.where(np.arange(20) < 10, -1, metadata.recordings))
    assert np.isnan(relative_places(lost)[:10]).all()


def test_planted_weakness_at_the_beginning_is_found_and_the_end_cleared() -> None:
    metadata, chance = _facts(), np.random.default_rng(1)
    places = relative_places(metadata)
    sure = np.where(places < 0.1, 0.4, 0.9)
    right = (chance.random(600) < sure).astype(np.float64)
    right[7] = np.nan
    first, middle, last = position_scores(right, places, metadata.groups)
    assert [row.part for row in (first, middle, last)] == ["first", "middle", "last"]
    assert first.clips == 60
    assert first.score == pytest.approx(np.nanmean(right[places < 0.1]))
    assert middle.score == pytest.approx(np.nanmean(right[(places >= 0.1) & (places < 0.9)]))
    assert first.less == pytest.approx((middle.score or 0) - (first.score or 0))
    assert first.less_interval is not None
    assert first.less_interval[0] > 0.2
    assert last.less_interval is not None
    assert last.less_interval[1] < first.less_interval[0]
    assert (middle.less, middle.less_interval) == (None, None)


@pytest.mark.parametrize("recordings", [4, 20])
def test_intervals_hold_the_truth_where_nothing_is_weak(recordings: int) -> None:
    metadata = _facts(recordings, 30)
    places, held = relative_places(metadata), np.zeros(2, np.int64)
    for seed in range(100):
        chance = np.random.default_rng(seed)
        sure = chance.beta(7, 3, recordings)[
            metadata.groups
        ]  # some recordings are harder, all the way through
        right = (chance.random(len(sure)) < sure).astype(np.float64)
        first = position_scores(right, places, metadata.groups, draws=300)[0]
        for number, (ends, truth) in enumerate(((first.interval, 0.7), (first.less_interval, 0.0))):
            assert ends is not None
            held[number] += ends[0] <= truth <= ends[1]
    assert (held >= 90).all()


def test_where_every_clip_is_right_the_interval_is_what_so_few_recordings_allow() -> None:
    metadata = _facts(4, 20)
    for part in position_scores(np.ones(80), relative_places(metadata), metadata.groups, draws=50):
        assert part.interval == pytest.approx((0.025 ** (1 / 4), 1))
        assert part.less_interval is None


def test_a_part_without_clips_has_no_score_and_no_clips_at_all_are_refused() -> None:
    places = np.full(10, 0.5)
    first, middle, _ = position_scores(np.ones(10), places, np.arange(10), draws=20)
    assert (first.score, first.less, middle.score) == (None, None, 1)
    with pytest.raises(RequestError, match="no clip with a score is part of a longer recording"):
        position_scores(np.ones(10), np.full(10, np.nan), np.arange(10))


def test_edges_and_draws_that_give_nothing_are_refused() -> None:
    asked = np.ones(10), np.linspace(0, 1, 10), np.arange(10)
    for edge in (0.0, 0.5, 0.7, -0.1, np.nan):
        with pytest.raises(RequestError, match=r"edge must be above 0 and below 0\.5"):
            position_scores(*asked, edge=edge)
    with pytest.raises(RequestError, match="draws: an interval needs at least one draw"):
        position_scores(*asked, draws=0)


def _by_recording(vectors: Vectors, groups: Ints) -> tuple[Floats, Among]:
    """Whether the nearest clip is of the same recording, and the search that says so."""
    search = Search.within(vectors)
    scores = same_recording(nearest(search, 1)[0][:, 0], groups)
    return scores, Among(search, partial(of_recording, groups), first_is_relevant)


def _by_tags(tags: Bools, vectors: Vectors, groups: Ints) -> tuple[Floats, Among]:
    """How many of its tags the nearest clip of another recording has, and the search that says so."""
    search = Search.within(vectors, sources=groups)
    scores = tag_scores(search, tags, tags, (1,))["multilabel_recall_at_1"]
    return scores, Among(search, partial(sharing, tags), partial(recall_of_first, tags))


@pytest.mark.parametrize("by_tags", [False, True])
def test_a_search_among_the_clips_is_done_anew_without_each_recording(by_tags: bool) -> None:
    """Against the plain way: take a recording's clips out of queries and gallery, search and measure anew."""
    chance, metadata = np.random.default_rng(3), _facts(7, 10)
    vectors = chance.normal(0, 1, (7, 3))[metadata.groups] + chance.normal(0, 1, (70, 3))
    tags, places = chance.random((70, 4)) < 0.4, relative_places(metadata)
    tags[~tags.any(axis=1), 0] = True
    places[5] = np.nan  # is found, but does not count

    def measured(kept: Bools) -> tuple[Floats, Among, list[float]]:
        some = vectors[kept].astype(np.float32), metadata.groups[kept]
        scores, among = _by_tags(tags[kept], *some) if by_tags else _by_recording(*some)
        parts = [places[kept] < 0.1, (places[kept] >= 0.1) & (places[kept] < 0.9), places[kept] >= 0.9]
        return scores, among, [float(np.nanmean(scores[part])) for part in parts]

    scores, among, figures = measured(np.ones(70, dtype=bool))
    without = np.array([measured(metadata.groups != group)[2] for group in range(7)])
    found = position_scores(scores, places, metadata.groups, among=among)
    for number, part in enumerate(found):
        assert part.score == pytest.approx(figures[number])
        assert part.interval == pytest.approx(jackknife_interval(figures[number], without[:, number], 7))
    # t for a probability of 0.975 with 6 degrees of freedom
    reach = 2.446912 * np.sqrt(6 * np.var(without[:, 1] - without[:, 0]))
    assert found[0].less_interval == pytest.approx(
        (figures[1] - figures[0] - reach, figures[1] - figures[0] + reach), abs=1e-5
    )


def test_a_part_that_one_recording_alone_has_keeps_its_score_without_it() -> None:
    metadata, places = _facts(4, 5), np.full(20, 0.5)
    places[0] = 0.05
    vectors = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    scores, among = _by_recording(vectors, metadata.groups)
    first, middle, last = position_scores(scores, places, metadata.groups, among=among)
    assert (first.clips, first.interval, first.less_interval) == (1, None, None)
    assert middle.interval is not None
    assert (last.score, last.interval) == (None, None)


def test_intervals_of_a_search_among_the_clips_hold_the_truth() -> None:
    """benchmarks/calibration.py --places in small. Taking the gallery as given holds the truth less often."""
    chance, metadata = np.random.default_rng(6), _facts(50, 10)
    labels, places = metadata.groups // 10, relative_places(metadata)
    centres, tags = np.random.default_rng(2).normal(0, 1, (5, 12)), np.eye(5, dtype=bool)[labels]
    both = []
    for _ in range(80):
        own = centres[labels] + chance.normal(0, 1, (50, 12))[metadata.groups]
        vectors = (own + chance.normal(0, 0.4, own.shape)).astype(np.float32)
        scores, among = _by_tags(tags, vectors, metadata.groups)
        both.append(
            [position_scores(scores, places, metadata.groups, 200, among=each)[1] for each in (among, None)]
        )
    truth = np.mean([ours.score for ours, _ in both])
    held = np.mean([[p.interval[0] <= truth <= p.interval[1] for p in pair] for pair in both], axis=0)  # type: ignore[index]
    assert held[0] >= 0.93
    assert held[1] < 0.9
