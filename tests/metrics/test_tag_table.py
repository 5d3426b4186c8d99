"""Intervals of areas under curves: how often they hold the truth, and where there is none."""

import numpy as np
import pytest

from nearfield.core.types import Bools, Floats
from nearfield.metrics.intervals import Resamples
from nearfield.metrics.result import Findings
from nearfield.metrics.retrieval import Blocks
from nearfield.metrics.tag_metrics import TagTable
from nearfield.metrics.tagging import tag_areas


def _drawn(
    chance: np.random.Generator, shares: Floats, told: Floats, groups: int, clips: int
) -> tuple[Bools, Floats]:
    """Clips of recordings: `shares` (K,) of them have each tag, which lifts its score by `told` (K,)."""
    has = chance.random((groups, len(shares))) < shares
    own = has * told + 0.8 * chance.normal(size=has.shape) + 0.5 * chance.normal(size=(groups, 1))
    scores = np.repeat(own, clips, axis=0)
    return np.repeat(has, clips, axis=0), scores + 0.55 * chance.normal(size=scores.shape)


def _table(tags: Bools, scores: Floats, clips: int) -> tuple[TagTable, Findings]:
    at = np.arange(len(tags))
    found = Findings(len(tags), Resamples.of(at // clips, 100), Blocks.by(at // clips))
    return TagTable.of(tags, scores, at, found), found


@pytest.mark.parametrize(
    ("tags", "groups", "clips", "told", "sets"),
    [(44, 41, 3, 0.4, 100), (5, 57, 2, 3.0, 300), (1, 50, 2, 1.2, 300)],
)
def test_intervals_of_mean_areas_hold_the_truth(
    tags: int, groups: int, clips: int, told: float, sets: int
) -> None:
    """benchmarks/areas.py in small: many and few tags, rare and common, told badly and well."""
    chance = np.random.default_rng(8)
    shares = np.geomspace(0.03, 0.4, tags) if tags > 5 else np.full(tags, 0.2)
    lifts = told * np.linspace(0.7, 1.3, tags)
    large = tag_areas(*_drawn(chance, shares, lifts, 20_000, 1))
    held: dict[str, list[bool]] = {"roc_auc": [], "pr_auc": []}
    for _ in range(sets):
        table, found = _table(*_drawn(chance, shares, lifts, groups, clips), clips)
        table.add_means("tagging", found)
        for name, truths in held.items():
            if np.isfinite(table.areas[name]).any():
                low, high = found.intervals[f"tagging/{name}"]
                truths.append(low <= large[name][0, np.isfinite(table.areas[name])].mean() <= high)
    assert all(np.mean(truths) >= 0.92 for truths in held.values()), {n: np.mean(t) for n, t in held.items()}


def test_a_tag_of_one_group_has_no_interval_and_one_of_two_a_wide_one() -> None:
    chance = np.random.default_rng(1)
    tags, scores = np.zeros((60, 3), dtype=bool), chance.random((60, 3))
    tags[:2, 0], tags[:4, 1], tags[::2, 2] = True, True, True
    scores[:4, 1] += 0.5
    table, _ = _table(tags, scores, 2)
    one, two, many = table.rows(("one", "two", "many"), tags.sum(axis=0), np.arange(3))
    assert one.pr_auc is not None
    assert (one.roc_auc_interval, one.pr_auc_interval) == (None, None)
    assert two.pr_auc_interval is not None
    assert many.roc_auc_interval is not None
    assert two.pr_auc_interval[1] - two.pr_auc_interval[0] > 0.9
    assert many.roc_auc_interval[1] - many.roc_auc_interval[0] < 0.4


def test_perfect_scores_have_the_interval_that_the_groups_with_the_tag_allow() -> None:
    tags = (np.arange(60) < 10)[:, None]
    table, found = _table(tags, tags.astype(np.float64), 2)
    table.add_means("tagging", found)
    # Five recordings have the tag: all of them are ranked first by chance unless 0.025 ** (1 / 5) are.
    assert found.intervals["tagging/pr_auc"] == pytest.approx((0.025**0.2, 1))
