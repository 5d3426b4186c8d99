"""Scores by place in the recording: places by hand, planted weakness, intervals that hold the truth."""

from dataclasses import replace

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Facts
from nearfield.evaluation.position import position_scores, relative_places


def _facts(recordings: int = 30, clips: int = 20, seconds: float = 5.0) -> Facts:
    count = recordings * clips
    of = np.repeat(np.arange(recordings), clips)
    return Facts(
        labels=np.full(count, -1),
        label_names=(),
        tags=np.zeros((count, 0), dtype=bool),
        tag_names=(),
        recordings=of,
        groups=of,
        moments=np.tile(np.arange(clips) * seconds, recordings),
        seconds=np.full(count, seconds),
    )


def test_places_run_from_the_first_clip_to_the_last() -> None:
    facts = _facts(2, 10)
    expected = np.tile((np.arange(10) + 0.5) / 10, 2)
    np.testing.assert_allclose(relative_places(facts), expected)
    # A recording that starts later than its first clip, and ends after its last one.
    spans = np.tile([-50.0, 50.0], (20, 1))
    np.testing.assert_allclose(relative_places(facts, spans), np.tile((np.arange(10) * 5 + 52.5) / 100, 2))
    shuffled = np.random.default_rng(0).permutation(20)
    np.testing.assert_allclose(relative_places(facts.take(shuffled)), expected[shuffled])


def test_whole_files_and_clips_of_no_recording_have_no_place() -> None:
    assert np.isnan(relative_places(_facts(5, 1))).all()
    facts = _facts(2, 10)
    lost = replace(facts, recordings=np.where(np.arange(20) < 10, -1, facts.recordings))
    assert np.isnan(relative_places(lost)[:10]).all()


def test_planted_weakness_at_the_beginning_is_found_and_the_end_cleared() -> None:
    facts, chance = _facts(), np.random.default_rng(1)
    places = relative_places(facts)
    sure = np.where(places < 0.1, 0.4, 0.9)
    right = (chance.random(600) < sure).astype(np.float64)
    right[7] = np.nan
    first, middle, last = position_scores(right, places, facts.groups)
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
    facts = _facts(recordings, 30)
    places, held = relative_places(facts), np.zeros(2, np.int64)
    for seed in range(100):
        chance = np.random.default_rng(seed)
        sure = chance.beta(7, 3, recordings)[facts.groups]  # some recordings are harder, all the way through
        right = (chance.random(len(sure)) < sure).astype(np.float64)
        first = position_scores(right, places, facts.groups, draws=300)[0]
        for number, (ends, truth) in enumerate(((first.interval, 0.7), (first.less_interval, 0.0))):
            assert ends is not None
            held[number] += ends[0] <= truth <= ends[1]
    assert (held >= 90).all()


def test_where_every_clip_is_right_the_interval_is_what_so_few_recordings_allow() -> None:
    facts = _facts(4, 20)
    for part in position_scores(np.ones(80), relative_places(facts), facts.groups, draws=50):
        assert part.interval == pytest.approx((0.025 ** (1 / 4), 1))
        assert part.less_interval is None


def test_a_part_without_clips_has_no_score_and_no_clips_at_all_are_refused() -> None:
    places = np.full(10, 0.5)
    first, middle, _ = position_scores(np.ones(10), places, np.arange(10), draws=20)
    assert (first.score, first.less, middle.score) == (None, None, 1)
    with pytest.raises(RequestError, match="no clip with a score lies inside a longer recording"):
        position_scores(np.ones(10), np.full(10, np.nan), np.arange(10))


def test_edges_and_draws_that_give_nothing_are_refused() -> None:
    asked = np.ones(10), np.linspace(0, 1, 10), np.arange(10)
    for edge in (0.0, 0.5, 0.7, -0.1, np.nan):
        with pytest.raises(RequestError, match=r"edge is a share above 0 and below 0\.5"):
            position_scores(*asked, edge=edge)
    with pytest.raises(RequestError, match="draws: an interval needs one draw at least"):
        position_scores(*asked, draws=0)
