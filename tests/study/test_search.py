"""Searches on a function that is known: what is asked, resumption at every point, what is trained again."""

import itertools
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from nearfield.core.errors import RequestError
from nearfield.study.arms import AS_IT_IS, label_of
from nearfield.study.engines.engine import task_folder
from nearfield.study.file import SearchSettings, SeedPlan, resolve
from nearfield.study.plan import Plan
from nearfield.study.records import Arm, Outcome, Task
from nearfield.study.search import Attempt, Told, TrialSearch, rungs
from nearfield.study.search import explore as carry_out
from nearfield.training.recipe import Recipe

RECIPE = Recipe.of({"train": {"updates": 900, "validate_every": 50}})
SPACE: dict[str, Any] = {
    "optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "embedding.size": {"low": 8, "high": 128},
    "miner.kind": ["all", "semihard"],
}


def search(**keys: Any) -> TrialSearch:
    settings = SearchSettings.model_validate({"method": "tpe", "trials": 24, "space": SPACE} | keys)
    return TrialSearch(resolve(settings, RECIPE, "study"), RECIPE)


def explore(one: TrialSearch, score_of: Callable[[Attempt], float | None]) -> list[Told]:
    """The whole search, as a study carries it out, with trainings that leave nothing but their score."""
    plain = Arm(AS_IT_IS, AS_IT_IS, {})
    plan = Plan(
        title="",
        question="",
        held="",
        reduced="",
        recipe=RECIPE,
        arms=(plain,),
        reference=plain.id,
        seeds=SeedPlan(3, 3, False, start=1),
        judge="probe/macro_f1",
        measures=(),
        meaningful=0.01,
        varied=tuple(one.settings.space),
        hold=None,
        source=None,
        search=one.settings,
        maps=(),
        allow_impossible=True,
    )
    outcomes: dict[Task, Outcome] = {}
    with TemporaryDirectory() as folder:

        def train(asked: Plan, tasks: Sequence[Task]) -> None:
            for task in tasks:
                changes = dict(asked.arm(task.arm).changes)
                updates = changes.pop("train.updates", one.updates)
                trial = int(task.arm.split("-")[1])
                found = score_of(Attempt(trial, changes, updates))
                outcomes[task] = Outcome(task, "done" if found is not None else "failed")
                lines = [{"update": 1, "val/score": 9.0}, {"update": updates, "val/score": found}]
                written = task_folder(Path(folder), task) / "metrics.jsonl"
                written.parent.mkdir(parents=True)
                written.write_text("".join(json.dumps(line) + "\n" for line in lines))

        return carry_out(plan, Path(folder), lambda: outcomes, train)


def score(attempt: Attempt) -> float:
    """Best, 0, at a rate of 1e-3, 64 numbers and the miner all; worse for short trainings."""
    changes: dict[str, Any] = attempt.changes
    off: float = (math.log10(changes["optimizer.lr"]) + 3) ** 2 + (changes["embedding.size"] / 64 - 1) ** 2
    return -off - float(changes["miner.kind"] != "all") - 0.01 * (900 / attempt.updates - 1)


def test_values_have_the_settings_own_types_and_lie_in_range() -> None:
    for told in explore(search(method="random"), score):
        changes = told.attempt.changes
        assert list(changes) == list(SPACE)
        assert isinstance(changes["embedding.size"], int)
        assert 8 <= changes["embedding.size"] <= 128
        assert 1e-5 <= changes["optimizer.lr"] <= 1e-1
        RECIPE.changed(changes)


def test_ends_and_choices_come_from_the_setting_where_they_are_left_out() -> None:
    space = {"embedding.size": {"high": 16}, "embedding.normalize": {}, "miner.kind": ["all"]}
    found = search(space=space).settings.space
    assert (found["embedding.size"].low, found["embedding.size"].whole) == (2, True)
    assert found["embedding.normalize"].choices == (False, True)
    literal = search(space={"loss.reduction": {}}).settings.space["loss.reduction"]
    assert set(literal.choices) == {"mean", "non_zero_mean"}


def test_tpe_comes_nearer_than_chance() -> None:
    best = [
        max(each.score or -9 for each in explore(search(method=method, trials=40), score))
        for method in ("random", "tpe")
    ]
    assert best[1] > best[0]
    assert best[1] > -0.2


