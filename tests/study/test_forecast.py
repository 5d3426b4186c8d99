"""What a plan can decide, against studies that are simulated and judged by the study's own rule."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from nearfield.core.types import Ints
from nearfield.study.document import facts_from_json
from nearfield.study.file import SeedPlan
from nearfield.study.forecast import Parts, Sizes, forecast, parts_of, sentences, shipped, typical
from nearfield.study.plan import Plan
from nearfield.study.statistics.conclude import PlannedTest, conclude
from nearfield.study.statistics.planning import WANTED_POWER
from nearfield.study.statistics.two_way import Array
from tests.study import trainings

STUDIES = Path(__file__).parents[2] / "docs" / "studies"
PARTS = Parts("probe/accuracy", "audio", ("made",), 40, 0.03, 0.1, 0.2)


def plan(folder: Path, seeds: int, folds: int = 1, meaningful: float = 0.05) -> Plan:
    found = trainings.plan(folder)
    return replace(found, seeds=SeedPlan(seeds, seeds, False, folds=folds), meaningful=meaningful)


def simulated(rng: np.random.Generator, seeds: int, folds: int, groups: int) -> tuple[Array, Ints]:
    """Scores of two arms whose difference has the parts of `PARTS`, and the fold of each group."""
    fold: Ints = np.sort(np.arange(groups) % folds).astype(np.int64)
    by_seed = rng.normal(0, PARTS.seed, (seeds, folds))[:, fold]
    by_group, rest = rng.normal(0, PARTS.group, groups), rng.normal(0, PARTS.rest, (seeds, groups))
    common = 0.5 + rng.normal(0, 0.2, groups)
    return np.stack([common + by_seed + by_group + rest, common + np.zeros((seeds, groups))]), fold


@pytest.mark.parametrize(("seeds", "folds"), [(5, 1), (3, 5)])
def test_power_is_that_of_simulated_studies(seeds: int, folds: int, tmp_path: Path) -> None:
    asked = plan(tmp_path, seeds, folds, meaningful=0.08)
    sizes = Sizes(40, 200)
    found = forecast(asked, sizes, PARTS)
    rng, claims, studies = np.random.default_rng(1), 0, 200
    # With folds, groups count twice, for training clips in common: so do those of the simulation.
    for _ in range(studies):
        tables, fold = simulated(rng, seeds, folds, sizes.test if folds == 1 else sizes.folded)
        tables[0] += 0.08 + (rng.normal(0, PARTS.group / sizes.folded**0.5) if folds > 1 else 0.0)
        test = PlannedTest("probe/accuracy", 0.01, {}, folds=fold)
        arms = {"a": tables[0], "b": tables[1]}
        # A baseline far below takes its part of the error rate, as the forecast assumes.
        (pair, *_) = conclude(test, arms, baselines={"chance": np.zeros((1, tables.shape[2]))}).comparisons
        claims += pair.claim in ("better", "worse")
    assert found.own.power == pytest.approx(claims / studies, abs=0.09)


def test_the_smallest_difference_is_shown_however_large_it_is(tmp_path: Path) -> None:
    wide = replace(PARTS, seed=2.0)
    found = forecast(plan(tmp_path, 3), Sizes(2, 6), wide)
    for design in found.options:
        shown = forecast(plan(tmp_path, 3, meaningful=1.05 * design.smallest), Sizes(2, 6), wide)
        assert next(each.power for each in shown.options if each.name == design.name) >= WANTED_POWER
    assert found.own.smallest > 1
    assert "and with 100 seeds" in next(sentences(found))


def test_the_design_that_is_named_suffices_and_cheaper_ones_do_not(tmp_path: Path) -> None:
    found = forecast(plan(tmp_path, 3), Sizes(40, 200), PARTS)
    assert found.is_unlikely
    assert found.enough is not None
    assert found.enough.power >= WANTED_POWER
    assert found.enough.smallest <= 0.05 + 1e-3
    cheaper = [each for each in found.options if each.trainings < found.enough.trainings]
    assert cheaper
    assert all(each.power < WANTED_POWER for each in cheaper if each.name != "twice the groups")
    assert found.floor < found.own.smallest
    text = " ".join(sentences(found))
    assert found.enough.name in text
    assert "(3 seeds)" in text


def test_where_no_design_suffices_the_others_are_named(tmp_path: Path) -> None:
    found = forecast(plan(tmp_path, 3, meaningful=0.001), Sizes(10, 50), PARTS)
    assert found.enough is None
    assert "No design of up to 5 folds of 20 seeds shows 0.001" in " ".join(sentences(found))


def test_the_shipped_parts_are_those_of_the_published_studies() -> None:
    found = []
    for path in sorted(STUDIES.glob("*/facts.json")):
        row = parts_of(facts_from_json(yaml.safe_load(path.read_text(encoding="utf-8"))))
        found += [row.plain()] if row else []
    assert [each.plain() for each in shipped()] == found


def test_typical_parts_are_those_of_the_judge_and_of_the_modality() -> None:
    rows = (PARTS, replace(PARTS, seed=0.05, studies=("other",)), replace(PARTS, modality="image", seed=1.0))
    found = typical("probe/accuracy", "audio", rows)
    assert found is not None
    assert found.seed == pytest.approx(((0.03**2 + 0.05**2) / 2) ** 0.5)
    assert found.studies == ("made", "other")
    assert typical("knn/accuracy", "audio", rows) is None
    assert typical("probe/accuracy", "image", rows[:1]) == replace(PARTS, modality="audio")
