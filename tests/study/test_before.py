"""Trainings before the arms: what they are called, what arms make of them, what is refused."""

from pathlib import Path

import pytest
import yaml

from nearfield.core.errors import RequestError
from nearfield.study.arms import filled, is_before
from nearfield.study.plan import Plan
from nearfield.study.records import Task
from nearfield.study.run import Study
from tests.study import trainings

SMALL = {
    "data": {"sample_rate": 8000, "clip_seconds": 0.4},
    "feature": {"kind": "log_mel", "bands": 16},
    "normalize": {"kind": "none"},
    "backbone": {"kind": "small_convnet", "width": 4, "blocks": 2},
    "embedding": {"size": 8},
    "sampler": {"kind": "balanced", "classes": 4, "per_class": 4},
    "train": {"updates": 4},
}


def file(folder: Path, weights: str = "{first}", name: str = "first") -> Path:
    plain = {
        "question": "Does it help to begin from another training?",
        "recipe": SMALL,
        "before": {name: {"loss": {"kind": "circle"}}},
        "arms": {"anew": None, "from it": {"backbone.weights": weights}},
        "seeds": 3,
        "judge": "retrieval_from_train/recall_at_1",
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def test_a_name_that_stands_nowhere_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"before lists no training 'frist'.*'first'"):
        Plan.load(file(tmp_path, weights="{frist}"))
    with pytest.raises(RequestError, match="lower-case letters, digits"):
        Plan.load(file(tmp_path, name="The first"))


def test_a_plan_comes_back_whole_and_the_hash_covers_it(tmp_path: Path) -> None:
    plan = Plan.load(file(tmp_path))
    assert Plan.of(plan.plain()) == plan
    assert "before the arms, once a seed: first (circle)" in plan.held
    assert [arm.id for arm in plan.arms] == ["anew", "from-it"]
    other = {**plan.plain()}
    other["before"] = []
    with pytest.raises(RequestError, match="altered"):
        Plan.of(other)


def test_an_arm_gets_the_run_of_its_own_seed(tmp_path: Path) -> None:
    plan = Plan.load(file(tmp_path))
    recipe = filled(plan.recipe_of("from-it"), plan.before, tmp_path, 2)
    assert recipe.plain()["backbone"]["weights"] == str((tmp_path / "runs/before-first/seed-2").resolve())
    assert filled(plan.recipe_of("anew"), plan.before, tmp_path, 2) == plan.recipe_of("anew")


def test_the_study_trains_them_first_and_compares_the_arms_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "sounds").mkdir()
    sounds = trainings.sounds(tmp_path / "sounds")
    ended: list[Task] = []
    study = Study.create(file(tmp_path), sounds, tmp_path / "out")
    facts = study.run(progress=lambda standing: ended.extend(set(standing.outcomes) - set(ended)))
    assert {is_before(task) for task in ended[:3]} == {True}
    assert all(is_before(task) is False for task in ended[3:])
    assert [arm.arm.id for arm in facts.arms] == ["anew", "from-it"]
    begun = (tmp_path / "out/runs/from-it/seed-1/recipe.yaml").read_text()
    assert "before-first/seed-1" in begun
    assert (tmp_path / "out/study.pdf").is_file()
