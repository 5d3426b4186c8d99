"""Plans: what a study file becomes, what is refused before anything is trained, and what the hash covers."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearfield.core.errors import RequestError
from nearfield.study.budget import budget, reduced
from nearfield.study.estimate import baselines_of, runs_of
from nearfield.study.file import SeedPlan
from nearfield.study.plan import Plan
from nearfield.study.records import Arm
from nearfield.training.recipe import Recipe

SMALL: dict[str, Any] = {
    "data": {"sample_rate": 8000, "clip_seconds": 1.0},
    "feature": {"kind": "log_mel", "bands": 16},
    "backbone": {"kind": "small_convnet", "width": 4, "blocks": 2},
    "sampler": {"kind": "balanced", "classes": 4, "per_class": 4},
    "loss": {"kind": "triplet", "margin": 0.3},
    "train": {"updates": 60, "validate_every": 5},
}


def study(folder: Path, **keys: Any) -> Path:
    """A study file of margins; `keys` replace or add, None takes away."""
    plain = {"question": "How?", "recipe": SMALL, "vary": {"loss.margin": [0.1, 0.3, 1]}} | keys
    path = folder / "a_study.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in plain.items() if value is not None}))
    return path


def test_arms_that_are_reduced_alike_are_told_and_others_refused() -> None:
    """Seven labels where eight are asked for: `train` takes seven, and so does a study."""
    eight = Recipe().changed({"sampler.classes": 8, "sampler.per_class": 8})
    sixteen = Recipe().changed({"sampler.classes": 4, "sampler.per_class": 16})
    both = {"a": eight, "b": eight}
    assert reduced(both, {"a": 64, "b": 64}, None, "s") == {}
    assert reduced(both, {"a": 56, "b": 56}, None, "s") == {"a": 56, "b": 56}
    with pytest.raises(RequestError, match=r"'a' has 56 instead of 64: arms 'a' and 'b' have different"):
        reduced({"a": eight, "b": sixteen}, {"a": 56, "b": 64}, None, "s")


def refusal(folder: Path, **keys: Any) -> str:
    with pytest.raises(RequestError) as error:
        Plan.load(study(folder, **keys))
    return str(error.value)


def test_one_factor_gives_one_arm_a_value(tmp_path: Path) -> None:
    plan = Plan.load(study(tmp_path, reference=0.3, seeds=5, set={"embedding.size": 8}))
    assert [(arm.id, arm.name, arm.changes) for arm in plan.arms] == [
        ("margin-0.1", "0.1", {"loss.margin": 0.1}),
        ("margin-0.3", "0.3", {"loss.margin": 0.3}),
        ("margin-1", "1", {"loss.margin": 1.0}),
    ]
    assert (plan.title, plan.reference, plan.varied) == ("A study", "margin-0.3", ("loss.margin",))
    assert plan.held == "60 updates of 16 clips of 1 s each"
    assert plan.seeds.take(plan.seeds.at_least) == (0, 1, 2, 3, 4)
    recipe = plan.recipe_of("margin-1")
    assert recipe == Recipe.of(
        {**SMALL, "loss": {"margin": 1.0, "kind": "triplet"}, "embedding": {"size": 8}}
    )


def test_several_factors_give_their_product(tmp_path: Path) -> None:
    plan = Plan.load(
        study(tmp_path, vary={"loss.kind": ["triplet", "circle"], "miner.kind": ["all", "batch_hard"]})
    )
    assert [arm.id for arm in plan.arms] == [
        "loss-triplet_miner-all",
        "loss-triplet_miner-batch-hard",
        "loss-circle_miner-all",
        "loss-circle_miner-batch-hard",
    ]
    assert plan.arms[1].name == "loss triplet, miner batch_hard"
    triplet, circle = plan.recipe_of(plan.arms[0].id), plan.recipe_of(plan.arms[2].id)
    assert triplet.loss.model_dump()["margin"] == 0.3  # the same kind keeps the recipe's settings
    assert circle.loss.model_dump()["m"] == 0.4


def test_named_arms_change_what_they_like(tmp_path: Path) -> None:
    arms = {"As it is": None, "Circle!": {"loss": {"m": 0.2, "kind": "circle"}}}
    plan = Plan.load(study(tmp_path, vary=None, arms=arms, reference="Circle!"))
    assert [arm.id for arm in plan.arms] == ["as-it-is", "circle"]
    assert plan.arms[1].changes == {"loss.m": 0.2, "loss.kind": "circle"}
    assert plan.recipe_of("as-it-is") == Recipe.of(SMALL)
    assert plan.reference == "circle"
    assert set(plan.varied) == {"loss.m", "loss.kind"}


def test_the_recipe_is_found_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(SMALL))
    assert Plan.load(study(tmp_path, recipe="r.yaml")).recipe == Recipe.of(SMALL)
    assert "No recipe at" in refusal(tmp_path, recipe="s.yaml")


def test_changes_reach_the_study_and_the_recipe(tmp_path: Path) -> None:
    plan = Plan.load(study(tmp_path), ["seeds=3", "train.updates=30", "vary={embedding.size: [4, 8]}"])
    assert plan.seeds.words() == "3"
    assert plan.recipe.train.updates == 30
    assert [arm.name for arm in plan.arms] == ["4", "8"]
    with pytest.raises(RequestError, match=r"unknown key 'seed'\. Did you mean 'seeds'"):
        Plan.load(study(tmp_path), ["seed=3"])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sedes": 3}, "unknown key 'sedes'. Did you mean 'seeds'?"),
        ({"question": None}, "question: missing"),
        ({"vary": {"loss.margn": [1, 2]}}, "arm '1': loss: unknown key 'margn'. Did you mean 'margin'?"),
        (
            {"vary": {"loss.kind": ["triplet", "crcle"]}},
            "arm 'crcle': loss: unknown kind 'crcle'. Did you mean 'circle'?",
        ),
        ({"vary": {"embedding.size": [8, 1]}}, "arm '1': embedding.size: input should be greater than"),
        ({"vary": {"loss.margin": [0.1, 10]}}, "arm '10': loss.margin: no vectors can satisfy 10"),
        (
            {"vary": {"data.clip_seconds": [1, 0.01]}, "hold": "updates"},
            "arm '0.01': data.clip_seconds: 0.01",
        ),
        ({"vary": {"loss.margin": [0.1, 0.1]}}, "arms '0.1' and '0.1' would share the folder"),
        ({"vary": None, "arms": {"a": {}, "b": {"loss.margin": 0.3}}}, "'a' and 'b' are the same recipe"),
        ({"vary": None, "arms": {"Baselines": {}}}, "arm 'Baselines'"),
        ({"vary": {"loss.margin": [0.1]}}, "two values or more"),
        ({"vary": None}, "give exactly one of vary, arms and search. Given: none"),
        ({"arms": {"a": {}}}, "Given: vary and arms"),
        ({"set": {"loss.margin": 1}}, "loss.margin is set for all arms, but the study varies it"),
        ({"judge": "train/loss"}, "metrics on training data reward overfitting"),
        ({"judge": "val/recall_at_1"}, "val is used for choices within a run"),
        ({"judge": "baseline/chance/probe/macro_f1"}, "a baseline is the same for every arm"),
        ({"judge": "retrieval_with_group/recall_at_1"}, "recording"),
        ({"judge": "probe/macrof1"}, "Did you mean 'probe/macro_f1'?"),
        ({"measures": ["train/active_fraction"]}, "every document shows"),
        ({"seeds": 0}, "seeds.at_least"),
        ({"seeds": {"at_least": 5, "at_most": 4}}, "at_most (4) is less than at_least (5)"),
        ({"seeds": {"until": "bored"}}, "seeds.until"),
        ({"meaningful": 0}, "meaningful"),
        ({"reference": 0.7}, "reference: there is no arm '0.7'"),
        (
            {"source": {"study": "U1", "document": "", "question": "", "concluded": "", "prefers": 7}},
            "source: prefers: there is no arm '7'. Known: 0.1, 0.3, 1.",
        ),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    text = refusal(tmp_path, **keys)
    assert text.startswith("a_study.yaml: ")
    assert said in text


def test_impossible_margins_are_trained_where_the_study_says_so(tmp_path: Path) -> None:
    plan = Plan.load(study(tmp_path, vary={"loss.margin": [0.1, 10]}, allow_impossible=True))
    assert plan.arm("margin-10").changes == {"loss.margin": 10.0, "loss.allow_impossible_margin": True}
    assert plan.arm("margin-0.1").changes == {"loss.margin": 0.1}
    assert plan.varied == ("loss.margin",)


@pytest.mark.parametrize(
    ("sampler", "clips"),
    [
        ({"kind": "balanced", "classes": 4, "per_class": 3}, 12),
        ({"kind": "shuffle", "batch_size": 10}, 10),
        ({"kind": "views", "batch_size": 10}, 10),
        ({"kind": "tiles", "batch_size": 5, "neighbors": 2}, 15),
        ({"kind": "tiles", "batch_size": 5, "neighbors": 2, "mode": "triplet"}, 25),
        ({"kind": "tag_triplets", "batch_size": 5}, 15),
    ],
)
def test_the_budget_counts_windows_and_seconds(sampler: dict[str, Any], clips: int) -> None:
    found = budget(Recipe.of({**SMALL, "sampler": sampler, "data": {"clip_seconds": 2}}))
    assert (found.updates, found.clips, found.seconds) == (60, 60 * clips, 120.0 * clips)
    assert budget(Recipe.of({"feature": {"kind": "pixels"}})).seconds == 0


def test_unlike_budgets_are_refused_and_the_cure_works(tmp_path: Path) -> None:
    lengths: dict[str, Any] = {"1 s": {"data.clip_seconds": 1.0}, "2 s": {"data.clip_seconds": 2.0}}
    text = refusal(tmp_path, vary=None, arms=lengths)
    assert "arms '1 s' and '2 s' have different budgets" in text
    assert "hold: seconds, with train.updates: 30 for '2 s'" in text
    assert "'2 s' train.updates: 30" in refusal(tmp_path, vary=None, arms=lengths, hold="seconds")
    lengths["2 s"]["train.updates"] = 30
    plan = Plan.load(study(tmp_path, vary=None, arms=lengths, hold="seconds"))
    assert plan.held == "960 s of sound in all; updates differ"
    sizes = {"vary": {"sampler.per_class": [4, 8]}}
    assert "hold: clips, with train.updates: 30 for '8'" in refusal(tmp_path, **sizes)
    assert Plan.load(study(tmp_path, **sizes, hold="updates")).held == "60 updates; their clips differ"
    # The length of the training is a budget, and may be what is studied.
    plan = Plan.load(study(tmp_path, vary={"train.updates": [30, 60]}))
    assert plan.held == "everything but the length of the training"
    both = {"a": {"train.updates": 30}, "b": {"loss.margin": 0.1}}
    assert "Give 'b' train.updates: 30." in refusal(tmp_path, vary=None, arms=both)


def test_the_looks_rise_by_half_and_end_at_most() -> None:
    assert SeedPlan(3, 12, True).looks() == (3, 5, 8, 12)
    assert SeedPlan(3, 10, True).looks() == (3, 5, 8, 10)
    assert SeedPlan(3, 3, True).looks() == (3,)
    assert SeedPlan(5, 5, False).looks() == (5,)
    assert SeedPlan(3, 12, True).words() == "3 to 12, until decided"
    assert SeedPlan(2, 4, True, start=1).take(2) == (1, 2)


def test_no_look_is_taken_where_nothing_could_be_decided() -> None:
    assert SeedPlan(1, 6, True).looks() == (3, 5, 6)
    assert SeedPlan(2, 3, True).looks() == (3,)
    assert SeedPlan(1, 2, True).looks() == (2,)


def test_a_plan_comes_back_from_its_plain_values(tmp_path: Path) -> None:
    source = {"study": "U1", "document": "d", "question": "q", "concluded": "c", "prefers": 1, "over": [0.1]}
    plan = Plan.load(study(tmp_path, source=source, seeds={"at_most": 8}, measures=["clusters/nmi"]))
    written = json.loads(json.dumps(plan.plain()))
    assert Plan.of(written) == plan
    assert Plan.of(written).hash == written["hash"] == plan.hash
    assert plan.source is not None
    assert (plan.source.prefers, plan.source.over) == ("margin-1", ("margin-0.1",))
    with pytest.raises(RequestError, match="altered after it was frozen"):
        Plan.of({**written, "meaningful": 0.05})
    with pytest.raises(RequestError, match="not the plan of a study"):
        Plan.of({"recipe": {}})


def test_the_hash_covers_everything(tmp_path: Path) -> None:
    first = Plan.load(study(tmp_path))
    assert Plan.load(study(tmp_path)).hash == first.hash
    others = [
        *(["seeds=3"], ["judge=knn/accuracy"], ["meaningful=0.02"], ["train.updates=10"], ["reference=1"]),
        *(["vary={loss.margin: [0.1, 0.3, 2]}", "allow_impossible=true"], ["reduced=less"], ["maps=[umap]"]),
    ]
    assert len({Plan.load(study(tmp_path), changes).hash for changes in others} | {first.hash}) == 9


def test_deviations_are_said_in_sentences(tmp_path: Path) -> None:
    planned = Plan.load(study(tmp_path))
    assert planned.differences(planned) == []
    changed = Plan.load(
        study(tmp_path),
        ["seeds=3", "train.updates=30", "vary={loss.margin: [0.1, 0.5]}", "judge=knn/accuracy"],
    )
    assert changed.differences(planned) == [
        "judge: knn/accuracy, planned probe/macro_f1.",
        "seeds: 3, planned 5.",
        "arm margin-0.5 was added after the plan was frozen.",
        "arm margin-0.3 was planned and is missing.",
        "arm margin-1 was planned and is missing.",
        "recipe: train.updates: 30, planned 60.",
    ]


def test_a_search_begins_with_the_recipe_as_it_is(tmp_path: Path) -> None:
    search = {"method": "random", "trials": 4, "space": {"loss.margin": {"low": 0.1, "high": 1}}}
    plan = Plan.load(study(tmp_path, vary=None, search=search, seeds=3))
    assert [(arm.id, arm.changes) for arm in plan.arms] == [("as-it-is", {})]
    assert plan.varied == ("loss.margin",)
    assert plan.seeds.take(3) == (1, 2, 3)  # seed 0 is the search's
    final = plan.with_arms([*plan.arms, Arm("trial-002", "0.5", {"loss.margin": 0.5})])
    assert final.recipe_of("trial-002").loss.model_dump()["margin"] == 0.5
    assert (final.reference, final.search) == ("as-it-is", plan.search)
    assert Plan.of(final.plain()) == final
    assert final.hash != plan.hash
    with pytest.raises(RequestError, match="the same recipe"):
        plan.with_arms([*plan.arms, Arm("trial-002", "0.3", {"loss.margin": 0.3})])


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"trials": 4, "space": {"loss.margin": {"low": 0.1, "high": 5}}}, "no vectors can satisfy 5"),
        ({"trials": 4, "space": {"loss.margn": {"low": 1, "high": 2}}}, "Did you mean 'margin'?"),
        ({"trials": 4, "space": {"loss.margin": {"high": 1}}}, "low is missing"),
        ({"trials": 4, "space": {"embedding.size": {"low": 1, "high": 8}}}, "greater than or equal to 2"),
        ({"trials": 4, "space": {"loss.margin": {"low": 1, "high": 0.1}}}, "must be less than high"),
        (
            {"trials": 4, "space": {"train.updates": {"low": 10, "high": 60}}},
            "must be the same for all trials",
        ),
        ({"trials": 4, "space": {"data.clip_seconds": {"low": 1, "high": 2}}}, "different budgets"),
        ({"space": {"loss.margin": {"low": 0.1, "high": 1}}}, "trials: missing"),
        ({"method": "grid", "space": {"loss.margin": {"low": 0.1, "high": 1}}}, "a grid needs"),
        ({"method": "bayes", "space": {"loss.margin": [0.1, 1]}}, "search.method"),
    ],
)
def test_searches_that_cannot_work_are_refused(tmp_path: Path, search: dict[str, Any], said: str) -> None:
    assert said in refusal(tmp_path, vary=None, search=search)


def test_the_runs_of_a_plan_are_those_that_it_will_take(tmp_path: Path) -> None:
    assert runs_of(Plan.load(study(tmp_path, seeds=3))) == (12, 12)  # three arms and the plain spaces
    before = {"tagger": {"embedding.size": 4}}
    until = {"at_least": 1, "at_most": 6}
    asked = Plan.load(study(tmp_path, seeds=until, before=before))
    assert (runs_of(asked), baselines_of(asked)) == ((15, 30), (3, 6))
    assert asked.seeds.counted() == "1 to 6 seeds, until decided"
    assert SeedPlan(1, 1, False).counted() == "1 seed"
    search = {"method": "random", "trials": 40, "space": {"loss.margin": {"low": 0.1, "high": 1}}, "final": 2}
    sought = study(tmp_path, vary=None, search=search, seeds=3)
    assert runs_of(Plan.load(sought)) == (52, 52)  # 40, then the recipe as it is, two finalists and the rest


def test_a_search_needs_validations(tmp_path: Path) -> None:
    search = {"method": "grid", "space": {"loss.margin": [0.1, 1.0]}}
    text = refusal(tmp_path, vary=None, search=search, set={"train.validate_every": 0})
    assert "ranked by their validation scores" in text
