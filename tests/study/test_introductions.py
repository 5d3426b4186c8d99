"""Every factor that a shipped study varies has a text, and each text names its sources."""

import re
from pathlib import Path

import pytest

from nearfield.cli.families import families
from nearfield.core.settings import kinds
from nearfield.core.shipped import shipped
from nearfield.study.facts import introduction, introductions
from nearfield.study.plan import Plan
from nearfield.training.recipe import Recipe

STUDIES = [path for name, path in shipped("studies").items() if "/" not in name]
ASKED = [
    *(
        "loss.margin",
        "loss.kind",
        "loss.reduction",
        "embedding.size",
        "embedding.normalize",
        "penalty.strength",
        "feature.kind",
        "feature.bands",
    ),
    *("miner.kind", "sampler.per_class", "data.clip_seconds", "optimizer.lr", "schedule.kind", "augment"),
    *("backbone.kind", "normalize.kind", "relation.kind", "train.updates"),
]


def arms(plan: Plan) -> list[Recipe]:
    return [plan.recipe_of(arm.id) for arm in plan.arms] or [plan.recipe]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_factor_of_a_shipped_study_has_a_text(path: Path) -> None:
    plan = Plan.load(path)
    assert [key for key in plan.varied if not introduction(key, arms(plan))] == []


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_study_explains_a_setting_of_a_loss_that_no_arm_has(path: Path) -> None:
    plan = Plan.load(path)
    taken = {recipe.loss.kind for recipe in arms(plan)}
    kept = {text for key, text in introductions().items() if key.split(".")[1] in taken}
    others = {
        text
        for key, text in introductions().items()
        if key.startswith("loss.") and key.count(".") == 2 and key.split(".")[1] not in taken
    } - kept
    assert others
    told = " ".join(introduction(key, arms(plan)) or "" for key in plan.varied)
    assert not [text for text in others if text in told]


@pytest.mark.parametrize("key", ASKED)
def test_texts_are_whole_sentences(key: str) -> None:
    text = introduction(key, [Recipe()])
    assert text is not None
    assert re.fullmatch(r"[A-Z].{100,}\.", text)
    assert "  " not in text


def test_each_kind_that_an_arm_has_is_explained_once() -> None:
    circle, focal, triplet = (Recipe.of({"loss": {"kind": kind}}) for kind in ("circle", "focal", "triplet"))
    own = introduction("loss.gamma", [circle]), introduction("loss.gamma", [focal])
    assert all(own)
    assert own[0] != own[1]
    assert introduction("loss.gamma", [circle, triplet, focal, circle]) == f"{own[0]} {own[1]}"
    assert introduction("augment.0.max_seconds", [circle]) == introduction("augment", [circle])


def test_there_is_none_for_a_key_without_one() -> None:
    assert introduction("loss.gamma", [Recipe()]) is None
    assert introduction("loss.swap", [Recipe()]) is None
    assert introduction("nothing.at_all", [Recipe()]) is None


def test_every_text_is_of_a_key_that_there_is() -> None:
    plain = Recipe().plain()
    plural = {"normalize": "normalizations", "augment": "augmentations", "loss": "losses"}
    for key in introductions():
        section, *rest = key.split(".")
        assert section in plain, key
        if len(rest) == 2:
            member = kinds(families()[plural.get(section, f"{section}s")])[rest[0]]
            assert rest[1] in member.model_fields, key
        elif rest[0] != "kind":
            assert rest[0] in plain[section], key
