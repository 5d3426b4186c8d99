"""How fast arms reach a target: by hand and by closed form, with trainings that never get there."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from nearfield.core.errors import RequestError
from nearfield.study.document.content import Table
from nearfield.study.document.sections import document
from nearfield.study.measures import arm_speed, check_target, first_reach
from nearfield.study.plan import Plan
from nearfield.study.records import Speed
from nearfield.training.recipe import Recipe
from tests.study.overclaims import check_overclaims
from tests.study.sample import sample_facts

EVERY, BATCH = 10, 32


def write_log(path: Path, rise: float, step_seconds: float, updates: int = 200) -> Path:
    """recall = 1 - exp(-update / rise), seen every tenth update; a validation takes 9 s of the next one."""
    lines = []
    for update in range(1, updates + 1):
        seconds = step_seconds + (9.0 if update % EVERY == 1 and update > 1 else 0.0)
        line = {"update": update, "train/examples_per_second": BATCH / seconds}
        if update % EVERY == 0:
            line["val/score"] = 1 - math.exp(-update / rise)
        lines.append(json.dumps(line))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("target", [0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("rise", [20.0, 47.0, 80.0])
def test_the_update_is_the_first_validation_after_the_closed_form(
    tmp_path: Path, rise: float, target: float
) -> None:
    crossing = -rise * math.log(1 - target)
    expected = EVERY * math.ceil(crossing / EVERY)
    found = arm_speed("a", [write_log(tmp_path / "m.jsonl", rise, 0.25)], target, BATCH)
    assert found.updates == (expected,)
    assert found.seconds[0] == pytest.approx(0.25 * expected)
    assert found.never == 0


def test_the_median_counts_those_that_never_got_there_as_slowest(tmp_path: Path) -> None:
    logs: list[Path | None] = [
        write_log(tmp_path / f"{rise}.jsonl", rise, 0.1) for rise in (10.0, 20.0, 30.0, 1e6)
    ]
    found = arm_speed("a", [*logs, None], 0.5, BATCH)  # crossings at 6.9, 13.9, 20.8
    assert found.updates == (10, 20, 30, None, None)
    assert (found.median_updates, found.never) == (30, 2)
    assert found.median_seconds == pytest.approx(3.0)
    assert arm_speed("a", [*logs[1:], None], 0.5, BATCH).median_updates is None


def test_validations_cost_no_seconds_however_often_they_come() -> None:
    """Every second update is validated, and the one after it seems to take 9 s more."""
    lines = [
        {"update": u, "train/examples_per_second": BATCH / (0.25 if u % 2 == 0 or u == 1 else 9.25)}
        | ({"val/score": u / 10} if u % 2 == 0 else {})
        for u in range(1, 11)
    ]
    found = first_reach(lines, 0.5, BATCH)
    assert found is not None
    assert found == (6, 6 * 0.25)
    always = [{"update": u, "train/examples_per_second": 1.0, "val/score": 1.0} for u in (1, 2, 3)]
    assert first_reach(always, 0.5, BATCH) == (1, None)


def test_a_null_and_a_log_without_validations_reach_nothing() -> None:
    lines: list[dict[str, float | None]] = [{"update": 1, "val/score": None}, {"update": 2}]
    assert first_reach(lines, 0.1, BATCH) is None
    assert first_reach([], 0.1, BATCH) is None


def test_a_target_without_validations_is_refused_and_leaves_other_plans_their_hash() -> None:
    plan = Plan.load("circle_or_triplet")
    with pytest.raises(RequestError, match=r"target: 0.7 .* arm 'a' never validates"):
        check_target(0.7, {"a": Recipe()}, "s.yaml")
    check_target(None, {"a": Recipe()}, "s.yaml")
    check_target(0.7, {name.name: plan.recipe_of(name.id) for name in plan.arms}, "s.yaml")
    assert "target" not in replace(plan, target=None).plain()
    with_target = replace(plan, target=0.75)
    assert Plan.of(with_target.plain()) == with_target
    assert with_target.differences(replace(plan, target=None)) == ["target: 0.75, planned none."]


def test_the_document_tells_it_and_claims_nothing() -> None:
    speeds = (
        Speed("margin-0.3", (40, 60, None), (4.0, 6.0, None), 60, 6.0, 1),
        Speed("margin-0.5", (None, None, 1200), (None, None, 99.0), None, None, 2),
    )
    facts = sample_facts(target=0.7, speeds=speeds)
    content = document(facts, {})
    (table,) = [each for each in content.blocks() if isinstance(each, Table) and each.name == "speed"]
    assert [row.cells for row in table.rows] == [
        ("margin 0.3", "60", "40 to 60", "6.0", "1 of 3"),
        ("margin 0.5", "—", "1,200 to 1,200", "—", "2 of 3"),
    ]
    assert check_overclaims(content.own_text(), facts) == []
    assert not [
        each for each in document(sample_facts(), {}).blocks() if getattr(each, "name", "") == "speed"
    ]
