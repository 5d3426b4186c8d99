"""Two taggers compared: areas of scikit-learn, p that holds its level, Holm by definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from nearfield.analysis.compare import compare_taggers
from nearfield.core.errors import RequestError
from nearfield.core.types import Bools, Floats, Ints
from nearfield.metrics.intervals import holm

NAMES = ("a", "b", "c", "d")


def _world(seed: int = 0, count: int = 400) -> tuple[Bools, Floats, Ints]:
    chance = np.random.default_rng(seed)
    hidden = chance.standard_normal((count, 4))
    tags = hidden > np.array([0, 0.5, 1, 1.5])
    return tags, hidden + chance.standard_normal((count, 4)), np.arange(count) // 4


def test_areas_and_differences_are_scikit_learns() -> None:
    tags, first, groups = _world()
    second = first + np.random.default_rng(1).standard_normal(first.shape)
    table = compare_taggers(tags, first, second, NAMES, groups, draws=100)
    assert table.groups == 100
    for k, row in enumerate(table.tags):
        assert (row.name, row.positives) == (NAMES[k], tags[:, k].sum())
        assert row.roc_auc is not None
        assert row.pr_auc is not None
        assert row.roc_auc.first == pytest.approx(roc_auc_score(tags[:, k], first[:, k]))
        assert row.pr_auc.second == pytest.approx(average_precision_score(tags[:, k], second[:, k]))
        assert row.pr_auc.difference == pytest.approx(row.pr_auc.second - row.pr_auc.first)
    assert table.macro.roc_auc is not None
    assert table.macro.roc_auc.first == pytest.approx(roc_auc_score(tags, first, average="macro"))


def test_a_tag_made_worse_is_told_and_the_others_are_not() -> None:
    tags, first, groups = _world()
    second = first.copy()
    second[:, 1] = np.random.default_rng(2).standard_normal(400)
    table = compare_taggers(tags, first, second, NAMES, groups, draws=300)
    hurt, same = table.tags[1].roc_auc, table.tags[0].roc_auc
    assert hurt is not None
    assert hurt.interval is not None
    assert hurt.interval[1] < -0.1
    assert hurt.p_holm is not None
    assert hurt.p_holm < 0.001
    assert same is not None
    assert (same.difference, same.interval, same.p, same.p_holm) == (0, None, 1, 1)
    # Turned round, every difference changes its sign and nothing else.
    turned = compare_taggers(tags, second, first, NAMES, groups, draws=300).tags[1].roc_auc
    assert turned is not None
    assert turned.difference == pytest.approx(-hurt.difference)
    assert turned.p == pytest.approx(hurt.p)


def test_equal_taggers_are_called_unlike_in_few_of_many_worlds() -> None:
    claims = {"one": 0, "family": 0}
    for seed in range(100):
        tags, _, groups = _world(seed, 240)
        chance = np.random.default_rng(1000 + seed)
        hidden = np.where(tags, 1.0, 0.0)
        shared = chance.standard_normal((60, 4))[groups]
        first, second = (hidden + shared + chance.standard_normal((240, 4)) for _ in range(2))
        rows = [row.roc_auc for row in compare_taggers(tags, first, second, NAMES, groups, draws=150).tags]
        claims["one"] += sum(row is not None and row.p is not None and row.p < 0.05 for row in rows)
        claims["family"] += any(
            row is not None and row.p_holm is not None and row.p_holm < 0.05 for row in rows
        )
    assert claims["one"] <= 0.08 * 400
    assert claims["family"] <= 10


def test_rare_tags_are_marked_and_those_of_one_kind_left_out() -> None:
    tags, first, groups = _world()
    tags[:, 0], tags[:, 1] = True, False
    tags[:3, 1] = True
    tags[:, 3] = False
    table = compare_taggers(tags, first, first[:, ::-1].copy(), NAMES, groups, draws=50)
    assert table.tags[0].roc_auc is None
    assert table.tags[3].pr_auc is None
    assert table.tags[1].few
    rare = table.tags[1].roc_auc
    assert rare is not None
    # All three clips are of one group: nothing says how another would fare.
    assert (rare.interval, rare.p, rare.p_holm) == (None, None, None)
    with pytest.raises(RequestError, match="second: 400 entries are expected"):
        compare_taggers(tags, first, first[:9], NAMES, groups)
    with pytest.raises(RequestError, match="names: 4 entries are expected"):
        compare_taggers(tags, first, first, NAMES[:2], groups)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_its_definition(values: list[float]) -> None:
    held = holm(np.array(values))
    order = np.argsort(values, kind="stable")
    for place, at in enumerate(order):
        worst = max((len(values) - before) * values[order[before]] for before in range(place + 1))
        assert held[at] == pytest.approx(min(1, worst))
    assert (held >= np.array(values) - 1e-15).all()


def test_no_draws_are_refused_in_words() -> None:
    tags, scores, groups = _world(count=40)
    with pytest.raises(RequestError, match="draws: an interval needs at least one draw"):
        compare_taggers(tags, scores, scores, NAMES, groups, draws=0)


def test_differences_of_areas_end_at_one_and_two_groups_have_no_interval() -> None:
    tags, first, groups = _world(count=60)
    few = np.minimum(groups, 2)  # groups of 4, 4 and 52 clips
    for numbers, least in ((few, 3), (np.minimum(groups, 1), 2)):
        table = compare_taggers(tags, first, -first, NAMES, numbers, draws=200)
        for row in (*table.tags, table.macro):
            area = row.roc_auc
            assert area is not None
            assert area.groups <= least
            if area.groups < 3:
                assert (area.interval, area.p) == (None, None)
            else:
                assert area.interval is not None
                assert -1 <= area.interval[0] < area.difference < area.interval[1] <= 1
