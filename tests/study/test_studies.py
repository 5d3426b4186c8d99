"""The shipped studies: each can be run as it stands, and says what it repeats and how it is smaller."""

from pathlib import Path

import pytest

from nearfield.core.errors import RequestError
from nearfield.study.plan import Plan

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
PRESENT = {f"U{number}" for number in (*range(1, 16), 18)}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_whole(path: Path) -> None:
    plan = Plan.load(path)
    ids = {arm.id for arm in plan.arms}
    if path.stem != "demo":
        assert plan.source is not None
        assert plan.source.prefers in {*ids, ""}
        assert set(plan.source.over) <= ids - {plan.source.prefers}
        assert path.read_text().startswith(f"# {plan.source.study}, made for ")
    assert plan.question.endswith("?")
    assert plan.reduced.endswith(".")
    assert not plan.describes_only
    assert Plan.of(plan.plain()) == plan
    assert len(plan.arms) * plan.seeds.at_most <= 40  # minutes, on two cores


def test_each_source_study_has_one_file() -> None:
    sources = [plan.source.study for plan in map(Plan.load, STUDIES) if plan.source]
    assert sorted(sources) == sorted(PRESENT)


def test_the_margin_beyond_the_sphere_needs_leave() -> None:
    margin = next(path for path in STUDIES if path.stem == "margin")
    with pytest.raises(RequestError, match=r"arm '10': loss\.margin: no vectors can satisfy 10"):
        Plan.load(margin, ["allow_impossible=false"])