def test_a_grid_tries_every_point_once() -> None:
    space = {"embedding.size": {"low": 8, "high": 32, "step": 8}, "optimizer.lr": [0.1, 0.01]}
    tried = [
        told.attempt.changes for told in explore(search(method="grid", trials=None, space=space), lambda _: 0)
    ]
    wanted = itertools.product([8, 16, 24, 32], [0.1, 0.01])
    assert tried == [{"embedding.size": size, "optimizer.lr": lr} for size, lr in wanted]
    with pytest.raises(RequestError, match=r"a grid always has all of its 8 points as trials\. Given: 5"):
        search(method="grid", trials=5, space=space)


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_a_search_taken_up_again_asks_the_same_trials(method: str) -> None:
    keys = {"method": method, "trials": 12, "pruning": "halving"}
    whole = explore(search(**keys), score)
    for cut in range(len(whole)):
        rest = list(whole[:cut])
        again = search(**keys)  # a new process, which knows no more than the journal
        while attempts := again.pending(rest):
            rest += [Told(attempt, score(attempt)) for attempt in reversed(attempts)]  # as workers may end
        assert {(t.attempt.trial, t.attempt.updates, t.score) for t in rest} == {
            (t.attempt.trial, t.attempt.updates, t.score) for t in whole
        }


def test_halving_goes_on_with_the_best_third() -> None:
    assert rungs(search(pruning="halving").settings, 900, 50) == (100, 300, 900)
    assert rungs(search(pruning="halving").settings, 900, 200) == (200, 900)
    assert rungs(search().settings, 900, 50) == (900,)
    told = explore(search(method="random", trials=18, pruning="halving"), score)
    by_rung = {u: [t for t in told if t.attempt.updates == u] for u in (100, 300, 900)}
    assert [len(rung) for rung in by_rung.values()] == [18, 6, 2]
    kept = {t.attempt.trial for t in by_rung[300]}
    worst_kept = min(score(t.attempt) for t in by_rung[100] if t.attempt.trial in kept)
    assert all(score(t.attempt) <= worst_kept for t in by_rung[100] if t.attempt.trial not in kept)


def test_a_trial_that_failed_is_never_a_finalist_and_stops_nothing() -> None:
    one = search(trials=12)
    told = explore(one, lambda attempt: None if attempt.trial % 3 == 0 else score(attempt))
    assert len(told) == 12
    assert not {arm.id for arm in one.finalists(told)} & {"trial-000", "trial-003", "trial-006", "trial-009"}
    assert [row["outcome"] for row in one.table(told)["table"]].count("failed") == 4
    with pytest.raises(RequestError, match="no trial ended with a score"):
        one.finalists([Told(each.attempt, None) for each in told])


def test_the_same_changes_are_trained_once() -> None:
    space = {"miner.kind": ["all", "semihard"]}
    told = explore(search(method="random", trials=10, space=space), lambda attempt: float(attempt.trial))
    assert sorted(each.attempt.changes["miner.kind"] for each in told) == ["all", "semihard"]


def test_finalists_are_the_best_the_next_and_the_nearest() -> None:
    space = {"embedding.size": [8, 16, 24, 32, 40]}
    values = {8: 0.5, 16: 0.8, 24: 0.1, 32: 0.9, 40: 0.2}
    one = search(method="grid", trials=None, space=space, final=4)
    told = explore(one, lambda attempt: values[attempt.changes["embedding.size"]])
    # 32 is best, 16 the next best; of the best's two neighbours 40 is the better one; then 8 by score.
    assert [arm.name for arm in one.finalists(told)] == ["32", "16", "40", "8"]
    assert one.finalists(told)[0].id == "trial-003"


def test_no_score_that_was_chosen_by_is_reported() -> None:
    one = search(trials=8)
    told = explore(one, score)
    table = one.table(told)
    assert {key for row in table["table"] for key in row} == {"trial", "changes", "outcome"}
    assert all(set(row["changes"]) == set(SPACE) for row in table["table"])
    assert sorted(row["outcome"] for row in table["table"]) == [f"rank {place}" for place in range(1, 9)]
    assert {arm.name for arm in one.finalists(told)} == {label_of(arm.changes) for arm in one.finalists(told)}
    assert (table["method"], table["trials"]) == ("tpe", 8)


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_a_search_without_its_library_is_refused_before_it_begins(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RequestError, match=r"needs Optuna.*pip install 'nearfield\[search\]'.*grid"):
        search(method=method)
    search(method="grid", trials=None, space={"miner.kind": ["all", "semihard"]})


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"method": "random", "trials": 18, "pruning": "halving"}, [100] * 18 + [300] * 6 + [900] * 2),
        (
            {"trials": 6, "pruning": "halving", "together": 4},
            [100] * 4 + [300] * 2 + [900] + [100] * 2 + [300, 900],
        ),
        ({"method": "random", "trials": 5}, [900] * 5),
    ],
)
def test_what_a_search_will_train_is_known_beforehand(keys: dict[str, Any], wanted: list[int]) -> None:
    one = search(**keys)
    assert one.lengths() == wanted
    assert [each.attempt.updates for each in explore(one, score)] == wanted


def test_short_trainings_are_arms_of_their_own() -> None:
    attempt = Attempt(7, {"loss.margin": 0.5}, 100)
    assert attempt.arm(900).id == "trial-007-at-100"
    assert attempt.arm(900).changes == {"loss.margin": 0.5, "train.updates": 100}
    assert attempt.arm(100).id == "trial-007"
