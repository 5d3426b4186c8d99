"""Every factor that a shipped study varies has a text, and each text names its sources."""

import re
from pathlib import Path

import pytest

from nearfield.runs.recipe import Recipe
from nearfield.study.introductions import introduction
from nearfield.study.plan import Plan

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
ASKED = [
    *("loss.margin", "loss.m", "loss.gamma", "loss.temperature", "loss.kind", "loss.reduction"),
    *("embedding.size", "embedding.normalise", "penalty.strength", "feature.kind", "feature.bands"),
    *("miner.kind", "sampler.per_class", "data.clip_seconds", "optimizer.lr", "schedule.kind", "augment"),
    *("backbone.kind", "normalise.kind", "relation.kind", "relation.range_seconds", "train.updates"),
]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_factor_of_a_shipped_study_has_a_text(path: Path) -> None:
    plan = Plan.load(path)
    assert [key for key in plan.varied if not introduction(key, plan.recipe)] == []


@pytest.mark.parametrize("key", ASKED)
def test_texts_are_whole_sentences(key: str) -> None:
    text = introduction(key, Recipe())
    assert text is not None
    assert re.fullmatch(r"[A-Z].{100,}\.", text)
    assert "  " not in text


def test_the_recipes_own_kind_is_asked_first() -> None:
    tiles = Recipe.of({"sampler": {"kind": "tiles"}})
    assert introduction("sampler.batch", tiles) != introduction("sampler.per_class", tiles)
    assert introduction("loss.m", Recipe()) == introduction("loss.m", Recipe.of({"loss": {"kind": "circle"}}))
    assert introduction("augment.0.max_seconds", Recipe()) == introduction("augment", Recipe())


def test_there_is_none_for_a_key_without_one() -> None:
    assert introduction("loss.swap", Recipe()) is None
    assert introduction("nothing.at_all", Recipe()) is None
