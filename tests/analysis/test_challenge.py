"""The challenge table against scikit-learn, and what it sets beside what."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from nearfield.analysis.explain.challenge import PUBLISHED, challenge_table
from nearfield.core.errors import RequestError


def _clips(count: int = 360) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
    chance = np.random.default_rng(0)
    reference = chance.integers(0, 9, count)
    predicted = np.where(chance.random(count) < 0.7, reference, chance.integers(0, 9, count))
    return predicted, reference, np.arange(count) // 6


def test_every_column_is_scikit_learns_macro_f1_of_its_clips() -> None:
    predicted, reference, groups = _clips()
    known = np.arange(360) % 2 == 0
    table = challenge_table(predicted, reference, known, groups, draws=200)
    for column, kept in (("unknown", ~known), ("known", known), ("all", np.ones(360, dtype=bool))):
        theirs = 100 * f1_score(reference[kept], predicted[kept], average="macro")
        assert getattr(table.ours, column) == pytest.approx(theirs)
        low, high = table.intervals[column]
        assert low < theirs < high
        assert table.clips[column] == kept.sum()
    json.dumps(table.plain(), allow_nan=False)


def test_gaps_are_points_within_a_column_and_never_across() -> None:
    predicted, reference, _ = _clips()
    known = np.arange(360) % 2 == 0
    table = challenge_table(predicted, reference, known, draws=0)
    winner, baseline, thesis = (row.system for row in PUBLISHED)
    assert table.ours.unknown is not None
    assert table.gaps[winner] == {
        "unknown": pytest.approx(table.ours.unknown - 88.4),
        "known": pytest.approx((table.ours.known or 0) - 90.4),
    }
    assert set(table.gaps[baseline]) == {"unknown", "known"}
    assert table.gaps[thesis] == {"all": pytest.approx((table.ours.all or 0) - 62.19)}
    assert table.alike == {winner: False, baseline: False, thesis: True}
    assert table.intervals == {}


def test_a_set_of_one_sort_of_node_has_no_figure_for_the_other() -> None:
    predicted, reference, _ = _clips()
    table = challenge_table(predicted, reference, np.zeros(360, dtype=bool), reading="supervised", draws=0)
    assert table.ours.known is None
    assert table.gaps[PUBLISHED[0].system].keys() == {"unknown"}
    assert table.alike[PUBLISHED[0].system]
    with pytest.raises(RequestError, match="known_node: 360 entries are expected"):
        challenge_table(predicted, reference, np.zeros(3, dtype=bool))
